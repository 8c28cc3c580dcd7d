//! Choice between an imported entry and the stored one. Pure.
//!
//! Stored entries stay unless the imported one is better for sure, so an import beside running workers takes nothing back
//! that they have done, and a second import changes nothing.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{PortableEntry, PortableKey};
use crate::workflow::{Phase, Record};

/// Returns for each entry whether it is to be written, given what is stored under their keys. Of several entries with
/// one key at most one is.
pub fn choose<S: std::hash::BuildHasher>(
    entries: &[PortableEntry],
    stored: &HashMap<PortableKey, PortableEntry, S>,
) -> Vec<bool> {
    let mut written = vec![false; entries.len()];
    let mut last: HashMap<PortableKey, usize> = HashMap::new();
    for (nth, entry) in entries.iter().enumerate() {
        let key = entry.key();
        let before = last.get(&key).copied();
        let present = before.and_then(|before| entries.get(before)).or_else(|| stored.get(&key));
        if present.is_none_or(|present| is_better(entry, present)) {
            if let Some(before) = before {
                written[before] = false;
            }
            written[nth] = true;
            last.insert(key, nth);
        }
    }
    written
}

/// Returns true if an entry replaces the stored one of the same key.
fn is_better(entry: &PortableEntry, stored: &PortableEntry) -> bool {
    use PortableEntry::{Contact, Queued, Session};
    match (entry, stored) {
        (PortableEntry::Record { record, .. }, PortableEntry::Record { record: stored, .. }) => {
            is_better_record(record, stored)
        }
        (PortableEntry::Record { .. }, Queued { .. }) => true, // the event was begun since
        (Session { at, .. }, Session { at: stored, .. }) | (Contact { at, .. }, Contact { at: stored, .. }) => {
            at > stored
        }
        // These have no time of change, or none that tells which is newer.
        _ => false,
    }
}

/// Compares records of one event: the first that finished wins, none with an outcome is replaced by one without, and
/// otherwise the newer one wins.
fn is_better_record(record: &Record, stored: &Record) -> bool {
    let is_finished = |record: &Record| matches!(record.phase, Phase::Finished(_));
    match (is_finished(record), is_finished(stored)) {
        (_, true) => false,
        (true, false) => true,
        (false, false) if stored.outcome().is_some() && record.outcome().is_none() => false,
        (false, false) => changed_at(record) > changed_at(stored),
    }
}

/// Returns the time of the newest fact in a record.
fn changed_at(record: &Record) -> Timestamp {
    let outcome = record.outcome().map(|outcome| outcome.finished_at);
    let requests = record.history.iter().map(|entry| entry.at);
    let milestones = record.life.milestones.iter().map(|milestone| milestone.at);
    outcome.into_iter().chain(requests).chain(milestones).fold(record.first_seen, Timestamp::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventKey, Kind};
    use crate::ports::store::queued::QueuedNote;
    use crate::workflow::{Life, Milestone, MilestoneKind, Outcome, SessionEntry, SessionState, Status};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn outcome(second: i64) -> Outcome {
        let text = format!(
            r#"{{"kind":"handoff","status":"succeeded","route":null,"session_id":null,"channel":null,"incident":null,
            "closed":[],"work_item":null,"contact_id":null,"attempts":1,"warnings":[],"reason":null,"error":null,
            "started_at":"{0}","finished_at":"{0}"}}"#,
            at(second)
        );
        serde_json::from_str(&text).unwrap()
    }

    fn record(phase: Phase, second: i64) -> PortableEntry {
        let record = Record {
            first_seen: at(0),
            settled: true,
            life: Life { milestones: vec![Milestone::bare(at(second), MilestoneKind::Moved)], left_out: None },
            ..crate::workflow::samples::record(phase)
        };
        PortableEntry::record(EventKey { organization_id: "o".into(), event_id: "e".into() }, record)
    }

    fn failed(second: i64) -> Phase {
        Phase::Dead(Outcome { status: Status::Failed, ..outcome(second) })
    }

    fn note() -> PortableEntry {
        let note = QueuedNote { kind: Kind::Handoff, session_id: "s".into(), received: at(9), moved: None };
        PortableEntry::queued(EventKey { organization_id: "o".into(), event_id: "e".into() }, note)
    }

    fn session(second: i64) -> PortableEntry {
        let entry =
            SessionEntry { event_id: "e".into(), state: SessionState::Opening, handed_off: None, closing: None };
        PortableEntry::Session {
            organization_id: "o".into(),
            session_id: "s".into(),
            first: at(0),
            at: at(second),
            entry,
        }
    }

    #[test]
    fn the_first_finished_record_wins_then_an_outcome_then_the_newer_one() {
        for (entry, stored, better) in [
            (record(Phase::Finished(outcome(1)), 1), record(Phase::Finished(outcome(2)), 2), false),
            (record(Phase::Finished(outcome(2)), 2), record(Phase::Finished(outcome(1)), 1), false),
            (record(Phase::InHand, 9), record(Phase::Finished(outcome(1)), 1), false),
            (record(failed(9), 9), record(Phase::Finished(outcome(1)), 1), false),
            (record(Phase::Finished(outcome(1)), 1), record(Phase::InHand, 9), true),
            (record(Phase::Finished(outcome(1)), 1), record(failed(9), 9), true),
            (record(Phase::InHand, 9), record(failed(1), 1), false),
            (record(failed(1), 1), record(Phase::Waiting, 2), false), // replayed since
            (record(failed(3), 1), record(Phase::Waiting, 2), true),
            (record(failed(3), 3), record(failed(2), 2), true),
            (record(Phase::Waiting, 2), record(Phase::Waiting, 2), false),
            (record(Phase::Waiting, 3), record(Phase::InHand, 2), true),
            (record(Phase::InHand, 1), note(), true),
            (note(), record(Phase::InHand, 1), false),
            (note(), note(), false),
            (session(2), session(1), true),
            (session(1), session(1), false),
        ] {
            assert_eq!(is_better(&entry, &stored), better, "{entry:?} for {stored:?}");
        }
    }

    #[test]
    fn what_has_no_time_stays() {
        let pause = |second| PortableEntry::Pause { organization_id: "o".into(), since: at(second) };
        let stored = HashMap::from([(pause(1).key(), pause(1))]);
        assert_eq!(choose(&[pause(2)], &stored), [false]);
        assert_eq!(choose(&[pause(2)], &HashMap::new()), [true]);
    }

    #[test]
    fn of_several_entries_with_one_key_the_best_is_written() {
        let entries = [session(1), session(3), session(2), record(Phase::InHand, 1), note()];
        assert_eq!(choose(&entries, &HashMap::new()), [false, true, false, true, false]);
    }
}
