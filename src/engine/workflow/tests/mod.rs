//! Rules across files of this room.

mod closing;
mod explore;
mod outcomes;
mod page;
mod policy;
mod states;
mod warnings;

use super::samples::at;
use super::{Decision, Memory, Progress, Settings, Time, decide};
use crate::event::Event;

/// The first attempt, right after the event was first seen.
fn early() -> Time {
    let seen = at("2026-11-22T10:15:00Z");
    Time { now: seen, first_seen: seen, attempts: 1 }
}

/// Long after any wait is over.
fn late() -> Time {
    Time { now: at("2026-11-22T12:15:00Z"), ..early() }
}

fn next(event: &Event, settings: &Settings, memory: &Memory) -> Decision {
    decide(event, settings, memory, &Progress::default(), late())
}
