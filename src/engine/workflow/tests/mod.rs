//! Tests across the files of the workflow.

mod closing;
mod explore;
mod outcomes;
mod page;
mod policy;
mod states;
mod warnings;

use std::time::Duration;

use super::samples::at;
use super::{Decision, Memory, Progress, Settings, Time, decide};
use crate::event::Event;

/// Returns the time of the first attempt, right after the event was received.
fn early() -> Time {
    Time { now: at("2026-11-22T10:15:00Z"), age: Duration::ZERO, attempts: 1 }
}

/// Returns a time long after every wait has ended.
fn late() -> Time {
    Time { now: at("2026-11-22T12:15:00Z"), age: Duration::from_secs(2 * 60 * 60), ..early() }
}

fn next(event: &Event, settings: &Settings, memory: &Memory) -> Decision {
    decide(event, settings, memory, &Progress::default(), late())
}
