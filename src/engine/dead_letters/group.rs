//! Dead letters by reason, organization and error. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use uuid::Uuid;

use super::entry::DeadLetterEntry;
use super::normalize::normalized;

/// Most groups that are told apart; errors that differ in every message would fill the memory.
pub(super) const MOST_GROUPS: usize = 1000;
/// Beginning of every handle.
const PREFIX: &str = "g_";

/// Dead letters of one reason, one organization and one error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetterGroup {
    /// Handle of the group, which selects its dead letters; the same in every process.
    pub handle: String,
    /// Reason for the failure; `None` if another application published the message.
    pub reason: Option<String>,
    /// Organization that owns the events; `None` if unreadable.
    pub organization_id: Option<String>,
    /// Error without what differs from event to event.
    pub error: Option<String>,
    /// Number of dead letters.
    pub count: u64,
    /// Time at which the first one failed.
    pub first: Option<Timestamp>,
    /// Time at which the most recent one failed.
    pub last: Option<Timestamp>,
}

/// Groups being counted.
#[derive(Default, Debug)]
pub struct Groups {
    groups: BTreeMap<String, DeadLetterGroup>,
    /// Number of dead letters in further groups, of which only the number is known.
    pub beyond: u64,
}

impl Groups {
    /// Counts a dead letter.
    pub fn add(&mut self, entry: &DeadLetterEntry) {
        let handle = group_of(entry);
        if self.groups.len() >= MOST_GROUPS && !self.groups.contains_key(&handle) {
            self.beyond += 1;
            return;
        }
        let group = self.groups.entry(handle.clone()).or_insert_with(|| DeadLetterGroup {
            handle,
            reason: entry.reason.clone(),
            organization_id: entry.organization_id.clone(),
            error: entry.error.as_deref().map(normalized),
            count: 0,
            first: entry.dead_at,
            last: None,
        });
        group.count += 1;
        group.first = group.first.into_iter().chain(entry.dead_at).min();
        group.last = group.last.max(entry.dead_at);
    }

    /// Returns the groups, largest first.
    pub fn sorted(self) -> Vec<DeadLetterGroup> {
        let mut groups: Vec<DeadLetterGroup> = self.groups.into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        groups
    }
}

/// Returns the handle of the group that a dead letter belongs to. What could not be read is a value like any other, so
/// that foreign and unreadable messages can be selected too.
pub(super) fn group_of(entry: &DeadLetterEntry) -> String {
    let error = entry.error.as_deref().map(normalized);
    let mut name = Vec::new();
    for part in [&entry.reason, &entry.organization_id, &error] {
        // Texts begin with another byte than missing ones, and end with one that is in no UTF-8.
        name.push(part.is_some().into());
        name.extend(part.as_deref().unwrap_or_default().as_bytes());
        name.push(0xFF);
    }
    let digits = Uuid::new_v5(&Uuid::NAMESPACE_OID, &name).simple().to_string();
    format!("{PREFIX}{}", &digits[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(organization: Option<&str>, reason: Option<&str>, error: Option<&str>) -> DeadLetterEntry {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let (organization_id, reason, error) = (text(organization), text(reason), text(error));
        DeadLetterEntry { organization_id, reason, error, ..DeadLetterEntry::default() }
    }

    #[test]
    fn letters_are_grouped_by_reason_organization_and_normalized_error() {
        let mut groups = Groups::default();
        let refused = |id| entry(Some("org_acme"), Some("rejected_by_dynamics"), Some(id));
        let [first, last] = ["2026-11-22T10:15:00Z", "2026-11-22T10:16:00Z"].map(|at| at.parse().ok());
        groups.add(&DeadLetterEntry { dead_at: last, ..refused("No queue 11111111-1111-1111-1111-111111111111.") });
        groups.add(&DeadLetterEntry { dead_at: first, ..refused("No queue 22222222-2222-2222-2222-222222222222.") });
        groups.add(&refused("No owner."));
        groups.add(&entry(Some("org_other"), Some("rejected_by_dynamics"), Some("No owner.")));
        groups.add(&entry(None, None, None));
        let sorted = groups.sorted();
        assert_eq!(sorted.iter().map(|group| group.count).collect::<Vec<_>>(), [2, 1, 1, 1]);
        assert_eq!((sorted[0].error.as_deref(), sorted[0].first, sorted[0].last), (Some("No queue …."), first, last));
        let foreign = sorted.iter().find(|group| group.reason.is_none()).expect("the foreign one");
        assert_eq!(foreign.handle, group_of(&entry(None, None, None)));
    }

    #[test]
    fn a_missing_value_differs_from_an_empty_one() {
        let handles = [entry(None, None, None), entry(Some(""), None, None), entry(None, Some(""), None)];
        let handles = handles.map(|entry| group_of(&entry));
        assert!(handles[0] != handles[1] && handles[1] != handles[2] && handles[0] != handles[2], "{handles:?}");
    }

    #[test]
    fn groups_are_bounded() {
        let mut groups = Groups::default();
        for n in 0..MOST_GROUPS + 7 {
            groups.add(&entry(Some(&format!("org_{n}")), None, None));
        }
        groups.add(&entry(Some("org_0"), None, None));
        assert_eq!((groups.beyond, groups.sorted()[0].count), (7, 2));
    }
}
