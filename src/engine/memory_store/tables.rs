//! Tables of the store in memory, in the plainest form: maps, and a full scan for every query.

use std::collections::BTreeMap;

use jiff::Timestamp;
use uuid::Uuid;

use crate::event::{ContactId, EventId, EventKey, OrganizationId, SessionId};
use crate::ports::fleet::Claim;
use crate::ports::store::contact_key::contact_key;
use crate::ports::store::portable::PortableEntry;
use crate::ports::store::position::Position;
use crate::ports::store::queued::QueuedNote;
use crate::ports::store::scan::ScanPage;
use crate::ports::store::{
    Change, Cursor, OutcomeFilter, OutcomePage, SavedOrganization, StoreError, StoredEvent, Swept,
};
use crate::ports::store::{EventScan, ScannedEvents};
use crate::workflow::{Learned, Milestone, Phase, Record, SessionEntry, discarded};

/// All stored entries.
#[derive(Clone, Default, Debug)]
pub(super) struct Tables {
    records: BTreeMap<EventKey, Record>,
    waiting: BTreeMap<EventKey, QueuedNote>,
    sessions: BTreeMap<(OrganizationId, SessionId), BTreeMap<EventId, OutcomeRow>>,
    contacts: BTreeMap<Uuid, (ContactId, Timestamp)>,
    learned: BTreeMap<OrganizationId, Learned>,
    organizations: BTreeMap<OrganizationId, String>,
    pauses: BTreeMap<OrganizationId, Timestamp>,
    queues: BTreeMap<OrganizationId, Timestamp>,
    owners: BTreeMap<OrganizationId, Claim>,
}

#[derive(Clone, Debug)]
struct OutcomeRow {
    first: Timestamp,
    at: Timestamp,
    kept: SessionEntry,
}

impl Tables {
    /// Fails if a guard among the changes forbids them.
    pub(super) fn check(&self, changes: &[Change]) -> Result<(), StoreError> {
        let guards = changes.iter().filter_map(|change| match change {
            Change::Guard(claim) => Some(claim),
            _ => None,
        });
        let mut is_guarded = false;
        for claim in guards {
            is_guarded = true;
            if self.owners.get(&claim.organization) != Some(claim) {
                return Err(StoreError::Fenced);
            }
        }
        let is_finished =
            |key: &EventKey| matches!(self.records.get(key), Some(Record { phase: Phase::Finished(_), .. }));
        let is_late = |change: &Change| matches!(change, Change::Record(key, _) if is_finished(key));
        if is_guarded && changes.iter().any(is_late) { Err(StoreError::Superseded) } else { Ok(()) }
    }

    pub(super) fn set_owner(&mut self, claim: Claim) {
        self.owners.insert(claim.organization.clone(), claim);
    }

