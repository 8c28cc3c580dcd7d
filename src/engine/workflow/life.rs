//! Life of an event beside its requests: when it was received, moved, put off, given up, replayed or discarded, and by
//! whom. Entries are only ever added, so a replay or a second death leaves what was there before.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::outcome::{Outcome, Reason};

/// Most milestones of an event. Beyond that waits are dropped first, which keeps a record under 4 KiB.
pub const MILESTONES: usize = 16;
/// Longest name of an operator in a milestone, in characters.
const LONGEST_NAME: usize = 60;
/// Longest error of a death in a milestone, in characters: a sentence or two.
const LONGEST_ERROR: usize = 200;

/// Milestones of an event, oldest first.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Life {
    /// Milestones that were kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub milestones: Vec<Milestone>,
    /// Entries of the history that were dropped, requests included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOut>,
}

/// One milestone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Milestone {
    /// Time of the milestone.
    pub at: Timestamp,
    /// Kind.
    pub what: MilestoneKind,
    /// Operator, for a replay or a discard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Reason of a wait or of a death.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Error of a death, masked and shortened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// End of a wait in a retry queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// Kind of a milestone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MilestoneKind {
    /// A worker received the event from the inbox.
    Received,
    /// The broker confirmed the event in its organization's queue.
    Moved,
    /// The event was put into a retry queue.
    Waiting,
    /// An earlier run of the event ended in the dead letters.
    Dead,
    /// An operator replayed the event, which began a new run.
    Replayed,
    /// An operator discarded the dead letter.
    Discarded,
    /// A kind that a newer version has written.
    #[serde(other)]
    Other,
}

/// Entries that were dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LeftOut {
    /// Number of entries.
    pub count: u32,
    /// Time of the newest of them.
    pub until: Timestamp,
}

/// Replay of an event, as its message states it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplayMark {
    /// Time of the replay.
    pub at: Timestamp,
    /// Operator, if the message names one.
    pub by: Option<String>,
}

impl Milestone {
    /// Creates a milestone of this kind only.
    pub fn bare(at: Timestamp, what: MilestoneKind) -> Self {
        Self { at, what, by: None, reason: None, error: None, until: None }
    }

    /// Creates a wait in a retry queue.
    pub fn waiting(at: Timestamp, reason: &str, until: Timestamp) -> Self {
        Self { reason: Some(reason.to_owned()), until: Some(until), ..Self::bare(at, MilestoneKind::Waiting) }
    }

    /// Creates the end of an earlier run in the dead letters.
    pub(super) fn dead(outcome: &Outcome) -> Self {
        let reason = outcome.reason.map(Reason::as_str).map(str::to_owned);
        let error = outcome.error.as_ref().map(|error| error.message.chars().take(LONGEST_ERROR).collect());
        Self { reason, error, ..Self::bare(outcome.finished_at, MilestoneKind::Dead) }
    }

    /// Creates an operator's discard.
    pub fn discarded(at: Timestamp, by: &str) -> Self {
        Self { by: Some(name(by)), ..Self::bare(at, MilestoneKind::Discarded) }
    }
}

impl Life {
    /// Returns true if nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds a milestone, within [`MILESTONES`]. The oldest wait makes room; the first milestones and the newest stay.
    pub fn add(&mut self, milestone: Milestone) {
        if self.milestones.len() >= MILESTONES {
            let is_wait = |milestone: &Milestone| milestone.what == MilestoneKind::Waiting;
            let dropped = self.milestones.iter().position(is_wait).unwrap_or(2);
            let gone = self.milestones.remove(dropped);
            self.leave_out(gone.at);
        }
        self.milestones.push(milestone);
    }

    /// Counts an entry of this time that was dropped.
    pub fn leave_out(&mut self, at: Timestamp) {
        let before = self.left_out.unwrap_or(LeftOut { count: 0, until: at });
        self.left_out = Some(LeftOut { count: before.count.saturating_add(1), until: before.until.max(at) });
    }

    /// Returns the newest milestone of a kind.
    pub fn last(&self, what: MilestoneKind) -> Option<&Milestone> {
        self.milestones.iter().rev().find(|milestone| milestone.what == what)
    }
}

/// Returns the name of an operator, as a milestone keeps it.
pub(super) fn name(by: &str) -> String {
    by.chars().take(LONGEST_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::samples::at;

    const NINE: &str = "2026-11-22T09:00:00Z";
    const TEN: &str = "2026-11-22T10:00:00Z";
    const NOON: &str = "2026-11-22T12:00:00Z";

    fn kinds(life: &Life) -> Vec<MilestoneKind> {
        life.milestones.iter().map(|milestone| milestone.what).collect()
    }

    #[test]
    fn waits_make_room_for_milestones_and_are_counted() {
        let mut life = Life::default();
        life.add(Milestone::bare(at(NINE), MilestoneKind::Received));
        life.add(Milestone::bare(at(NINE), MilestoneKind::Replayed));
        for _ in 0..MILESTONES + 5 {
            life.add(Milestone::waiting(at(TEN), "transient", at(NOON)));
        }
        assert_eq!(life.milestones.len(), MILESTONES);
        assert_eq!(life.left_out, Some(LeftOut { count: 7, until: at(TEN) }));
        assert_eq!(kinds(&life)[..2], [MilestoneKind::Received, MilestoneKind::Replayed]);
        for _ in 0..3 * MILESTONES {
            life.add(Milestone::bare(at(NOON), MilestoneKind::Replayed));
        }
        assert_eq!(life.milestones.len(), MILESTONES);
        assert_eq!(kinds(&life)[0], MilestoneKind::Received);
    }

    #[test]
    fn a_kind_of_a_newer_version_is_read() {
        let read: Milestone =
            serde_json::from_str(r#"{"at":"2026-11-22T09:00:00Z","what":"teleported"}"#).expect("a milestone");
        assert_eq!(read.what, MilestoneKind::Other);
        assert_eq!(serde_json::from_str::<Life>("{}").expect("a life"), Life::default());
        assert_eq!(serde_json::to_string(&Life::default()).expect("JSON"), "{}");
    }
}
