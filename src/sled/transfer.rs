//! Reading and writing of entries that move between stores.

use std::collections::HashMap;
use std::ops::Bound;

use handoffd_engine::event::EventKey;
use handoffd_engine::ports::store::StoreError;
use handoffd_engine::ports::store::portable::{PAGE, PortableEntry, PortableKey, choose};
use sled::Tree;

use super::batch_builder::BatchBuilder;
use super::codec::{self, SessionRow, Unreadable};
use super::errors::unreadable;
use super::keys;
use super::pending::PendingCall;
use super::read;
use super::view::StoreView;

/// Name of the moved data in errors.
pub(super) const ENTRIES: &str = "entries to export";
/// Prefixes of the rows that move, in the order of an export.
const PREFIXES: [&[u8]; 9] = [
    keys::UNENDED,
    keys::RECORDS,
    keys::WAITING,
    keys::ENTRIES,
    keys::CONTACTS,
    keys::LEARNED,
    keys::ORGANIZATIONS,
    keys::PAUSES,
    keys::QUEUES,
];

/// Walk over all rows that move. It reads only the disk, so nothing may be pending.
#[derive(Default)]
pub(super) struct ExportWalk {
    prefix: usize,
    after: Option<Vec<u8>>,
}

impl ExportWalk {
    /// Reads the next page; an empty one is the end.
    pub(super) fn page(&mut self, tree: &Tree) -> Result<Vec<PortableEntry>, StoreError> {
        let mut page = Vec::new();
        while let Some(prefix) = PREFIXES.get(self.prefix)
            && page.len() < PAGE
        {
            let start = match self.after.take() {
                Some(after) => Bound::Excluded(after),
                None => Bound::Included(prefix.to_vec()),
            };
            let mut last = None;
            for row in tree.range((start, Bound::Excluded(keys::end(prefix)))).take(PAGE - page.len()) {
                let (key, value) = row.map_err(|error| unreadable(ENTRIES, error))?;
                let entry = entry(&key, &value).map_err(|error| unreadable(ENTRIES, error))?;
                page.push(entry.ok_or_else(|| unreadable(ENTRIES, "malformed row"))?);
                last = Some(key.to_vec());
            }
            if page.len() == PAGE {
                self.after = last;
            } else {
                self.prefix += 1;
            }
        }
        Ok(page)
    }
}

/// Prepares the write of those entries that are better than the stored ones. Returns which they are.
pub(super) fn import(view: &StoreView<'_>, entries: &[PortableEntry]) -> Result<(Vec<bool>, PendingCall), StoreError> {
    let mut stored = HashMap::new();
    for entry in entries {
        let key = entry.key();
        if let Some(entry) = find(view, &key)? {
            stored.insert(key, entry);
        }
    }
    let written = choose(entries, &stored);
    let mut writes = PendingCall::new();
    for (entry, _) in entries.iter().zip(&written).filter(|(_, written)| **written) {
        // Each entry is built by itself: no two of them have a key in common, and a long draft is slow to search.
        let mut draft = BatchBuilder::new(view);
        if let PortableEntry::Contact { key, contact_id, at } = entry {
            draft.insert(keys::contact_of(*key), codec::encode_contact(*contact_id, *at));
        }
        for change in entry.changes() {
            draft.change(&change)?;
        }
        writes.extend(draft.into_call());
    }
    Ok((written, writes))
}

/// Returns the stored entry with this key.
fn find(view: &StoreView<'_>, key: &PortableKey) -> Result<Option<PortableEntry>, StoreError> {
    let row = match key {
        PortableKey::Event(event) => {
            if let Some(record) = read::record(view, event)? {
                return Ok(Some(PortableEntry::record(event.clone(), record)));
            }
            keys::waiting(event)
        }
        PortableKey::Session(organization, session, event) => keys::entry(organization, session, event),
        PortableKey::Contact(digest) => keys::contact_of(*digest),
        PortableKey::Learned(organization) => keys::learned(organization),
        PortableKey::Organization(organization) => keys::organization(organization),
        PortableKey::Pause(organization) => keys::pause(organization),
        PortableKey::Queue(organization) => keys::queue(organization),
    };
    let Some(value) = view.get(ENTRIES, &row)? else { return Ok(None) };
    entry(&row, &value).map_err(|error| unreadable(ENTRIES, error))
}

/// Reads a row. Returns `None` if its key has another form.
fn entry(key: &[u8], value: &[u8]) -> Result<Option<PortableEntry>, Unreadable> {
    let Some(prefix) = key.get(..1) else { return Ok(None) };
    let organization = keys::organization_of(key, prefix);
    Ok(match prefix {
        keys::UNENDED | keys::RECORDS => {
            let record = codec::decode_record(value)?;
            event(key).map(|key| PortableEntry::record(key, record))
        }
        keys::WAITING => {
            let note = codec::decode_queued(value)?;
            event(key).map(|key| PortableEntry::queued(key, note))
        }
        keys::ENTRIES => {
            let row = SessionRow::decode(value)?;
            keys::names_of_entry(key).map(|(organization_id, session_id, event_id)| PortableEntry::Session {
                organization_id,
                session_id,
                first: row.first,
                at: row.at,
                entry: row.of(event_id),
            })
        }
        keys::CONTACTS => {
            let (contact_id, at) = codec::decode_contact(value)?;
            keys::digest_of_contact(key).map(|key| PortableEntry::Contact { key, contact_id, at })
        }
        keys::LEARNED => {
            let learned = codec::decode_learned(value)?;
            organization.map(|organization_id| PortableEntry::Learned { organization_id, learned })
        }
        keys::ORGANIZATIONS => {
            let document = codec::decode_document(value)?;
            organization.map(|organization_id| PortableEntry::Organization { organization_id, document })
        }
        keys::PAUSES => organization
            .zip(codec::touched_at(value))
            .map(|(organization_id, since)| PortableEntry::Pause { organization_id, since }),
        keys::QUEUES => organization
            .zip(codec::touched_at(value))
            .map(|(organization_id, declared)| PortableEntry::Queue { organization_id, declared }),
        _ => None,
    })
}

fn event(key: &[u8]) -> Option<EventKey> {
    let mut key = key.to_vec();
    *key.first_mut()? = keys::RECORDS[0]; // all kinds of rows of events have the same form
    keys::event_of(&key)
}
