//! Dead letters by reason, organization and error. Pure.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::entry::DeadLetterEntry;
use super::normalize::normalized;

/// Most groups that are told apart; errors that differ in every message would fill the memory.
pub(super) const MOST_GROUPS: usize = 1000;
/// Most groups that are kept; dead letters of further ones are counted together.
pub(super) const MOST_KEPT_GROUPS: usize = 10 * MOST_GROUPS;
/// Beginning of every handle.
const PREFIX: &str = "g_";

/// Dead letters of one reason, one organization and one error.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct DeadLetterGroup {
    /// Handle, for `group` in a selection; the same in every process.
    #[serde(rename = "group")]
    pub handle: String,
    /// Reason; null for a message of another application.
    pub reason: Option<String>,
    /// Organization; null if it could not be read.
    pub organization_id: Option<String>,
    /// Error, with `…` for what differs from event to event.
    pub error: Option<String>,
    /// Number of dead letters.
    pub count: u64,
    /// Time of the first one.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub first: Option<Timestamp>,
    /// Time of the most recent one.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub last: Option<Timestamp>,
}

/// Count of dead letters by group, without the dead letters.
#[derive(Default, Debug)]
pub struct GroupTally {
    groups: HashMap<String, DeadLetterGroup>,
    beyond: u64,
}

impl DeadLetterGroup {
    /// Returns the group that a dead letter belongs to, still empty.
    pub(super) fn empty(handle: String, entry: &DeadLetterEntry) -> Self {
        Self {
            handle,
            reason: entry.reason.clone(),
            organization_id: entry.organization_id.clone(),
            error: entry.error.as_deref().map(normalized),
            count: 0,
            first: None,
            last: None,
        }
    }

    /// Counts a dead letter that died at this time.
    pub(super) fn add(&mut self, dead_at: Option<Timestamp>) {
        self.count += 1;
        self.first = self.first.into_iter().chain(dead_at).min();
        self.last = self.last.max(dead_at);
    }
}

impl GroupTally {
    /// Counts a dead letter.
    pub fn add(&mut self, entry: &DeadLetterEntry) {
        let is_full = self.groups.len() >= MOST_KEPT_GROUPS;
        match self.groups.entry(group_of(entry)) {
            Entry::Occupied(mut known) => known.get_mut().add(entry.dead_at),
            Entry::Vacant(_) if is_full => self.beyond += 1,
            Entry::Vacant(new) => {
                let group = DeadLetterGroup::empty(new.key().clone(), entry);
                new.insert(group).add(entry.dead_at);
            }
        }
    }

    /// Returns the groups, largest first, and the number of dead letters in groups beyond these.
    pub fn finish(self) -> (Vec<DeadLetterGroup>, u64) {
        let mut groups: Vec<_> = self.groups.into_values().collect();
        let beyond = self.beyond + largest_first(&mut groups);
        (groups, beyond)
    }
}

/// Sorts groups, leaves out those beyond the largest, and returns the number of dead letters in them.
pub(super) fn largest_first(groups: &mut Vec<DeadLetterGroup>) -> u64 {
    groups.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.handle.cmp(&other.handle)));
    let beyond = groups.iter().skip(MOST_GROUPS).map(|group| group.count).sum();
    groups.truncate(MOST_GROUPS);
    beyond
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
    fn a_tally_counts_by_group_and_is_bounded() {
        let mut tally = GroupTally::default();
        let died = |minute: u8| format!("2026-11-22T10:{minute:02}:00Z").parse::<Timestamp>().ok();
        for (organization, minute) in [("org_a", 3), ("org_b", 4), ("org_a", 1), ("org_a", 2)] {
            tally.add(&DeadLetterEntry {
                dead_at: died(minute),
                ..entry(Some(organization), None, Some("event evt_12345"))
            });
        }
        for number in 0..MOST_KEPT_GROUPS + 5 {
            tally.add(&entry(Some(&format!("org_{number}")), None, None));
        }
        let (groups, beyond) = tally.finish();
        let first = groups.first().expect("a group");
        assert_eq!(
            (first.organization_id.as_deref(), first.count, first.error.as_deref()),
            (Some("org_a"), 3, Some("event …"))
        );
        assert_eq!((first.first, first.last), (died(1), died(3)));
        assert_eq!(groups.len(), MOST_GROUPS);
        assert_eq!(beyond + groups.iter().map(|group| group.count).sum::<u64>(), 9 + MOST_KEPT_GROUPS as u64);
    }

    #[test]
    fn a_missing_value_differs_from_an_empty_one() {
        let handles = [entry(None, None, None), entry(Some(""), None, None), entry(None, Some(""), None)];
        let handles = handles.map(|entry| group_of(&entry));
        assert!(handles[0] != handles[1] && handles[1] != handles[2] && handles[0] != handles[2], "{handles:?}");
    }
}
