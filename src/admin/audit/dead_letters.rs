//! Operations on dead letters: the action of each, and the dead letters that it covered.

use std::collections::BTreeSet;

use handoffd_engine::dead_letters::{Action, DeadLetterEntry, LetterChange, Operation, RunMode, Selection};
use handoffd_engine::event::EventKey;

use super::AuditAction;

/// Most events that a subject names where its selection does not.
const NAMED: usize = 5;

/// Effect of an operation so far, also if it fails later.
#[derive(Default)]
pub struct OperationTally {
    /// Number of dead letters changed or shown.
    pub count: u64,
    /// Events whose dead letters were discarded.
    pub discarded: Vec<EventKey>,
    /// IDs of the first events covered; those of a dead letter where its event has none.
    first: Vec<String>,
}

impl OperationTally {
    /// Adds an entry that the operation has reported.
    pub fn add(&mut self, entry: &DeadLetterEntry) {
        let is_covered = entry.has_left() || entry.message.is_some();
        self.count += u64::from(is_covered);
        if is_covered && self.first.len() < NAMED {
            self.first.push(entry.event_id.as_ref().unwrap_or(&entry.letter_id).clone());
        }
        self.discarded.extend(entry.discarded_event());
    }

    /// Returns the action to record, with its subject: the selection, and the first events if it names none.
    pub fn audited(&self, operation: &Operation) -> Option<(AuditAction, String)> {
        let (action, subject) = audited(operation)?;
        let Selection { letters, ids, .. } = &operation.selection;
        if !letters.is_empty() || !ids.is_empty() || self.first.is_empty() {
            return Some((action, subject));
        }
        let more = self.count.saturating_sub(self.first.len() as u64);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        Some((action, format!("{subject}: {}{more}", self.first.join(", "))))
    }
}

/// Returns the action to record for an operation, with its subject; none for lists and dry runs.
pub fn audited(operation: &Operation) -> Option<(AuditAction, String)> {
    let action = match operation.action {
        Action::Show => AuditAction::ReadText,
        Action::Change(LetterChange::Replay, RunMode::Apply) | Action::Substitute(RunMode::Apply, _) => {
            AuditAction::Replay
        }
        Action::Change(LetterChange::Discard, RunMode::Apply) => AuditAction::Discard,
        Action::List | Action::Change(_, RunMode::DryRun) | Action::Substitute(RunMode::DryRun, _) => return None,
    };
    let corrected = if matches!(operation.action, Action::Substitute(..)) { "; with a corrected body" } else { "" };
    Some((action, format!("{}{corrected}", subject(&operation.selection))))
}

/// Describes a selection by its criteria.
fn subject(selection: &Selection) -> String {
    let Selection { letters, ids, organization, reason, session, group, before, after, all } = selection;
    let mut parts = Vec::new();
    let mut add = |name: &str, value: Option<String>| parts.extend(value.map(|value| format!("{name} {value}")));
    add("organization", organization.clone());
    add("session", session.clone());
    add("reason", reason.map(|reason| reason.as_str().to_owned()));
    add("group", group.clone());
    add("after", after.map(|time| time.to_string()));
    add("before", before.map(|time| time.to_string()));
    let list = |of: &BTreeSet<String>| (!of.is_empty()).then(|| of.iter().cloned().collect::<Vec<_>>().join(", "));
    add("letters", list(letters));
    add("events", list(ids));
    if *all || parts.is_empty() {
        parts.push("all".to_owned());
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use handoffd_engine::event::Limits;

    use super::*;

    fn recorded(action: Action, selection: Selection) -> Option<(AuditAction, String)> {
        audited(&Operation { selection, action, most: None, limits: Limits { max_event_bytes: 1 }, by: None })
    }

    #[test]
    fn changes_and_readings_are_recorded_with_their_selection() {
        let one = Selection {
            ids: ["evt_1", "evt_2"].map(str::to_owned).into(),
            organization: Some("org_acme".to_owned()),
            ..Selection::default()
        };
        let subject = "organization org_acme; events evt_1, evt_2".to_owned();
        assert_eq!(recorded(Action::Show, one.clone()), Some((AuditAction::ReadText, subject.clone())));
        assert_eq!(
            recorded(Action::Change(LetterChange::Replay, RunMode::Apply), one.clone()),
            Some((AuditAction::Replay, subject))
        );
        let all = Selection { all: true, ..Selection::default() };
        assert_eq!(
            recorded(Action::Change(LetterChange::Discard, RunMode::Apply), all),
            Some((AuditAction::Discard, "all".to_owned()))
        );
        let group = Selection { group: Some("g_1".to_owned()), ..Selection::default() };
        let action = Action::Change(LetterChange::Replay, RunMode::Apply);
        let operation =
            Operation { selection: group, action, most: None, limits: Limits { max_event_bytes: 1 }, by: None };
        let tally = OperationTally {
            count: 7,
            first: vec!["evt_1".to_owned(), "dl_2".to_owned()],
            ..OperationTally::default()
        };
        let named = "group g_1: evt_1, dl_2 and 5 more".to_owned();
        assert_eq!(tally.audited(&operation), Some((AuditAction::Replay, named)));
        for action in [
            Action::List,
            Action::Change(LetterChange::Replay, RunMode::DryRun),
            Action::Change(LetterChange::Discard, RunMode::DryRun),
        ] {
            assert_eq!(recorded(action, one.clone()), None);
        }
    }
}
