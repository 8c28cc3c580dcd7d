//! Dead letters by reason, organization and error. Pure.

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
    fn a_missing_value_differs_from_an_empty_one() {
        let handles = [entry(None, None, None), entry(Some(""), None, None), entry(None, Some(""), None)];
        let handles = handles.map(|entry| group_of(&entry));
        assert!(handles[0] != handles[1] && handles[1] != handles[2] && handles[0] != handles[2], "{handles:?}");
    }
}
