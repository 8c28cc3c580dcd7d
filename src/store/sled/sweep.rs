//! Forgetting what is old, a little at a time: writers wait for one small batch at most.

use std::ops::Bound;

use jiff::Timestamp;

use super::codec;
use super::draft::{Draft, Removed};
use super::errors::unreadable;
use super::keys::{self, Index};
use super::view::View;
use crate::store::{StoreError, Swept};

/// Entries looked at in one batch: about a millisecond.
const BATCH: usize = 64;

/// Name of what is read, for errors.
pub(super) const OLD: &str = "what is to be forgotten";

/// Where a sweep stands: what is left of the index that it walks, then the indexes after it.
pub(super) struct Sweep {
    before: Timestamp,
    walks: Vec<Walk>,
    /// What was forgotten so far.
    pub swept: Swept,
}

struct Walk {
    what: What,
    from: Vec<u8>,
    to: Vec<u8>,
}

#[derive(Clone, Copy)]
enum What {
    Ended,
    Unended,
    Touched,
}

impl Sweep {
    /// Forgets what ended, began without an end, or was touched before this time.
    pub fn new(before: Timestamp) -> Self {
        let by_time = |what, index: Index<'_>| Walk {
            what,
            from: index.prefix(),
            to: index.from(before),
        };
        let mut last_day = keys::touched_on(before);
        last_day.push(0xFF); // after every key of that day
        let touched = Walk {
            what: What::Touched,
            from: b"d".to_vec(),
            to: last_day,
        };
        Self {
            before,
            walks: vec![
                touched,
                by_time(What::Unended, Index::Unended),
                by_time(What::Ended, Index::Ended),
            ],
            swept: Swept::default(),
        }
    }

    /// Forgets one batch; says whether that was the last.
    pub fn step(&mut self, view: &mut View<'_>) -> Result<Step, StoreError> {
        let Some(walk) = self.walks.pop() else {
            return Ok(Step::Done);
        };
        let range = (Bound::Included(walk.from), Bound::Excluded(walk.to.clone()));
        let rows = view.tree().range(range).keys().take(BATCH);
        let rows: Result<Vec<_>, _> = rows.collect();
        let rows = rows.map_err(|error| unreadable(OLD, error))?;
        let mut draft = Draft::new(view);
        for row in &rows {
            self.look(&mut draft, walk.what, row)?;
        }
        draft.apply();
        if let Some(last) = rows.get(BATCH - 1) {
            let mut from = last.to_vec();
            from.push(0); // the very next key
            self.walks.push(Walk { from, ..walk });
        }
        Ok(Step::More)
    }

    fn look(
        &mut self,
        draft: &mut Draft<'_, '_>,
        what: What,
        row: &[u8],
    ) -> Result<(), StoreError> {
        match what {
            What::Ended => self.look_at_record(draft, row, Index::Ended),
            What::Unended => self.look_at_record(draft, row, Index::Unended),
            What::Touched => self.look_at_touched(draft, row),
        }
    }

    /// The index says that the record is old.
    fn look_at_record(
        &mut self,
        draft: &mut Draft<'_, '_>,
        row: &[u8],
        index: Index<'_>,
    ) -> Result<(), StoreError> {
        match keys::position(row, index.prefix().len()) {
            Some(position) if draft.remove_record(&position.key(), row)? == Removed::Record => {
                self.swept.records += 1;
            }
            Some(_) => {}
            None => draft.remove(row.to_vec()),
        }
        Ok(())
    }

    fn look_at_touched(&mut self, draft: &mut Draft<'_, '_>, row: &[u8]) -> Result<(), StoreError> {
        let target = keys::target_of(row).unwrap_or_default();
        let value = draft.get(target)?;
        match value.and_then(|value| codec::touched_at(&value)) {
            // On the last day some are old and some are not.
            Some(at) if at >= self.before => return Ok(()),
            Some(_) if target.starts_with(b"e") => self.swept.sessions += 1,
            Some(_) => self.swept.contacts += 1,
            None => {}
        }
        draft.forget(target.to_vec())?;
        draft.remove(row.to_vec());
        Ok(())
    }
}

/// Whether there is more to forget.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Perhaps.
    More,
    /// No.
    Done,
}
