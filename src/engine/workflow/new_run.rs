//! Changes of a record that begin another run of its event, or end its dead letter, and keep everything before. Pure.

use super::life::{Life, Milestone, MilestoneKind, ReplayMark, name};
use super::record::{HistoryEntry, Phase, Record};

/// Returns the life and the requests with which a new run of an event begins: all of the earlier run, its end, and the
/// replay.
pub fn new_run(earlier: Option<Record>, replay: Option<ReplayMark>) -> (Life, Vec<HistoryEntry>) {
    let (mut life, requests) = match earlier {
        Some(Record { mut life, history, phase, first_seen, .. }) => {
            if life.last(MilestoneKind::Received).is_none() && life.last(MilestoneKind::Replayed).is_none() {
                life.milestones.insert(0, Milestone::bare(first_seen, MilestoneKind::Received));
            }
            if let Phase::Dead(outcome) = phase {
                life.add(Milestone::dead(&outcome));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Kind;
    use crate::workflow::samples::at;
    use crate::workflow::{Failure, Outcome, Progress, Reason, Status, StepName};

    const NINE: &str = "2026-11-22T09:00:00Z";
    const TEN: &str = "2026-11-22T10:00:00Z";
    const NOON: &str = "2026-11-22T12:00:00Z";

    fn dead() -> Record {
        let error = Failure {
            step: StepName::Decode,
            status: None,
            code: None,
            message: "no session".to_owned(),
            advice: None,
        };
        let outcome = Outcome {
            reason: Some(Reason::InvalidEvent),
            error: Some(error),
            ..Outcome::bare(Kind::Handoff, Status::Failed, 1, at(TEN))
        };
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
        assert_eq!(life.milestones[1].error.as_deref(), Some("no session"));
        assert_eq!(life.milestones[2].by.as_deref(), Some("token (ann)"));
    }

    #[test]
    fn a_new_run_keeps_the_receipt_of_an_event_that_was_never_begun() {
        let never_begun = Record { life: Life::default(), ..dead() };
        let (life, _) = new_run(Some(never_begun), Some(ReplayMark { at: at(NOON), by: None }));
        assert_eq!(kinds(&life), [MilestoneKind::Received, MilestoneKind::Dead, MilestoneKind::Replayed]);
        assert_eq!(life.milestones[0].at, at(NINE));
    }

    #[test]
    fn a_new_run_keeps_the_requests_and_a_redelivery_is_no_second_replay() {
        let request = HistoryEntry {
            at: at(NINE),
            attempt: 1,
            step: StepName::PostIncident,
            elapsed_ms: 80,
            status: Some(400),
            code: None,
            error: None,
            request_id: None,
        };
        let replay = ReplayMark { at: at(NOON), by: None };
        let dead = Record { history: vec![request.clone()], ..dead() };
        let (life, requests) = new_run(Some(dead.clone()), Some(replay.clone()));
        assert_eq!(requests, dead.history);
        let (again, requests) =
            new_run(Some(Record { life: life.clone(), phase: Phase::InHand, ..dead }), Some(replay));
        assert_eq!((again, requests), (life, vec![request]));
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
}
