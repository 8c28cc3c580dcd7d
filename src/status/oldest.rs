//! Age of an organization's oldest unfinished event, or the statement that it is unknown.

use std::time::Duration;

use handoffd_engine::worker::EventAges;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Time for which an arrival is believed against a depth of 0, which may have been measured before it.
const BELIEVED: Duration = Duration::from_secs(120);

/// Oldest unfinished event of an organization.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OldestEvent {
    /// No event is unfinished.
    None,
    /// An event waits, but since when is unknown, or it is unknown if one waits.
    #[default]
    Unknown,
    /// Arrival of the oldest event that the worker knows.
    Since(Timestamp),
}

impl OldestEvent {
    /// Derives it from the arrivals that the worker knows and the depth of the organization's queue, if known.
    pub fn new(ages: EventAges, depth: Option<u64>, now: Timestamp) -> Self {
        let is_recent = |since: &Timestamp| now.duration_since(*since).unsigned_abs() < BELIEVED;
        let waiting = ages.waiting.filter(|since| depth != Some(0) || is_recent(since));
        match ages.held.into_iter().chain(waiting).min() {
            Some(since) => Self::Since(since),
            None if depth == Some(0) => Self::None,
            None => Self::Unknown,
        }
    }

    /// Returns the age; zero if no event is unfinished, `None` if it is unknown.
    pub fn age(self, now: Timestamp) -> Option<Duration> {
        match self {
            Self::None => Some(Duration::ZERO),
            Self::Unknown => None,
            Self::Since(since) => Some(Duration::try_from(now.duration_since(since)).unwrap_or_default()),
        }
    }
}
