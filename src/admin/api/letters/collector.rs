//! Entries kept, for those who want them as values.

use std::collections::BTreeMap;

use bytes::Bytes;
use handoffd_engine::dead_letters::{Action, Entry, Observer, Tally, whole};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::desk::{Done, broken_off};
use crate::admin::api::Problem;

/// What was found, or done.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Collected {
    /// Those that match, oldest first.
    pub entries: Vec<Entry>,
    /// Everything about them, when that was asked for: customer text.
    pub shown: Vec<Map<String, Value>>,
    /// Whether there are more of them than were wanted.
    pub more: bool,
    /// How many there were.
    pub tally: Tally,
}

/// Dead letters counted.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Grouped {
    /// By reason and organization, the largest first.
    pub groups: Vec<Group>,
    /// How many were looked at, how many match.
    pub tally: Tally,
}

/// Dead letters of one reason and one organization.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// Why they were given up; none where somebody put them there.
    pub reason: Option<String>,
    /// Whose they are; none where it could not be read.
    pub organization_id: Option<String>,
    /// How many.
    pub count: u64,
    /// When the last of them was given up.
    pub last: Option<Timestamp>,
    /// What went wrong with it.
    pub error: Option<String>,
}

/// Keeps entries, no more than are wanted.
pub(super) struct Collector {
    collected: Collected,
    most: usize,
    /// Ends what only looks, once there are enough.
    enough: Option<CancellationToken>,
}

impl Collector {
    pub(super) fn new(action: &Action, most: usize, stop: &CancellationToken) -> Self {
        let only_looks = matches!(action, Action::List | Action::Show);
        Self { collected: Collected::default(), most, enough: only_looks.then(|| stop.clone()) }
    }

    /// What was found, or done; or what failed, with what was done before.
    pub(super) fn end(self, done: Done) -> Result<Collected, Problem> {
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

    fn entry(&mut self, entry: Entry) {
        if self.has_room() {
            self.collected.entries.push(entry);
        }
    }

    fn shown(&mut self, entry: Entry, details: Value, body: &Bytes) {
        if self.has_room() {
            self.collected.shown.push(whole(&entry, details, body));
        }
    }
}

/// Counts.
#[derive(Default)]
pub(super) struct Groups(BTreeMap<(Option<String>, Option<String>), Group>);

impl Groups {
    pub(super) fn grouped(self, tally: Tally) -> Grouped {
        let mut groups: Vec<Group> = self.0.into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        Grouped { groups, tally }
    }
}

impl Observer for Groups {
    fn looked_at(&mut self, _: u64, _: u64) {}

    fn entry(&mut self, entry: Entry) {
        let Entry { reason, organization_id, error, dead_at, .. } = entry;
        let key = (reason.clone(), organization_id.clone());
        let new = || Group { reason, organization_id, count: 0, last: None, error: None };
        let group = self.0.entry(key).or_insert_with(new);
        group.count += 1;
        if dead_at >= group.last {
            (group.last, group.error) = (dead_at, error);
        }
    }

    fn shown(&mut self, _: Entry, _: Value, _: &Bytes) {}
}
