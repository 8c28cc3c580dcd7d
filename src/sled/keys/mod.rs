//! Layout of keys in the tree: every key begins with a letter for its kind. Pure.
//!
//! Texts are encoded so that different tuples never collide and keys sort like their texts: a NUL inside becomes `00
//! FF`, the end is `00 01`. Times are 12 bytes that sort chronologically.

use handoffd_engine::event::{EventId, EventKey, OrganizationId, SessionId};
use handoffd_engine::ports::store::contact_key::contact_key;
use jiff::Timestamp;
use uuid::Uuid;

/// Bytes of a time in a key or a value.
pub(super) const TIME: usize = 12;

/// Key of the row with the schema version.
pub(super) const SCHEMA: &[u8] = b"m:schema";

/// Prefix of all rows of the outcome index.
pub(super) const JOURNAL: &[u8] = b"f";

/// Prefix of finished events that are not yet indexed. They are never on disk: the commit thread packs them into rows
/// of the outcome index.
pub(super) const LISTED: &[u8] = b"j";

/// Returns the key of an index row by the time of its newest entry. The id distinguishes rows of the same time.
pub(super) fn journal(newest: Timestamp, id: Uuid) -> Vec<u8> {
    let mut key = journal_from(newest);
    key.extend_from_slice(id.as_bytes());
    key
}

/// Returns the start of the index rows of this time.
pub(super) fn journal_from(at: Timestamp) -> Vec<u8> {
    let mut key = Vec::with_capacity(JOURNAL.len() + TIME + 16);
    key.extend_from_slice(JOURNAL);
    key.extend_from_slice(&time(at));
    key
}

/// Returns the end of the index rows of this time.
pub(super) fn journal_after(at: Timestamp) -> Vec<u8> {
    let mut key = journal_from(at);
    key.extend_from_slice(&[0xFF; 17]); // longer than any id
    key
}

/// Returns the time of an index row, which is that of its newest entry.
pub(super) fn journal_time(row: &[u8]) -> Option<Timestamp> {
    read_time(row.strip_prefix(JOURNAL)?)
}

/// Returns the key of a finished event that is not yet indexed.
pub(super) fn listed(event: &EventKey) -> Vec<u8> {
    let mut key = record(event);
    key[0] = LISTED[0];
    key
}

/// Returns the first key after all keys with this prefix.
pub(super) fn end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    if let Some(letter) = end.last_mut() {
        *letter += 1; // prefixes are letters
    }
    end
}

/// Prefix of all finished events.
pub(super) const RECORDS: &[u8] = b"r";

/// Prefixes of all unfinished events, all session entries and all contacts.
pub(super) const UNENDED: &[u8] = b"a";
pub(super) const ENTRIES: &[u8] = b"e";
pub(super) const CONTACTS: &[u8] = b"c";

/// Returns the key of the record of an event in progress or waiting. These records are few and change often, so they
/// are stored apart from the many that never change again.
pub(super) fn unended(event: &EventKey) -> Vec<u8> {
    let mut key = record(event);
    key[0] = UNENDED[0];
    key
}

/// Prefix of all notes of queued events, next to the unfinished ones: opening the store reads both.
pub(super) const WAITING: &[u8] = b"b";

/// Returns the key of the note that an event is queued.
pub(super) fn waiting(event: &EventKey) -> Vec<u8> {
    let mut key = record(event);
    key[0] = WAITING[0];
    key
}

/// Returns the key of the record of a finished event. The event id comes first, so that an event is found without its
/// organization.
pub(super) fn record(event: &EventKey) -> Vec<u8> {
    let mut key = records_of(event.event_id.as_str());
    push_text(&mut key, event.organization_id.as_str());
    key
}

/// Returns the prefix of the records of an event id in every organization.
pub(super) fn records_of(event_id: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    key.push(b'r');
    push_text(&mut key, event_id);
    key
}

/// Returns the event that a record belongs to.
pub(super) fn event_of(record: &[u8]) -> Option<EventKey> {
    let (event_id, rest) = split_text(record.strip_prefix(b"r")?)?;
    let (organization_id, rest) = split_text(rest)?;
    rest.is_empty().then_some(EventKey { organization_id: organization_id.into(), event_id: event_id.into() })
}

/// Returns the prefix of the entries of a session.
pub(super) fn entries_of(organization: &OrganizationId, session: &SessionId) -> Vec<u8> {
    let mut key = Vec::with_capacity(96);
    key.push(b'e');
    push_text(&mut key, organization.as_str());
    push_text(&mut key, session.as_str());
    key
}

/// Returns the key of the effect of one event on a session.
pub(super) fn entry(organization: &OrganizationId, session: &SessionId, event: &EventId) -> Vec<u8> {
    let mut key = entries_of(organization, session);
    push_text(&mut key, event.as_str());
    key
}

/// Returns the event of a session entry, given the length of the session's prefix.
pub(super) fn event_of_entry(entry: &[u8], prefix: usize) -> Option<EventId> {
    let (event_id, rest) = split_text(entry.get(prefix..)?)?;
    rest.is_empty().then(|| event_id.into())
}

