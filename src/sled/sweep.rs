//! Deletion of expired records in small batches. Writers wait for one batch at most.
//!
//! Finished events are found in the outcome index. Sessions, contacts and unfinished events are scanned: an index of
//! their last change would cost every event two writes, while a scan costs a second of CPU per million rows.

use std::ops::Bound;

use handoffd_engine::ports::store::position::Position;
use handoffd_engine::ports::store::{StoreError, Swept};
use jiff::Timestamp;

use super::batch_builder::BatchBuilder;
use super::codec;
use super::errors::unreadable;
use super::outcome_index::{self, SPAN};
use super::view::StoreView;
use super::{SweepStep, keys};

/// Number of rows and entries in one batch, which takes one to two milliseconds.
const BATCH: usize = 256;

/// Name of the read data in errors.
pub(super) const OLD: &str = "expired records";

/// Progress of a sweep: the rest of the current walk, and the walks after it.
pub(super) struct Sweep {
    before: Timestamp,
    walks: Vec<Walk>,
    /// Number of rows deleted so far.
    pub swept: Swept,
}

struct Walk {
    what: What,
    from: Vec<u8>,
    to: Vec<u8>,
}

#[derive(Clone, Copy)]
enum What {
    /// Outcome index.
    Ended,
    /// Records of events in progress or waiting whose messages no longer exist.
    Unended,
    /// Notes of queued events whose messages no longer exist.
    Waiting,
    /// Session entries.
    Entries,
    /// Contacts.
    Contacts,
}

impl Sweep {
    /// Deletes events that ended, or began without an end, and rows that last changed before this time.
    pub(super) fn new(before: Timestamp) -> Self {
        // Rows up to one span later may have entries of that time.
        let to = before.checked_add(SPAN).map_or_else(|_| keys::end(keys::JOURNAL), keys::journal_from);
        Self {
            before,
            walks: vec![
                Walk::all(What::Contacts, keys::CONTACTS),
                Walk::all(What::Entries, keys::ENTRIES),
                Walk::all(What::Unended, keys::UNENDED),
                Walk::all(What::Waiting, keys::WAITING),
                Walk { what: What::Ended, from: keys::JOURNAL.to_vec(), to },
            ],
            swept: Swept::default(),
        }
    }

    /// Deletes one batch from the disk; returns whether it was the last.
    pub(super) fn step(&mut self, view: &mut StoreView<'_>) -> Result<SweepStep, StoreError> {
        let Some(mut walk) = self.walks.pop() else {
            return Ok(SweepStep::Done);
        };
        let range = (Bound::Included(walk.from.clone()), Bound::Excluded(walk.to.clone()));
        let mut looked_at = 0;
        let mut draft = BatchBuilder::new(view);
        for row in view.tree().range(range) {
            let (key, value) = row.map_err(|error| unreadable(OLD, error))?;
            looked_at += match walk.what {
                What::Ended => self.sweep_index_row(&mut draft, &key, &value)?,
                What::Unended | What::Waiting | What::Entries | What::Contacts => {
                    self.sweep_row(&mut draft, walk.what, &key)?
                }
            };
            if looked_at >= BATCH {
                walk.from = key.to_vec();
                walk.from.push(0); // the next possible key
                self.walks.push(walk);
                break;
            }
        }
        let call = draft.into_call();
        view.pending().write(call);
        Ok(SweepStep::More)
    }

    /// Deletes the expired events of an index row, then the row or its expired entries. Returns the number of its
    /// entries.
    fn sweep_index_row(
        &mut self,
        draft: &mut BatchBuilder<'_, '_>,
        key: &[u8],
        row: &[u8],
    ) -> Result<usize, StoreError> {
        let (mut listed, mut stay) = (0, Vec::new());
        for entry in outcome_index::entries(row) {
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
            // The result is one row with the same key, since the newest entry remains.
            for (_, row) in outcome_index::pack(stay.into_iter()) {
                draft.insert(key.to_vec(), row);
            }
        }
        Ok(listed.max(1))
    }

    /// Deletes a row by the time that it begins with. An unreadable row counts as expired.
    fn sweep_row(&mut self, draft: &mut BatchBuilder<'_, '_>, what: What, row: &[u8]) -> Result<usize, StoreError> {
        let Some(value) = draft.get(row)? else {
            return Ok(1);
        };
        if codec::touched_at(&value).is_some_and(|at| at >= self.before) {
            return Ok(1);
        }
        match what {
            What::Ended | What::Unended | What::Waiting => self.swept.records += 1,
            What::Entries => self.swept.sessions += 1,
            What::Contacts => self.swept.contacts += 1,
        }
        draft.remove(row.to_vec());
        Ok(1)
    }
}

/// Returns the key of the record that ended at this position, if it is still stored. An unreadable record is included,
/// because no other walk finds it.
fn its_record(draft: &BatchBuilder<'_, '_>, position: &Position) -> Result<Option<Vec<u8>>, StoreError> {
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
