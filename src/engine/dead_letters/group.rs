//! Dead letters by reason and organization. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::entry::DeadLetterEntry;

/// Dead letters of one reason and one organization.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetterGroup {
    /// Reason for the failure; `None` if another application published the message.
    pub reason: Option<String>,
    /// Organization that owns the events; `None` if unreadable.
    pub organization_id: Option<String>,
    /// Number of dead letters.
    pub count: u64,
    /// Time at which the most recent one failed.
    pub last: Option<Timestamp>,
    /// Error of the most recent one.
    pub error: Option<String>,
}

/// Groups being counted.
#[derive(Default, Debug)]
pub struct Groups(BTreeMap<(Option<String>, Option<String>), DeadLetterGroup>);

impl Groups {
    /// Counts a dead letter.
    pub fn add(&mut self, entry: DeadLetterEntry) {
        let DeadLetterEntry { reason, organization_id, error, dead_at, .. } = entry;
        let key = (reason.clone(), organization_id.clone());
        let new = || DeadLetterGroup { reason, organization_id, count: 0, last: None, error: None };
        let group = self.0.entry(key).or_insert_with(new);
        group.count += 1;
        if dead_at >= group.last {
            (group.last, group.error) = (dead_at, error);
        }
    }

    /// Returns the groups, largest first.
    pub fn sorted(self) -> Vec<DeadLetterGroup> {
        let mut groups: Vec<DeadLetterGroup> = self.0.into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        groups
    }
}
