//! Where things are in the tree: every key begins with a letter for its kind. Pure.
//!
//! Texts are written so that no two different tuples collide and that keys sort as the texts do: a NUL inside becomes
//! `00 FF`, the end is `00 01`. Times are 12 bytes that sort as the times do.

use handoffd_engine::event::{EventId, EventKey, OrganizationId, SessionId};
use handoffd_engine::ports::store::terms;
use jiff::Timestamp;
use uuid::Uuid;

/// Bytes of a time in a key or a value.
pub(super) const TIME: usize = 12;

/// Name space of contacts' digests; any constant would do, it must never change.
const CONTACT_NAMES: Uuid = Uuid::from_u128(0x6d1f_3c52_8f0e_4f0b_9d1c_5a3a_1f6e_72b4);

/// The row with the schema's version.
pub(super) const SCHEMA: &[u8] = b"m:schema";

/// What the keys of all rows of the journal begin with.
pub(super) const JOURNAL: &[u8] = b"f";

/// What the keys of events that are to be listed begin with. These are never on disk: the committer packs them into rows
/// of the journal.
pub(super) const LISTED: &[u8] = b"j";

/// A row of the journal, by the time of its newest entry. The id tells rows of the same moment apart.
pub(super) fn journal(newest: Timestamp, id: Uuid) -> Vec<u8> {
    let mut key = journal_from(newest);
    key.extend_from_slice(id.as_bytes());
    key
}

/// Where the journal's rows of this time begin.
pub(super) fn journal_from(at: Timestamp) -> Vec<u8> {
    let mut key = Vec::with_capacity(JOURNAL.len() + TIME + 16);
    key.extend_from_slice(JOURNAL);
    key.extend_from_slice(&time(at));
    key
}

/// Where the journal's rows of this time have ended.
pub(super) fn journal_after(at: Timestamp) -> Vec<u8> {
    let mut key = journal_from(at);
    key.extend_from_slice(&[0xFF; 17]); // longer than any id
    key
}

/// The time of a row of the journal: its newest entry's.
pub(super) fn journal_time(row: &[u8]) -> Option<Timestamp> {
    read_time(row.strip_prefix(JOURNAL)?)
}

/// An event that is to be listed.
pub(super) fn listed(event: &EventKey) -> Vec<u8> {
    let mut key = record(event);
    key[0] = LISTED[0];
    key
}

/// What comes after everything that begins so.
pub(super) fn end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    if let Some(letter) = end.last_mut() {
        *letter += 1; // prefixes are letters
    }
    end
}

/// What the keys of all events that have not ended begin with, then of all sessions' entries, then of all contacts.
pub(super) const UNENDED: &[u8] = b"a";
pub(super) const ENTRIES: &[u8] = b"e";
pub(super) const CONTACTS: &[u8] = b"c";

/// The record of an event in hand or waiting. There are few of them and they change often, so they are kept apart from
/// the many that never change again.
pub(super) fn unended(event: &EventKey) -> Vec<u8> {
    let mut key = record(event);
    key[0] = UNENDED[0];
    key
}

/// The record of an ended event. The event's id comes first: an event can be found without its organization.
pub(super) fn record(event: &EventKey) -> Vec<u8> {
    let mut key = records_of(event.event_id.as_str());
    push_text(&mut key, event.organization_id.as_str());
    key
}

/// What the records of an event id begin with, whichever organization's.
pub(super) fn records_of(event_id: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    key.push(b'r');
    push_text(&mut key, event_id);
    key
}

/// Whose record this is.
pub(super) fn event_of(record: &[u8]) -> Option<EventKey> {
    let (event_id, rest) = split_text(record.strip_prefix(b"r")?)?;
    let (organization_id, rest) = split_text(rest)?;
    rest.is_empty().then_some(EventKey { organization_id: organization_id.into(), event_id: event_id.into() })
}

/// What the entries of a session begin with.
pub(super) fn entries_of(organization: &OrganizationId, session: &SessionId) -> Vec<u8> {
    let mut key = Vec::with_capacity(96);
    key.push(b'e');
    push_text(&mut key, organization.as_str());
    push_text(&mut key, session.as_str());
    key
}

/// What one event did for a session.
pub(super) fn entry(organization: &OrganizationId, session: &SessionId, event: &EventId) -> Vec<u8> {
    let mut key = entries_of(organization, session);
    push_text(&mut key, event.as_str());
    key
}

/// Which event a session's entry is of, given the length of what its session's entries begin with.
pub(super) fn event_of_entry(entry: &[u8], prefix: usize) -> Option<EventId> {
    let (event_id, rest) = split_text(entry.get(prefix..)?)?;
    rest.is_empty().then(|| event_id.into())
}

/// A remembered contact. The email is digested: the store holds nothing that a customer wrote.
pub(super) fn contact(organization: &OrganizationId, email: &str) -> Vec<u8> {
    let mut name = Vec::with_capacity(96);
    push_text(&mut name, organization.as_str());
    push_text(&mut name, &terms::fold(email));
    let mut key = Vec::with_capacity(17);
    key.push(b'c');
    key.extend_from_slice(Uuid::new_v5(&CONTACT_NAMES, &name).as_bytes());
    key
}

/// What an environment turned out to want.
pub(super) fn learned(organization: &OrganizationId) -> Vec<u8> {
    let mut key = vec![b'l'];
    push_text(&mut key, organization.as_str());
    key
}

/// What the keys of saved organizations begin with, those of paused ones, and those of organizations' queues.
pub(super) const ORGANIZATIONS: &[u8] = b"o";
pub(super) const PAUSES: &[u8] = b"p";
pub(super) const QUEUES: &[u8] = b"q";

/// What was saved of an organization.
pub(super) fn organization(organization: &OrganizationId) -> Vec<u8> {
    of_organization(ORGANIZATIONS, organization)
}

/// Since when an organization is paused.
pub(super) fn pause(organization: &OrganizationId) -> Vec<u8> {
    of_organization(PAUSES, organization)
}

/// When an organization's queue was declared.
pub(super) fn queue(organization: &OrganizationId) -> Vec<u8> {
    of_organization(QUEUES, organization)
}

/// Whose row this is, of those that begin so.
pub(super) fn organization_of(key: &[u8], prefix: &[u8]) -> Option<OrganizationId> {
    let (organization, rest) = split_text(key.strip_prefix(prefix)?)?;
    rest.is_empty().then(|| organization.into())
}

fn of_organization(prefix: &[u8], organization: &OrganizationId) -> Vec<u8> {
    let mut key = prefix.to_vec();
    push_text(&mut key, organization.as_str());
    key
}

/// A time, sorting as times do.
pub(super) fn time(at: Timestamp) -> [u8; TIME] {
    let since_first = at.as_nanosecond() - Timestamp::MIN.as_nanosecond();
    let mut bytes = [0; TIME];
    bytes.copy_from_slice(&since_first.to_be_bytes()[16 - TIME..]);
    bytes
}

/// That time again.
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
