//! What is written but not durable yet: kept in memory, seen by every read, given to sled in one batch for many events.
//!
//! sled rolls two of its buffers, through threads of its own, for every batch: 0.15 ms of CPU, so a batch per call would
//! cost 0.7 ms per event. And what is only noted may wait: an event's notes are overtaken by its outcome, most of the
//! time before they were worth writing.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::unended::Unended;

/// Keys with their new values; none: removed.
pub(super) type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The writes of one call.
pub(super) type Call = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// What is not durable yet. A key is in one of the first two at most.
#[derive(Default)]
pub(super) struct Pending {
    /// Nobody waits for these.
    noted: Writes,
    /// Somebody waits for these.
    kept: Writes,
    /// On its way to the disk, or turned back from it.
    leaving: Arc<Writes>,
    /// Counts calls that are waited for.
    calls: u64,
    /// Absent: anything may be on disk.
    unended: Option<Unended>,
}

/// How much of what is pending to make durable.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Scope {
    /// What somebody waits for.
    Kept,
    /// Everything.
    All,
}

impl Pending {
    /// Nothing is pending for a disk that has these events.
    pub(super) fn over(unended: Unended) -> Self {
        Self { unended: Some(unended), ..Self::default() }
    }

    /// Whether a key that is not pending may be on disk.
    pub(super) fn may_be_on_disk(&self, key: &[u8]) -> bool {
        self.unended.as_ref().is_none_or(|unended| unended.may_have(key))
    }

    /// What will become of a key; none: it stays as it is on disk.
    pub(super) fn get(&self, key: &[u8]) -> Option<&Option<Vec<u8>>> {
        let newest = self.kept.get(key).or_else(|| self.noted.get(key));
        newest.or_else(|| self.leaving.get(key))
    }

    /// Everything that begins so, and the values it will have.
    pub(super) fn begins_with(&self, prefix: &[u8]) -> BTreeMap<&[u8], Option<&[u8]>> {
        let mut found = BTreeMap::new();
        for writes in [self.leaving.as_ref(), &self.noted, &self.kept] {
            let from = writes.range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded));
            let rows = from.take_while(|(key, _)| key.starts_with(prefix));
            found.extend(rows.map(|(key, value)| (key.as_slice(), value.as_deref())));
        }
        found
    }

    /// Adds a call that nobody waits for. What somebody waits for does not wait longer because of it.
    pub(super) fn note(&mut self, call: Call) {
        for (key, value) in call {
            match self.kept.get_mut(&key) {
                Some(kept) => *kept = value,
                None => {
                    self.noted.insert(key, value);
                }
            }
        }
    }

    /// Adds a call that somebody waits for, with all that was noted of the same keys. Returns its number.
    pub(super) fn keep(&mut self, call: Call) -> u64 {
        for (key, value) in call {
            self.noted.remove(&key);
            self.kept.insert(key, value);
        }
        self.calls += 1;
        self.calls
    }

    /// Forgets everything, for a database that is new. Returns the number of the last call.
    pub(super) fn begin_anew(&mut self) -> u64 {
        let calls = self.calls;
        *self = Self { calls, unended: Some(Unended::none()), ..Self::default() };
        calls
    }

    /// Whether everything is durable.
    pub(super) fn is_empty(&self) -> bool {
        self.noted.is_empty() && self.kept.is_empty() && self.leaving.is_empty()
    }

    /// Takes what is to be made durable; also the number of the last call in it.
    pub(super) fn take(&mut self, scope: Scope) -> (Arc<Writes>, u64) {
        let leaving = Arc::make_mut(&mut self.leaving);
        if scope == Scope::All {
            leaving.append(&mut self.noted);
        }
        leaving.append(&mut self.kept);
        if let Some(unended) = &mut self.unended {
            unended.will_have(&self.leaving);
        }
        (Arc::clone(&self.leaving), self.calls)
    }

    /// What was taken is durable.
    pub(super) fn arrived(&mut self) {
        if let Some(unended) = &mut self.unended {
            unended.has(&self.leaving);
        }
        self.leaving = Arc::default();
    }
}
