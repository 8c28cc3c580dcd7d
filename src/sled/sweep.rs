//! Forgetting what is old, a little at a time: writers wait for one small batch at most.
//!
//! Ended events are found in the journal. Sessions, contacts and what has not ended are walked over: an index of when
//! each was touched would cost every event two writes, a walk costs a second of CPU in a million rows.

use std::ops::Bound;

use handoffd_engine::ports::store::position::Position;
use handoffd_engine::ports::store::{StoreError, Swept};
use jiff::Timestamp;

use super::codec;
use super::draft::Draft;
use super::errors::unreadable;
use super::journal::{self, SPAN};
use super::view::View;
use super::{Step, keys};

/// Rows and entries looked at in one batch: one to two milliseconds.
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
    /// The journal of ended events.
    Ended,
    /// Records in hand or waiting: their messages are long gone.
    Unended,
    /// Sessions' entries.
    Entries,
    /// Contacts.
    Contacts,
}

impl Sweep {
    /// Forgets what ended, began without an end, or was touched before this time.
    pub(super) fn new(before: Timestamp) -> Self {
        // Rows of up to a span later may have entries as old as that.
        let to = before.checked_add(SPAN).map_or_else(|_| keys::end(keys::JOURNAL), keys::journal_from);
        Self {
            before,
            walks: vec![
                Walk::all(What::Contacts, keys::CONTACTS),
                Walk::all(What::Entries, keys::ENTRIES),
                Walk::all(What::Unended, keys::UNENDED),
                Walk { what: What::Ended, from: keys::JOURNAL.to_vec(), to },
            ],
            swept: Swept::default(),
        }
    }

    /// Forgets one batch of what is on disk; says whether that was the last.
    pub(super) fn step(&mut self, view: &mut View<'_>) -> Result<Step, StoreError> {
        let Some(mut walk) = self.walks.pop() else {
            return Ok(Step::Done);
        };
        let range = (Bound::Included(walk.from.clone()), Bound::Excluded(walk.to.clone()));
        let mut looked_at = 0;
        let mut draft = Draft::new(view);
        for row in view.tree().range(range) {
            let (key, value) = row.map_err(|error| unreadable(OLD, error))?;
            looked_at += match walk.what {
                What::Ended => self.look_at_ended(&mut draft, &key, &value)?,
                What::Unended | What::Entries | What::Contacts => self.look_at_touched(&mut draft, walk.what, &key)?,
            };
            if looked_at >= BATCH {
                walk.from = key.to_vec();
                walk.from.push(0); // the very next key
                self.walks.push(walk);
                break;
            }
        }
        let call = draft.into_call();
        view.pending().note(call);
        Ok(Step::More)
    }

    /// Forgets the events of a journal's row that are old, then the row, or what of it is. Returns how many it lists.
    fn look_at_ended(&mut self, draft: &mut Draft<'_, '_>, key: &[u8], row: &[u8]) -> Result<usize, StoreError> {
        let (mut listed, mut stay) = (0, Vec::new());
        for entry in journal::entries(row) {
            listed += 1;
            if entry.at >= self.before {
                stay.push(entry.bytes);
            } else if let Some(record) = its_record(draft, &entry.position())? {
                draft.remove(record);
                self.swept.records += 1;
            }
        }
        if stay.is_empty() {
            draft.remove(key.to_vec());
        } else if stay.len() < listed {
            // One row again, under the same key: the newest entry is among those that stay.
            for (_, row) in journal::pack(stay.into_iter()) {
                draft.insert(key.to_vec(), row);
            }
        }
        Ok(listed.max(1))
    }

    /// The row itself says how old it is; one that can't be read is as good as old.
    fn look_at_touched(&mut self, draft: &mut Draft<'_, '_>, what: What, row: &[u8]) -> Result<usize, StoreError> {
        let Some(value) = draft.get(row)? else {
            return Ok(1);
        };
        if codec::touched_at(&value).is_some_and(|at| at >= self.before) {
            return Ok(1);
        }
        match what {
            What::Ended | What::Unended => self.swept.records += 1,
            What::Entries => self.swept.sessions += 1,
            What::Contacts => self.swept.contacts += 1,
        }
        draft.remove(row.to_vec());
        Ok(1)
    }
}

/// Where the record is that ended at this place, when it is still there, or can't be read: then nothing else finds it.
fn its_record(draft: &Draft<'_, '_>, position: &Position) -> Result<Option<Vec<u8>>, StoreError> {
    let key = keys::record(&position.key());
    let Some(value) = draft.get(&key)? else {
        return Ok(None);
    };
    let elsewhere = codec::decode_record(&value)
        .is_ok_and(|record| record.outcome().is_none_or(|outcome| outcome.finished_at != position.at));
    Ok((!elsewhere).then_some(key))
}

impl Walk {
    fn all(what: What, prefix: &[u8]) -> Self {
        Self { what, from: prefix.to_vec(), to: keys::end(prefix) }
    }
}
