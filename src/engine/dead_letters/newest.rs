//! Newest dead letters of a walk, which visits the oldest first. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::entry::DeadLetterEntry;

/// Newest entries seen so far, by their time of death, in bounded memory.
#[derive(Debug)]
pub struct NewestEntries {
    most: usize,
    seen: u64,
    kept: BTreeMap<(Option<Timestamp>, u64), DeadLetterEntry>,
}

impl NewestEntries {
    /// Keeps this many.
    pub fn new(most: usize) -> Self {
        Self { most, seen: 0, kept: BTreeMap::new() }
    }

    /// Adds an entry. Of entries with the same time, the later one in the queue is the newer one.
    pub fn add(&mut self, entry: DeadLetterEntry) {
        self.kept.insert((entry.dead_at, self.seen), entry);
        self.seen += 1;
        if self.kept.len() > self.most {
            self.kept.pop_first();
        }
    }

    /// Returns the number of entries added.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Returns the entries after the first `skipped`, newest first.
    pub fn page(self, skipped: usize) -> Vec<DeadLetterEntry> {
        self.kept.into_values().rev().skip(skipped).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_newest_first() {
        let times = ["2026-11-22T10:01:00Z", "2026-11-22T10:03:00Z", "2026-11-22T10:02:00Z", "2026-11-22T10:03:00Z"];
        let page = |most, skipped| {
            let mut newest = NewestEntries::new(most);
            for (n, at) in times.into_iter().map(|at| at.parse().ok()).chain([None]).enumerate() {
                newest.add(DeadLetterEntry { letter_id: n.to_string(), dead_at: at, ..DeadLetterEntry::default() });
            }
            assert_eq!(newest.seen(), 5);
            newest.page(skipped).into_iter().map(|entry| entry.letter_id).collect::<Vec<_>>()
        };
        assert_eq!(page(2, 0), ["3", "1"]);
        assert_eq!(page(4, 2), ["2", "0"]);
        assert_eq!(page(6, 4), ["4"], "one without a time is last");
    }
}
