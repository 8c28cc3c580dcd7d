//! Observers that collect or count entries, for callers that want values.

use std::collections::BTreeMap;

use bytes::Bytes;
use handoffd_engine::dead_letters::{Action, Counts, DeadLetterEntry, Observer, full_view};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::browse_end::{BrowseEnd, broken_off};
use crate::admin::api::Problem;

/// Result of a pass through the dead letters.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Collected {
    /// Matching entries, oldest first.
    pub entries: Vec<DeadLetterEntry>,
    /// Full messages with customer text, if requested.
    pub shown: Vec<Map<String, Value>>,
    /// True if more match than were requested.
    pub more: bool,
    /// Totals.
    pub tally: Counts,
}

/// Dead letters by group.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Grouped {
    /// Groups by reason and organization, largest first.
    pub groups: Vec<DeadLetterGroup>,
    /// Totals of checked and matching dead letters.
    pub tally: Counts,
}

/// Dead letters of one reason and one organization.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetterGroup {
    /// Reason for the failure; `None` if another application published the message.
    pub reason: Option<String>,
    /// Organization that owns the events; `None` if unreadable.
    pub organization_id: Option<String>,
    /// Number of dead letters.
    pub count: u64,
    /// Time at which the most recent one failed.
    pub last: Option<Timestamp>,
    /// Error of the most recent one.
    pub error: Option<String>,
}

/// Observer that collects a limited number of entries.
pub(super) struct Collector {
    collected: Collected,
    most: usize,
    /// Stops a read-only pass once there are enough entries.
    enough: Option<CancellationToken>,
}

impl Collector {
    pub(super) fn new(action: &Action, most: usize, stop: &CancellationToken) -> Self {
        let only_looks = matches!(action, Action::List | Action::Show);
        Self { collected: Collected::default(), most, enough: only_looks.then(|| stop.clone()) }
    }

    /// Returns the result, or the failure with the results so far.
    pub(super) fn end(self, done: BrowseEnd) -> Result<Collected, Problem> {
        match done {
            Ok(tally) if tally.stopped && !self.collected.more => Err(self.tell(broken_off())),
            Ok(tally) => Ok(Collected { tally, ..self.collected }),
            Err(problem) => Err(self.tell(problem)),
        }
    }

    fn tell(self, problem: Problem) -> Problem {
        if self.collected.entries.iter().all(|entry| entry.result.is_none()) {
            return problem;
        }
        problem.with("results", json!(self.collected.entries))
    }

    fn has_room(&mut self) -> bool {
        let full = self.collected.entries.len() + self.collected.shown.len() >= self.most;
        if full {
            self.collected.more = true;
            if let Some(enough) = &self.enough {
                enough.cancel();
            }
        }
        !full
    }
}

impl Observer for Collector {
    fn looked_at(&mut self, _: u64, _: u64) {}

    fn entry(&mut self, entry: DeadLetterEntry) {
        if self.has_room() {
            self.collected.entries.push(entry);
        }
    }

    fn shown(&mut self, entry: DeadLetterEntry, details: Value, body: &Bytes) {
        if self.has_room() {
            self.collected.shown.push(full_view(&entry, details, body));
        }
    }
}

/// Observer that counts entries by group.
#[derive(Default)]
pub(super) struct Groups(BTreeMap<(Option<String>, Option<String>), DeadLetterGroup>);

impl Groups {
    pub(super) fn grouped(self, tally: Counts) -> Grouped {
        let mut groups: Vec<DeadLetterGroup> = self.0.into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        Grouped { groups, tally }
    }
}

impl Observer for Groups {
    fn looked_at(&mut self, _: u64, _: u64) {}

    fn entry(&mut self, entry: DeadLetterEntry) {
        let DeadLetterEntry { reason, organization_id, error, dead_at, .. } = entry;
        let key = (reason.clone(), organization_id.clone());
        let new = || DeadLetterGroup { reason, organization_id, count: 0, last: None, error: None };
        let group = self.0.entry(key).or_insert_with(new);
        group.count += 1;
        if dead_at >= group.last {
            (group.last, group.error) = (dead_at, error);
        }
    }

    fn shown(&mut self, _: DeadLetterEntry, _: Value, _: &Bytes) {}
}
