//! Troubles and takeovers of the last day: when each began and ended, from the readings of every second.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::organizations::OrganizationView;
use crate::status::StatusReason;

/// Number of entries kept; a day has far fewer unless everything fails.
const MOST: usize = 5000;

/// Troubles and takeovers, oldest first.
#[derive(Default)]
pub struct ActivityJournal(Mutex<Notes>);

#[derive(Default)]
struct Notes {
    entries: VecDeque<ActivityEntry>,
    /// Present troubles by what identifies them, with their starts.
    present: BTreeMap<TroubleId, (Timestamp, StatusReason)>,
    /// Workers by organization.
    owners: BTreeMap<String, String>,
}

/// Organization, and the cause without its numbers, which change every second.
type TroubleId = (Option<String>, String);

/// Something that happened by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ActivityEntry {
    /// Time at which it was seen.
    pub(crate) at: Timestamp,
    /// Change.
    pub(crate) change: JournalChange,
}

/// Kind of a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum JournalChange {
    /// A trouble began.
    Began(StatusReason),
    /// A trouble ended; it had begun at this time.
    Ended(StatusReason, Timestamp),
    /// An organization is processed by another worker.
    Owner {
        /// Organization.
        organization: String,
        /// Worker before.
        from: String,
        /// Worker now.
        to: String,
    },
}

impl ActivityJournal {
    /// Compares a reading with the last one.
    pub(super) fn read(&self, reasons: &[StatusReason], views: &[OrganizationView], now: Timestamp) {
        let mut notes = self.notes();
        notes.troubles(reasons, now);
        notes.takeovers(views, now);
    }

    /// Returns the newest entries, newest first.
    pub(super) fn newest(&self, most: usize) -> Vec<ActivityEntry> {
        self.notes().entries.iter().rev().take(most).cloned().collect()
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notes {
    fn troubles(&mut self, reasons: &[StatusReason], now: Timestamp) {
        let mut before = std::mem::take(&mut self.present);
        for reason in reasons {
            let id = (reason.organization_id.clone(), reason.cause.replace(|it: char| it.is_ascii_digit(), ""));
            let known = before.remove(&id);
            if known.is_none() && !self.present.contains_key(&id) {
                self.add(ActivityEntry { at: now, change: JournalChange::Began(reason.clone()) });
            }
            let began = known.map_or(now, |(began, _)| began);
            self.present.insert(id, (began, reason.clone()));
        }
        for (began, reason) in before.into_values() {
            self.add(ActivityEntry { at: now, change: JournalChange::Ended(reason, began) });
        }
    }

    /// Notes organizations whose worker has changed. One without a worker keeps its last one until there is another.
    fn takeovers(&mut self, views: &[OrganizationView], now: Timestamp) {
        for view in views {
            let Some(to) = &view.worker else { continue };
            let organization = view.organization_id.clone();
            match self.owners.insert(organization.clone(), to.clone()) {
                Some(from) if from != *to => {
                    let change = JournalChange::Owner { organization, from, to: to.clone() };
                    self.add(ActivityEntry { at: now, change });
                }
                _ => {}
            }
        }
        if self.owners.len() > views.len() && !views.is_empty() {
            self.owners.retain(|id, _| views.iter().any(|view| view.organization_id == *id));
        }
    }

    fn add(&mut self, entry: ActivityEntry) {
        if self.entries.len() >= MOST {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::page::sample_view;

    fn reason(organization: Option<&str>, cause: &str) -> StatusReason {
        StatusReason {
            organization_id: organization.map(str::to_owned),
            cause: cause.to_owned(),
            advice: String::new(),
            since: Timestamp::UNIX_EPOCH,
        }
    }

    fn second(number: i64) -> Timestamp {
        Timestamp::from_second(number).unwrap()
    }

    #[test]
    fn a_trouble_is_noted_at_its_start_and_its_end_and_not_each_second() {
        let journal = ActivityJournal::default();
        let faulty = reason(None, "faulty file acme.toml");
        journal.read(&[reason(Some("a"), "3 of 5 requests failed"), faulty.clone()], &[], second(1));
        journal.read(&[reason(Some("a"), "4 of 6 requests failed"), faulty.clone()], &[], second(2));
        journal.read(std::slice::from_ref(&faulty), &[], second(3));
        journal.read(&[faulty.clone(), reason(Some("a"), "1 of 2 requests failed")], &[], second(4));
        let found: Vec<_> = journal.newest(9).into_iter().map(|entry| (entry.at, entry.change)).collect();
        assert_eq!(found.len(), 4);
        assert_eq!(found[0], (second(4), JournalChange::Began(reason(Some("a"), "1 of 2 requests failed"))));
        let ended = JournalChange::Ended(reason(Some("a"), "4 of 6 requests failed"), second(1));
        assert_eq!((&found[1], journal.newest(1).len()), (&(second(3), ended), 1));
    }

    #[test]
    fn a_takeover_is_noted_and_a_missing_worker_is_none() {
        let journal = ActivityJournal::default();
        for (number, worker) in [Some("one"), Some("one"), None, Some("two"), Some("two")].into_iter().enumerate() {
            let view = OrganizationView { worker: worker.map(str::to_owned), ..sample_view("org_acme") };
            journal.read(&[], &[view], second(i64::try_from(number).unwrap()));
        }
        let (organization, from, to) = ("org_acme".to_owned(), "one".to_owned(), "two".to_owned());
        let change = JournalChange::Owner { organization, from, to };
        assert_eq!(journal.newest(9), [ActivityEntry { at: second(3), change }]);
    }

    #[test]
    fn memory_is_bounded() {
        let journal = ActivityJournal::default();
        for number in 0..3000 {
            let reasons = if number % 2 == 0 { vec![reason(None, "a"), reason(None, "b")] } else { Vec::new() };
            journal.read(&reasons, &[], second(number));
        }
        assert_eq!(journal.newest(usize::MAX).len(), MOST);
    }
}
