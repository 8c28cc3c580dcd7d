//! Operations on dead letters: the action of each, and the number of dead letters that it covered.

use std::collections::BTreeSet;

use async_trait::async_trait;
use handoffd_engine::dead_letters::{
    Action, DeadLetterEntry, LetterChange, Observer, Operation, OperationResult, RunMode, Selection,
};

use super::AuditAction;

/// Observer that counts what an operation has changed or shown, also if it fails later.
pub struct CountingObserver<'a> {
    /// Observer that gets the same.
    inner: &'a mut dyn Observer,
    /// Number of dead letters changed or shown.
    pub count: u64,
}

impl<'a> CountingObserver<'a> {
    /// Counts for this observer.
    pub fn new(inner: &'a mut dyn Observer) -> Self {
        Self { inner, count: 0 }
    }
}

#[async_trait]
impl Observer for CountingObserver<'_> {
    async fn room(&mut self) {
        self.inner.room().await;
    }

    fn looked_at(&mut self, count: u64, total: u64) {
        self.inner.looked_at(count, total);
    }

    fn entry(&mut self, entry: DeadLetterEntry) {
        let changed = matches!(entry.result, Some(OperationResult::Replayed | OperationResult::Discarded));
        self.count += u64::from(changed || entry.message.is_some());
        self.inner.entry(entry);
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
    Some((action, subject(&operation.selection)))
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
        for action in [
            Action::List,
            Action::Change(LetterChange::Replay, RunMode::DryRun),
            Action::Change(LetterChange::Discard, RunMode::DryRun),
        ] {
            assert_eq!(recorded(action, one.clone()), None);
        }
    }
}
