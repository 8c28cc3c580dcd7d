//! The changes of one call: written together, or not at all.

use jiff::Timestamp;
use sled::IVec;

use super::codec::{self, Entry};
use super::keys::{self, Index};
use super::pending::Call;
use super::view::View;
use crate::event::{EventKey, OrganizationId, SessionId};
use crate::machine::{Record, SessionEntry};
use crate::store::{Change, StoreError, terms};

/// Writes that see one another before anybody else sees them.
pub(super) struct Draft<'a, 'v> {
    view: &'a View<'v>,
    writes: Call,
}

/// The entries of the indexes that a record is in: key and value.
type Places = Vec<(Vec<u8>, Vec<u8>)>;

/// What there was to remove.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Removed {
    /// The record and its entries.
    Record,
    /// An entry that the record had left behind.
    StaleEntry,
}

impl<'a, 'v> Draft<'a, 'v> {
    /// Nothing to write yet.
    pub fn new(view: &'a View<'v>) -> Self {
        Self { view, writes: Vec::with_capacity(12) }
    }

    /// Adds a change.
    pub fn change(&mut self, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::Record(key, record) => self.record(key, record),
            Change::Session { organization, session, entry, at } => self.session(organization, session, entry, *at),
            Change::Contact { organization, email, contact, at } => {
                let key = keys::contact(organization, email);
                self.insert(key, codec::encode_contact(*contact, *at));
                Ok(())
            }
            Change::ForgetContact { organization, email } => {
                self.remove(keys::contact(organization, email));
                Ok(())
            }
            Change::Learned(organization, learned) => {
                self.insert(keys::learned(organization), codec::encode_learned(learned));
                Ok(())
            }
        }
    }

    /// Removes an ended record with everything that points at it, when it is listed at this place or can't be read.
    pub fn remove_record(&mut self, key: &EventKey, listed: &[u8]) -> Result<Removed, StoreError> {
        let at = keys::record(key);
        let places = self.places_now(key, &at)?;
        let elsewhere = !places.is_empty() && places.iter().all(|(place, _)| place != listed);
        let gone = self.get(&at)?.is_none();
        self.remove(listed.to_vec());
        if elsewhere || gone {
            return Ok(Removed::StaleEntry);
        }
        for (place, _) in places {
            self.remove(place);
        }
        self.remove(at);
        Ok(Removed::Record)
    }

    /// Removes one key.
    pub fn remove(&mut self, key: Vec<u8>) {
        self.writes.push((key, None));
    }

    /// What is to be written.
    pub fn into_call(self) -> Call {
        self.writes
    }

    fn record(&mut self, key: &EventKey, record: &Record) -> Result<(), StoreError> {
        let (unended, ended) = (keys::unended(key), keys::record(key));
        // A record is in one place only: the one of an event in hand, most of the time.
        let before = if self.get(&unended)?.is_some() {
            if record.outcome().is_some() {
                self.remove(unended.clone());
            }
            Vec::new()
        } else {
            let places = self.places_now(key, &ended)?;
            if record.outcome().is_none() && !places.is_empty() {
                self.remove(ended.clone());
            }
            places
        };
        let after = places(key, record);
        for (place, _) in before {
            if !after.iter().any(|(kept, _)| *kept == place) {
                self.remove(place);
            }
        }
        // All of them, also those that are there: what was noted of them may never reach the disk.
        for (place, status) in after {
            self.insert(place, status);
        }
        let here = record.outcome().map_or(unended, |_| ended);
        self.insert(here, codec::encode_record(record));
        Ok(())
    }

    fn session(
        &mut self,
        organization: &OrganizationId,
        session: &SessionId,
        entry: &SessionEntry,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let key = keys::entry(organization, session, &entry.event_id);
        let before = self.get(&key)?.and_then(|value| Entry::decode(&value).ok());
        let entry = Entry { at, first: before.map_or(at, |before| before.first), state: entry.state.clone() };
        self.insert(key, entry.encode());
        Ok(())
    }

    /// Where the ended record that is there now is listed. One that can't be read is listed nowhere: its entries are skipped
    /// by readers and removed by the sweep.
    fn places_now(&self, key: &EventKey, at: &[u8]) -> Result<Places, StoreError> {
        let Some(value) = self.get(at)? else {
            return Ok(Vec::new());
        };
        let record = codec::decode_record(&value);
        Ok(record.map(|record| places(key, &record)).unwrap_or_default())
    }

    /// The value of a key, these changes included.
    pub fn get(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        let drafted = self.writes.iter().rev().find(|(written, _)| written == key);
        match drafted {
            Some((_, value)) => Ok(value.as_deref().map(IVec::from)),
            None => self.view.get("what a change replaces", key),
        }
    }

    fn insert(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.writes.push((key, Some(value)));
    }
}

/// Where a record is listed: nowhere until it has ended.
fn places(key: &EventKey, record: &Record) -> Places {
    let Some(outcome) = record.outcome() else {
        return Vec::new();
    };
    let tickets = terms::ticket_numbers(record, outcome);
    let mut indexes = vec![Index::Ended];
    indexes.extend(terms::session(record, outcome).map(Index::Session));
    indexes.extend(terms::work_item(record, outcome).map(|id| Index::WorkItem(id.0)));
    let incidents = terms::incidents(record, outcome);
    indexes.extend(incidents.iter().map(|id| Index::Incident(id.0)));
    indexes.extend(tickets.iter().map(|ticket| Index::Ticket(ticket)));
    let status = codec::encode_status(outcome.status);
    let entry = |index: Index<'_>| (index.entry(outcome.finished_at, key), vec![status]);
    indexes.into_iter().map(entry).collect()
}