    pub(super) fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            self.change(change.clone());
        }
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Record(key, record) => {
                self.waiting.remove(&key);
                self.records.insert(key, *record);
            }
            Change::Queued(key, note) => {
                self.waiting.insert(key, note);
            }
            Change::ForgetQueued(key) => {
                self.waiting.remove(&key);
            }
            Change::Session { organization, session, entry, at } => {
                let entries = self.sessions.entry((organization, session)).or_default();
                let first = entries.get(&entry.event_id).map_or(at, |before| before.first);
                entries.insert(entry.event_id.clone(), OutcomeRow { first, at, kept: entry });
            }
            Change::Contact { organization, email, contact, at } => {
                self.contacts.insert(contact_key(&organization, &email), (contact, at));
            }
            Change::ForgetContact { organization, email } => {
                self.contacts.remove(&contact_key(&organization, &email));
            }
            Change::Learned(organization, change) => {
                let learned = self.learned.entry(organization).or_default();
                *learned = change.applied_to(*learned);
            }
            Change::Organization(SavedOrganization { id, document }) => {
                self.organizations.insert(id, document);
            }
            Change::ForgetOrganization(organization) => {
                self.organizations.remove(&organization);
            }
            Change::Pause(organization, since) => {
                self.pauses.insert(organization, since);
            }
            Change::Resume(organization) => {
                self.pauses.remove(&organization);
            }
            Change::OrganizationQueue(organization, declared) => {
                self.queues.insert(organization, declared);
            }
            Change::ForgetOrganizationQueue(organization) => {
                self.queues.remove(&organization);
            }
            Change::Guard(_) => {}
        }
    }

    pub(super) fn record(&self, key: &EventKey) -> Option<Record> {
        self.records.get(key).cloned()
    }

    pub(super) fn session(&self, organization: &OrganizationId, session: &SessionId) -> Vec<SessionEntry> {
        let Some(entries) = self.sessions.get(&(organization.clone(), session.clone())) else {
            return Vec::new();
        };
        let mut entries: Vec<_> = entries.iter().collect();
        entries.sort_by_key(|(_, entry)| entry.first);
        entries.into_iter().map(|(_, entry)| entry.kept.clone()).collect()
    }

    pub(super) fn contact(
        &self,
        organization: &OrganizationId,
        email: &str,
        not_before: Timestamp,
    ) -> Option<ContactId> {
        let (contact, at) = self.contacts.get(&contact_key(organization, email))?;
        (*at >= not_before).then_some(*contact)
    }

    pub(super) fn learned(&self, organization: &OrganizationId) -> Learned {
        self.learned.get(organization).copied().unwrap_or_default()
    }

    pub(super) fn organizations(&self) -> Vec<SavedOrganization> {
        let saved = |(id, document): (&OrganizationId, &String)| SavedOrganization {
            id: id.clone(),
            document: document.clone(),
        };
        self.organizations.iter().map(saved).collect()
    }

    pub(super) fn pauses(&self) -> Vec<(OrganizationId, Timestamp)> {
        self.pauses.iter().map(|(id, since)| (id.clone(), *since)).collect()
    }

    pub(super) fn organization_queues(&self) -> Vec<(OrganizationId, Timestamp)> {
        self.queues.iter().map(|(id, declared)| (id.clone(), *declared)).collect()
    }

    pub(super) fn outcomes(
        &self,
        filter: &OutcomeFilter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<OutcomePage, StoreError> {
        let after = after.map(Position::read).transpose()?;
        let mut all: Vec<(Position, &Record)> = self
            .records
            .iter()
            .filter(|(key, record)| filter.matches(key, record))
            .filter_map(|(key, record)| Some((Position::new(record.outcome()?.finished_at, key), record)))
            .filter(|(position, _)| after.as_ref().is_none_or(|after| position < after))
            .collect();
        all.sort_by(|(one, _), (other, _)| other.cmp(one));
        let more = all.len() > limit;
        all.truncate(limit);
        let next = all.last().filter(|_| more).map(|(position, _)| position.cursor());
        let found =
            |(position, record): (Position, &Record)| StoredEvent { key: position.key(), record: record.clone() };
        let found = all.into_iter().map(found).collect();
        Ok(OutcomePage { found, next })
    }

    pub(super) fn queued(&self, limit: usize) -> Vec<(EventKey, QueuedNote)> {
        self.waiting.iter().take(limit).map(|(key, note)| (key.clone(), note.clone())).collect()
    }

    pub(super) fn scan(&self, scan: &EventScan) -> Result<ScannedEvents, StoreError> {
        let mut page = ScanPage::new(scan.clone())?;
        self.records.iter().for_each(|(key, record)| page.offer(key.clone(), record.clone()));
        Ok(page.end(false))
    }

    pub(super) fn record_discards(&mut self, events: &[EventKey], discard: &Milestone) -> u64 {
        let mut count = 0;
        for key in events {
            if let Some(record) = self.records.get(key).and_then(|record| discarded(record, discard)) {
                self.records.insert(key.clone(), record);
                count += 1;
            }
        }
        count
    }

    pub(super) fn sweep(&mut self, before: Timestamp) -> Swept {
        let things = (self.records.len() + self.waiting.len(), self.entries(), self.contacts.len());
        self.records.retain(|_, record| {
            let outcome = record.outcome();
            outcome.map_or(record.first_seen, |outcome| outcome.finished_at) >= before
        });
        self.waiting.retain(|_, note| note.received >= before);
        for entries in self.sessions.values_mut() {
            entries.retain(|_, entry| entry.at >= before);
        }
        self.sessions.retain(|_, entries| !entries.is_empty());
        self.contacts.retain(|_, (_, at)| *at >= before);
        let gone = |before: usize, now: usize| (before - now) as u64;
        Swept {
            records: gone(things.0, self.records.len() + self.waiting.len()),
            sessions: gone(things.1, self.entries()),
            contacts: gone(things.2, self.contacts.len()),
        }
    }

    /// Returns all entries, in the order of an export.
    pub(super) fn portable(&self) -> Vec<PortableEntry> {
        let mut all = Vec::new();
        all.extend(self.records.iter().map(|(key, record)| PortableEntry::record(key.clone(), record.clone())));
        all.extend(self.waiting.iter().map(|(key, note)| PortableEntry::queued(key.clone(), note.clone())));
        for ((organization_id, session_id), entries) in &self.sessions {
            all.extend(entries.values().map(|row| PortableEntry::Session {
                organization_id: organization_id.clone(),
                session_id: session_id.clone(),
                first: row.first,
                at: row.at,
                entry: row.kept.clone(),
            }));
        }
        let contact = |(key, (contact, at)): (&Uuid, &(ContactId, Timestamp))| PortableEntry::Contact {
            key: *key,
            contact_id: *contact,
            at: *at,
        };
        all.extend(self.contacts.iter().map(contact));
        all.extend(self.learned.iter().map(|(organization, learned)| PortableEntry::Learned {
            organization_id: organization.clone(),
            learned: *learned,
        }));
        all.extend(self.organizations.iter().map(|(organization, document)| PortableEntry::Organization {
            organization_id: organization.clone(),
            document: document.clone(),
        }));
        all.extend(self.pauses.iter().map(|(organization, since)| PortableEntry::Pause {
            organization_id: organization.clone(),
            since: *since,
        }));
        all.extend(self.queues.iter().map(|(organization, declared)| PortableEntry::Queue {
            organization_id: organization.clone(),
            declared: *declared,
        }));
        all
    }

    /// Writes an imported entry.
    pub(super) fn import(&mut self, entry: &PortableEntry) {
        match entry {
            PortableEntry::Contact { key, contact_id, at } => {
                self.contacts.insert(*key, (*contact_id, *at));
            }
            entry => self.apply(&entry.changes()),
        }
    }

    /// Returns the number of stored entries.
    pub(super) fn len(&self) -> u64 {
        let things =
            self.records.len() + self.waiting.len() + self.entries() + self.contacts.len() + self.learned.len();
        let things = things + self.organizations.len() + self.pauses.len() + self.queues.len();
        things as u64
    }

    fn entries(&self) -> usize {
        self.sessions.values().map(BTreeMap::len).sum()
    }
}

/// Actions and ended sessions.
#[derive(Default, Debug)]
pub(super) struct OperatorTables {
    pub(super) actions: BTreeMap<(Timestamp, Uuid), String>,
    pub(super) sessions: BTreeMap<Uuid, Timestamp>,
}
