//! Life of an event beside its requests: when it was received, moved, put off, given up, replayed or discarded, and by
//! whom. Entries are only ever added, so a replay or a second death leaves what was there before.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::outcome::Reason;
use super::record::{HistoryEntry, Phase, Record};

/// Most milestones of an event. Beyond that waits are dropped first, which keeps a record under 4 KiB.
pub const MILESTONES: usize = 16;
/// Longest name of an operator in a milestone, in characters.
const LONGEST_NAME: usize = 60;

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
        Self { at, what, by: None, reason: None, until: None }
    }

    /// Creates a wait in a retry queue.
    pub fn waiting(at: Timestamp, reason: &str, until: Timestamp) -> Self {
        Self { reason: Some(reason.to_owned()), until: Some(until), ..Self::bare(at, MilestoneKind::Waiting) }
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

/// Returns the life and the requests with which a new run of an event begins: all of the earlier run, its end, and the
/// replay.
pub fn new_run(earlier: Option<Record>, replay: Option<ReplayMark>) -> (Life, Vec<HistoryEntry>) {
    let (mut life, requests) = match earlier {
        Some(Record { mut life, history, phase, .. }) => {
            if let Phase::Dead(outcome) = phase {
                let reason = outcome.reason.map(Reason::as_str).map(str::to_owned);
                life.add(Milestone { reason, ..Milestone::bare(outcome.finished_at, MilestoneKind::Dead) });
                life.milestones.sort_by_key(|milestone| milestone.at); // it may have been discarded after that
            }
            (life, history)
        }
        None => (Life::default(), Vec::new()),
    };
    let is_known = |at| life.last(MilestoneKind::Replayed).is_some_and(|replayed| replayed.at == at);
    if let Some(ReplayMark { at, by }) = replay.filter(|replay| !is_known(replay.at)) {
        let by = by.as_deref().map(name);
        life.add(Milestone { by, ..Milestone::bare(at, MilestoneKind::Replayed) });
    }
    (life, requests)
}

/// Returns the record with an operator's discard of its dead letter; `None` if the event is not dead, or died after
/// that.
pub fn discarded(record: &Record, discard: &Milestone) -> Option<Record> {
    let Phase::Dead(outcome) = &record.phase else { return None };
    if outcome.finished_at > discard.at || record.is_discarded() {
        return None;
    }
    let mut record = record.clone();
    record.life.add(discard.clone());
    Some(record)
}

fn name(by: &str) -> String {
    by.chars().take(LONGEST_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Kind;
    use crate::workflow::samples::at;
    use crate::workflow::{Outcome, Progress, Status};

    const NINE: &str = "2026-11-22T09:00:00Z";
    const TEN: &str = "2026-11-22T10:00:00Z";
    const NOON: &str = "2026-11-22T12:00:00Z";

    fn dead() -> Record {
        let outcome =
            Outcome { reason: Some(Reason::InvalidEvent), ..Outcome::bare(Kind::Handoff, Status::Failed, 1, at(TEN)) };
        let life = Life { milestones: vec![Milestone::bare(at(NINE), MilestoneKind::Received)], left_out: None };
        Record {
            kind: Kind::Handoff,
            session_id: None,
            body_digest: String::new(),
            first_seen: at(NINE),
            attempts: 1,
            phase: Phase::Dead(outcome),
            settled: true,
            poison: false,
            progress: Progress::default(),
            history: Vec::new(),
            life,
        }
    }

    fn kinds(life: &Life) -> Vec<MilestoneKind> {
        life.milestones.iter().map(|milestone| milestone.what).collect()
    }

    #[test]
    fn a_new_run_keeps_the_earlier_one_and_adds_its_end_and_the_replay() {
        let replay = ReplayMark { at: at(NOON), by: Some("token (ann)".to_owned()) };
        let (life, _) = new_run(Some(dead()), Some(replay));
        assert_eq!(kinds(&life), [MilestoneKind::Received, MilestoneKind::Dead, MilestoneKind::Replayed]);
        assert_eq!(life.milestones[1].reason.as_deref(), Some("invalid_event"));
        assert_eq!(life.milestones[2].by.as_deref(), Some("token (ann)"));
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
    fn only_a_dead_event_is_discarded_and_only_once() {
        let discard = Milestone::discarded(at(NOON), "local");
        let gone = discarded(&dead(), &discard).expect("a dead event");
        assert!(gone.is_discarded() && !dead().is_discarded());
        assert_eq!(discarded(&gone, &discard), None);
        assert_eq!(discarded(&Record { phase: Phase::InHand, ..dead() }, &discard), None);
        assert_eq!(discarded(&dead(), &Milestone::discarded(at(NINE), "local")), None, "it died after that");
        let (life, _) = new_run(Some(gone), None);
        assert_eq!(kinds(&life), [MilestoneKind::Received, MilestoneKind::Dead, MilestoneKind::Discarded]);
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
