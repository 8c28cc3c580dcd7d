//! Collects the changes of one call, which are written together or not at all.

use handoffd_engine::event::{EventKey, OrganizationId, SessionId};
use handoffd_engine::ports::store::{Change, StoreError};
use handoffd_engine::workflow::{LearnedChange, Record, SessionEntry};
use jiff::Timestamp;
use sled::IVec;

use super::codec::{self, SessionRow, StoredEffect};
use super::pending::PendingCall;
use super::view::StoreView;
use super::{keys, outcome_index};

/// Batch of changes whose later ones see the earlier ones before any reader does.
pub(super) struct BatchBuilder<'a, 'v> {
    view: &'a StoreView<'v>,
    writes: PendingCall,
}

impl<'a, 'v> BatchBuilder<'a, 'v> {
    /// Creates an empty batch.
    pub(super) fn new(view: &'a StoreView<'v>) -> Self {
        Self { view, writes: Vec::with_capacity(12) }
    }

    /// Adds a change.
    pub(super) fn change(&mut self, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::Record(key, record) => self.record(key, record),
            Change::Queued(key, note) => {
                self.insert(keys::waiting(key), codec::encode_queued(note));
                Ok(())
            }
            Change::ForgetQueued(key) => {
                self.remove(keys::waiting(key));
                Ok(())
            }
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
            Change::Learned(organization, change) => self.learned(organization, change),
            Change::Organization(saved) => {
                self.insert(keys::organization(&saved.id), codec::encode_document(&saved.document));
                Ok(())
            }
            Change::ForgetOrganization(organization) => {
                self.remove(keys::organization(organization));
                Ok(())
            }
            Change::Pause(organization, since) => {
                self.insert(keys::pause(organization), codec::encode_time(*since));
                Ok(())
            }
            Change::Resume(organization) => {
                self.remove(keys::pause(organization));
                Ok(())
            }
            Change::OrganizationQueue(organization, declared) => {
                self.insert(keys::queue(organization), codec::encode_time(*declared));
                Ok(())
            }
            Change::ForgetOrganizationQueue(organization) => {
                self.remove(keys::queue(organization));
                Ok(())
            }
            // The store has one owner, and so has every organization.
            Change::Guard(_) => Ok(()),
        }
    }

    /// Removes one key.
    pub(super) fn remove(&mut self, key: Vec<u8>) {
        self.writes.push((key, None));
    }

    /// Returns the collected writes.
    pub(super) fn into_call(self) -> PendingCall {
        self.writes
    }

    fn record(&mut self, key: &EventKey, record: &Record) -> Result<(), StoreError> {
        let (unended, ended) = (keys::unended(key), keys::record(key));
        // A record is stored in one place only, usually that of an unfinished event.
        let (here, there) = match record.outcome() {
            Some(outcome) => {
                // Indexed each time: an earlier note of it may never reach the disk.
                self.insert(keys::listed(key), outcome_index::encode(key, record, outcome));
                (ended, unended)
            }
            None => (unended, ended),
        };
        if self.get(&there)?.is_some() {
            self.remove(there);
        }
        self.insert(here, codec::encode_record(record));
        let waiting = keys::waiting(key);
        if self.get(&waiting)?.is_some() {
            self.remove(waiting);
        }
        Ok(())
    }

    fn learned(&mut self, organization: &OrganizationId, change: &LearnedChange) -> Result<(), StoreError> {
        let key = keys::learned(organization);
        let before = self.get(&key)?.and_then(|value| codec::decode_learned(&value).ok()).unwrap_or_default();
        self.insert(key, codec::encode_learned(&change.applied_to(before)));
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
        let before = self.get(&key)?.and_then(|value| SessionRow::decode(&value).ok());
        let kept = StoredEffect { state: entry.state.clone(), handed_off: entry.handed_off, closing: entry.closing };
        let entry = SessionRow { at, first: before.map_or(at, |before| before.first), kept };
        self.insert(key, entry.encode());
        Ok(())
    }

    /// Returns the value of a key, including these changes.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        let drafted = self.writes.iter().rev().find(|(written, _)| written == key);
        match drafted {
            Some((_, value)) => Ok(value.as_deref().map(IVec::from)),
            None => self.view.get("the value to be replaced", key),
        }
    }

    /// Writes one key.
    pub(super) fn insert(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.writes.push((key, Some(value)));
    }
}
