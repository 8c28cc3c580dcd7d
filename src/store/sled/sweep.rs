//! Forgetting what is old, a little at a time: writers wait for one small batch at most.
//!
//! Ended events are found by their index. Sessions, contacts and what has not ended are walked over: an index of when
//! each was touched would cost every event two writes, a walk costs a second of CPU in a million rows.

use std::ops::Bound;

use jiff::Timestamp;

use super::codec;
use super::draft::{Draft, Removed};
use super::errors::unreadable;
use super::keys::{self, Index};
use super::view::View;
use crate::store::{StoreError, Swept};

/// Rows looked at in one batch: one to two milliseconds.
const BATCH: usize = 256;

/// Name of what is read, for errors.
pub(super) const OLD: &str = "what is to be forgotten";

/// Where a sweep stands: what is left of the walk that it is on, and the walks after it.
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
    /// The index of ended events.
    Ended,
    /// Records in hand or waiting: their messages are long gone.
    Unended,
    /// Sessions' entries.
    Entries,
    /// Contacts.
    Contacts,
}

/// Whether there is more to forget.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Perhaps.
    More,
    /// No.
    Done,
}

impl Sweep {
    /// Forgets what ended, began without an end, or was touched before this time.
    pub fn new(before: Timestamp) -> Self {
        let ended = Walk { what: What::Ended, from: Index::Ended.prefix(), to: Index::Ended.from(before) };
        Self {
            before,
            walks: vec![
                Walk::all(What::Contacts, keys::CONTACTS),
                Walk::all(What::Entries, keys::ENTRIES),
                Walk::all(What::Unended, keys::UNENDED),
                ended,
            ],
            swept: Swept::default(),
        }
    }

    /// Forgets one batch of what is on disk; says whether that was the last.
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
            match walk.what {
                What::Ended => self.look_at_ended(&mut draft, row)?,
                What::Unended | What::Entries | What::Contacts => {
                    self.look_at_touched(&mut draft, walk.what, row)?;
                }
            }
        }
        let call = draft.into_call();
        view.pending().note(call);
        if let Some(last) = rows.get(BATCH - 1) {
            let mut from = last.to_vec();
            from.push(0); // the very next key
            self.walks.push(Walk { from, ..walk });
        }
        Ok(Step::More)
    }

    /// The index says that the record is old.
    fn look_at_ended(&mut self, draft: &mut Draft<'_, '_>, row: &[u8]) -> Result<(), StoreError> {
        match keys::position(row, Index::Ended.prefix().len()) {
            Some(position) if draft.remove_record(&position.key(), row)? == Removed::Record => {
                self.swept.records += 1;
            }
            Some(_) => {}
            None => draft.remove(row.to_vec()),
        }
        Ok(())
    }

    /// The row itself says how old it is; one that can't be read is as good as old.
    fn look_at_touched(&mut self, draft: &mut Draft<'_, '_>, what: What, row: &[u8]) -> Result<(), StoreError> {
        let Some(value) = draft.get(row)? else {
            return Ok(());
        };
        if codec::touched_at(&value).is_some_and(|at| at >= self.before) {
            return Ok(());
        }
        match what {
            What::Ended | What::Unended => self.swept.records += 1,
            What::Entries => self.swept.sessions += 1,
            What::Contacts => self.swept.contacts += 1,
        }
        draft.remove(row.to_vec());
        Ok(())
    }
}

impl Walk {
    fn all(what: What, prefix: &[u8]) -> Self {
        let mut to = prefix.to_vec();
        if let Some(letter) = to.last_mut() {
            *letter += 1;
        }
        Self { what, from: prefix.to_vec(), to }
    }
}