/// Returns the names in the key of a session entry.
pub(super) fn names_of_entry(entry: &[u8]) -> Option<(OrganizationId, SessionId, EventId)> {
    let (organization, rest) = split_text(entry.strip_prefix(ENTRIES)?)?;
    let (session, rest) = split_text(rest)?;
    let (event, rest) = split_text(rest)?;
    rest.is_empty().then(|| (organization.into(), session.into(), event.into()))
}

/// Returns the key of a remembered contact. It holds a digest of the email, since the store holds no customer text.
pub(super) fn contact(organization: &OrganizationId, email: &str) -> Vec<u8> {
    contact_of(contact_key(organization, email))
}

/// Returns the key of a remembered contact from its digest.
pub(super) fn contact_of(digest: Uuid) -> Vec<u8> {
    let mut key = Vec::with_capacity(17);
    key.push(b'c');
    key.extend_from_slice(digest.as_bytes());
    key
}

/// Returns the digest of a remembered contact.
pub(super) fn digest_of_contact(contact: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(contact.strip_prefix(CONTACTS)?).ok()
}

/// Prefix of the learned requirements of environments.
pub(super) const LEARNED: &[u8] = b"l";

/// Returns the key of the learned requirements of an environment.
pub(super) fn learned(organization: &OrganizationId) -> Vec<u8> {
    of_organization(LEARNED, organization)
}

/// Prefixes of saved organizations, of paused ones, and of organizations' queues.
pub(super) const ORGANIZATIONS: &[u8] = b"o";
pub(super) const PAUSES: &[u8] = b"p";
pub(super) const QUEUES: &[u8] = b"q";

/// Prefixes of operators' actions, and of the sessions that they have ended.
pub(super) const ACTIONS: &[u8] = b"u";
pub(super) const ENDED_SESSIONS: &[u8] = b"x";

/// Returns the key of an action, in the order of time.
pub(super) fn action(at: Timestamp, id: Uuid) -> Vec<u8> {
    [ACTIONS, &time(at), id.as_bytes()].concat()
}

/// Returns time and id of an action.
pub(super) fn read_action(key: &[u8]) -> Option<(Timestamp, Uuid)> {
    let rest = key.strip_prefix(ACTIONS)?;
    Some((read_time(rest)?, Uuid::from_slice(rest.get(TIME..)?).ok()?))
}

/// Returns the key of an ended session.
pub(super) fn ended_session(id: Uuid) -> Vec<u8> {
    [ENDED_SESSIONS, id.as_bytes()].concat()
}

/// Returns the id of an ended session.
pub(super) fn read_ended_session(key: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(key.strip_prefix(ENDED_SESSIONS)?).ok()
}

/// Returns the key of a saved organization.
pub(super) fn organization(organization: &OrganizationId) -> Vec<u8> {
    of_organization(ORGANIZATIONS, organization)
}

/// Returns the key of the time when an organization was paused.
pub(super) fn pause(organization: &OrganizationId) -> Vec<u8> {
    of_organization(PAUSES, organization)
}

/// Returns the key of the time when an organization's queue was declared.
pub(super) fn queue(organization: &OrganizationId) -> Vec<u8> {
    of_organization(QUEUES, organization)
}

/// Returns the organization of a row with this prefix.
pub(super) fn organization_of(key: &[u8], prefix: &[u8]) -> Option<OrganizationId> {
    let (organization, rest) = split_text(key.strip_prefix(prefix)?)?;
    rest.is_empty().then(|| organization.into())
}

fn of_organization(prefix: &[u8], organization: &OrganizationId) -> Vec<u8> {
    let mut key = prefix.to_vec();
    push_text(&mut key, organization.as_str());
    key
}

/// Encodes a time so that the bytes sort chronologically.
pub(super) fn time(at: Timestamp) -> [u8; TIME] {
    let since_first = at.as_nanosecond() - Timestamp::MIN.as_nanosecond();
    let mut bytes = [0; TIME];
    bytes.copy_from_slice(&since_first.to_be_bytes()[16 - TIME..]);
    bytes
}

/// Decodes a time.
pub(super) fn read_time(bytes: &[u8]) -> Option<Timestamp> {
    let mut wide = [0; 16];
    wide[16 - TIME..].copy_from_slice(bytes.get(..TIME)?);
    let since_first = i128::from_be_bytes(wide);
    Timestamp::from_nanosecond(since_first + Timestamp::MIN.as_nanosecond()).ok()
}

fn push_text(key: &mut Vec<u8>, text: &str) {
    for &byte in text.as_bytes() {
        key.push(byte);
        if byte == 0 {
            key.push(0xFF);
        }
    }
    key.extend_from_slice(&[0, 1]);
}

fn split_text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let mut text = Vec::with_capacity(bytes.len());
    let mut at = 0;
    loop {
        match (bytes.get(at)?, bytes.get(at + 1)) {
            (0, Some(1)) => {
                return Some((String::from_utf8(text).ok()?, &bytes[at + 2..]));
            }
            (0, Some(0xFF)) => {
                text.push(0);
                at += 2;
            }
            (0, _) => return None,
            (&byte, _) => {
                text.push(byte);
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
