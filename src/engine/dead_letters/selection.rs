//! Selection of dead letters.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::entry::DeadLetterEntry;
use super::group::group_of;
use crate::workflow::Reason;

/// Selection of dead letters; every criterion given must match.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Selection {
    /// Ids of dead letters, one of which must match.
    pub letters: BTreeSet<String>,
    /// Event ids, one of which must match.
    pub ids: BTreeSet<String>,
    /// Organization that owns the event.
    pub organization: Option<String>,
    /// Reason for giving up the event.
    pub reason: Option<Reason>,
    /// Id of the conversation.
    pub session: Option<String>,
    /// Handle of a group.
    pub group: Option<String>,
    /// End of the time range, exclusive.
    pub before: Option<Timestamp>,
    /// Start of the time range, inclusive.
    pub after: Option<Timestamp>,
    /// True if all dead letters are explicitly selected.
    pub all: bool,
}

impl Selection {
    /// Returns true if no criterion is given.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns true if the dead letter matches. A criterion never matches a value that could not be read.
    pub fn matches(&self, entry: &DeadLetterEntry) -> bool {
        let fields = LetterFields {
            letter_id: &entry.letter_id,
            event_id: entry.event_id.as_deref(),
            organization_id: entry.organization_id.as_deref(),
            session_id: entry.session_id.as_deref(),
            reason: entry.reason.as_deref(),
            dead_at: entry.dead_at,
        };
        self.matches_fields(&fields, |handle| group_of(entry) == handle)
    }

    /// Returns true if a dead letter with these fields matches, given whether it is in the group of a handle.
    pub(super) fn matches_fields(&self, it: &LetterFields<'_>, is_in: impl FnOnce(&str) -> bool) -> bool {
        let is = |wanted: Option<&str>, found: Option<&str>| wanted.is_none() || wanted == found;
        (self.letters.is_empty() || self.letters.contains(it.letter_id))
            && (self.ids.is_empty() || it.event_id.is_some_and(|id| self.ids.contains(id)))
            && is(self.organization.as_deref(), it.organization_id)
            && is(self.reason.map(Reason::as_str), it.reason)
            && is(self.session.as_deref(), it.session_id)
            && self.before.is_none_or(|before| it.dead_at.is_some_and(|dead_at| dead_at < before))
            && self.after.is_none_or(|after| it.dead_at.is_some_and(|dead_at| dead_at >= after))
            && self.group.as_deref().is_none_or(is_in)
    }
}

/// Fields of a dead letter that a selection compares.
pub(super) struct LetterFields<'a> {
    pub(super) letter_id: &'a str,
    pub(super) event_id: Option<&'a str>,
    pub(super) organization_id: Option<&'a str>,
    pub(super) session_id: Option<&'a str>,
    pub(super) reason: Option<&'a str>,
    pub(super) dead_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a test's time is RFC 3339")
    }

    fn entry() -> DeadLetterEntry {
        DeadLetterEntry {
            letter_id: "dl_1".to_owned(),
            event_id: Some("evt_1".to_owned()),
            organization_id: Some("org_acme".to_owned()),
            session_id: Some("ses_1".to_owned()),
            reason: Some("rejected_by_dynamics".to_owned()),
            dead_at: Some(at("2026-11-22T10:15:00Z")),
            ..DeadLetterEntry::default()
        }
    }

    fn selects(change: impl FnOnce(&mut Selection)) -> [bool; 2] {
        let mut selection = Selection::default();
        change(&mut selection);
        [entry(), DeadLetterEntry::default()].map(|entry| selection.matches(&entry))
    }

    #[test]
    fn every_criterion_must_match_and_unreadable_values_never_do() {
        let [text, other] = [|text: &str| Some(text.to_owned()), |_: &str| Some("other".to_owned())];
        assert_eq!(selects(|_| ()), [true, true]);
        assert_eq!(selects(|it| it.all = true), [true, true]);
        let ids = |ids: &[&str]| ids.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        assert_eq!(selects(|it| it.letters = ids(&["dl_0", "dl_1"])), [true, false]);
        assert_eq!(selects(|it| it.letters = ids(&["evt_1"])), [false, false]);
        assert_eq!(selects(|it| it.ids = ids(&["evt_0", "evt_1"])), [true, false]);
        assert_eq!(selects(|it| it.ids = ids(&["evt_0"])), [false, false]);
        assert_eq!(selects(|it| it.organization = text("org_acme")), [true, false]);
        assert_eq!(selects(|it| it.organization = other("")), [false, false]);
        assert_eq!(selects(|it| it.session = text("ses_1")), [true, false]);
        assert_eq!(selects(|it| it.session = other("")), [false, false]);
        assert_eq!(selects(|it| it.reason = Some(Reason::RejectedByDynamics)), [true, false]);
        assert_eq!(selects(|it| it.reason = Some(Reason::DeliveryLimit)), [false, false]);
    }

    #[test]
    fn a_group_matches_unreadable_values_too() {
        assert_eq!(selects(|it| it.group = Some(group_of(&entry()))), [true, false]);
        assert_eq!(selects(|it| it.group = Some(group_of(&DeadLetterEntry::default()))), [false, true]);
    }

    #[test]
    fn after_is_inclusive_and_before_is_exclusive() {
        let (dead, later) = (at("2026-11-22T10:15:00Z"), at("2026-11-22T10:15:00.001Z"));
        assert_eq!(selects(|it| it.after = Some(dead)), [true, false]);
        assert_eq!(selects(|it| it.after = Some(later)), [false, false]);
        assert_eq!(selects(|it| it.before = Some(dead)), [false, false]);
        assert_eq!(selects(|it| it.before = Some(later)), [true, false]);
    }

    #[test]
    fn every_criterion_must_match_even_with_all() {
        let both = |it: &mut Selection| {
            it.all = true;
            it.organization = Some("org_acme".to_owned());
            it.session = Some("ses_2".to_owned());
        };
        assert_eq!(selects(both), [false, false]);
        assert!(Selection::default().is_empty());
        assert!(!Selection { all: true, ..Selection::default() }.is_empty());
    }
}
