//! Values as bytes: a version, what must be known without decoding, then JSON. Pure.
//!
//! JSON, because fields come and go: a value written by an older version lacks fields, one by a newer has more, and both
//! must be read. New fields of what is stored must have a default.

use handoffd_engine::event::{Channel, ContactId, EventId};
use handoffd_engine::workflow::{Learned, Outcome, Phase, Record, SessionEntry, SessionState};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::keys::{TIME, read_time, time};

/// Version of the values' form; another one is not read.
const VERSION: u8 = 2;

/// Longest value: sled puts pages over 128 KiB into files that it never syncs, and a page holds up to 17 values.
pub(super) const LONGEST: usize = 4096;

/// Bytes of a record before its JSON: version, first seen.
const RECORD_HEAD: usize = 1 + TIME;

/// Bytes of a session's entry before its JSON: version, last and first touched.
const ENTRY_HEAD: usize = 1 + 2 * TIME;

/// A value that can't be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// Too short, or a form that this program does not know.
    #[error("its form is unknown (version {0:?}, this program knows {VERSION})")]
    Form(Option<u8>),
    /// Not the JSON it should be.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// Writes a record, trimming what is too long in it: first errors' texts, then the history, never an id.
pub(super) fn encode_record(record: &Record) -> Vec<u8> {
    let mut value = write_record(record);
    if value.len() > LONGEST {
        let mut trimmed = record.clone();
        for trim in [shorten_texts, shorten_history, shorten_names] {
            trim(&mut trimmed);
            value = write_record(&trimmed);
            if value.len() <= LONGEST {
                break;
            }
        }
    }
    value
}

/// Reads a record.
pub(super) fn decode_record(value: &[u8]) -> Result<Record, Unreadable> {
    json(value, RECORD_HEAD)
}

/// What one event did for a session, when that was last and first written.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Entry {
    /// When it was last touched, for retention.
    pub at: Timestamp,
    /// When it was first written: its place in the session.
    pub first: Timestamp,
    /// What it became.
    pub kept: Kept,
}

/// What an event did for its session, as its value holds it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    /// What it became.
    #[serde(flatten)]
    pub state: SessionState,
    /// The handoff's own timestamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handed_off: Option<Timestamp>,
    /// Since when its incident may have been closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing: Option<Timestamp>,
}

impl Entry {
    /// Writes it; the event's id is in the key.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut value = head(ENTRY_HEAD);
        value.extend_from_slice(&time(self.at));
        value.extend_from_slice(&time(self.first));
        append(&mut value, &self.kept);
        value
    }

    /// Reads it.
    pub(super) fn decode(value: &[u8]) -> Result<Self, Unreadable> {
        let kept = json(value, ENTRY_HEAD)?;
        let at = touched_at(value).ok_or_else(|| form(value))?;
        let first = read_time(&value[1 + TIME..]).ok_or_else(|| form(value))?;
        Ok(Self { at, first, kept })
    }

    /// As the machine knows it.
    pub(super) fn of(self, event_id: EventId) -> SessionEntry {
        let Kept { state, handed_off, closing } = self.kept;
        SessionEntry { event_id, state, handed_off, closing }
    }
}

/// Writes a remembered contact.
pub(super) fn encode_contact(contact: ContactId, at: Timestamp) -> Vec<u8> {
    let mut value = head(1 + TIME + 16);
    value.extend_from_slice(&time(at));
    value.extend_from_slice(contact.0.as_bytes());
    value
}

/// Reads a remembered contact and when it was seen.
pub(super) fn decode_contact(value: &[u8]) -> Result<(ContactId, Timestamp), Unreadable> {
    let id = value.get(1 + TIME..).and_then(|id| Uuid::from_slice(id).ok());
    match (value.first(), id, touched_at(value)) {
        (Some(&VERSION), Some(id), Some(at)) => Ok((ContactId(id), at)),
        _ => Err(form(value)),
    }
}

/// Writes what was saved of an organization.
pub(super) fn encode_document(document: &str) -> Vec<u8> {
    let mut value = head(1 + document.len());
    value.extend_from_slice(document.as_bytes());
    value
}

/// Reads what was saved of an organization.
pub(super) fn decode_document(value: &[u8]) -> Result<String, Unreadable> {
    let text = value.strip_prefix(&[VERSION]).and_then(|text| std::str::from_utf8(text).ok());
    text.map(str::to_owned).ok_or_else(|| form(value))
}

/// Writes a time alone: since when an organization is paused, or when its queue was declared.
pub(super) fn encode_time(at: Timestamp) -> Vec<u8> {
    let mut value = head(1 + TIME);
    value.extend_from_slice(&time(at));
    value
}

/// The time that a value begins with: when a session's entry or a contact was last touched, when an event was first
/// seen, since when an organization is paused, when its queue was declared.
pub(super) fn touched_at(value: &[u8]) -> Option<Timestamp> {
    read_time(value.strip_prefix(&[VERSION])?)
}

/// Writes what an environment wants.
pub(super) fn encode_learned(learned: &Learned) -> Vec<u8> {
    let mut value = head(160);
    append(&mut value, learned);
    value
}

/// Reads what an environment wants.
pub(super) fn decode_learned(value: &[u8]) -> Result<Learned, Unreadable> {
    json(value, 1)
}

fn write_record(record: &Record) -> Vec<u8> {
    let mut value = head(1024);
    value.extend_from_slice(&time(record.first_seen));
    append(&mut value, record);
    value
}

fn head(capacity: usize) -> Vec<u8> {
    let mut value = Vec::with_capacity(capacity);
    value.push(VERSION);
    value
}

fn append(value: &mut Vec<u8>, content: &impl serde::Serialize) {
    serde_json::to_writer(value, content)
        .expect("text keys and plain data always serialize, and a Vec takes every byte");
}

fn json<T: DeserializeOwned>(value: &[u8], head: usize) -> Result<T, Unreadable> {
    match value.split_at_checked(head) {
        Some(([VERSION, ..], text)) => Ok(serde_json::from_slice(text)?),
        _ => Err(form(value)),
    }
}

fn form(value: &[u8]) -> Unreadable {
    Unreadable::Form(value.first().copied())
}

/// First: what Dynamics said is cut to the length of a sentence.
fn shorten_texts(record: &mut Record) {
    for entry in &mut record.history {
        cut_option(&mut entry.error, 120);
        cut_option(&mut entry.code, 40);
        cut_option(&mut entry.request_id, 64);
    }
    if let Some(error) = outcome(record).and_then(|outcome| outcome.error.as_mut()) {
        cut(&mut error.message, 300);
        cut_option(&mut error.advice, 200);
        cut_option(&mut error.code, 40);
    }
}

/// Second: the newest request alone is kept, and what went wrong in a few words.
fn shorten_history(record: &mut Record) {
    let dropped = record.history.len().saturating_sub(1);
    record.history.drain(..dropped);
    for entry in &mut record.history {
        cut_option(&mut entry.error, 40);
    }
    if let Some(error) = outcome(record).and_then(|outcome| outcome.error.as_mut()) {
        cut(&mut error.message, 80);
        cut_option(&mut error.advice, 40);
    }
}

/// Third: names that are far longer than any real one. A channel is cut to 64 characters, a ticket number to 100, its
/// length in Dynamics.
fn shorten_names(record: &mut Record) {
    record.history.clear();
    if let Some(posted) = &mut record.progress.incident {
        cut_option(&mut posted.ticket_number, 100);
    }
    cut(&mut record.body_digest, 32);
    let Some(outcome) = outcome(record) else {
        return;
    };
    if let Some(channel) = &mut outcome.channel {
        let short: String = channel.as_str().chars().take(64).collect();
        *channel = Channel::new(&short);
    }
    if let Some(incident) = &mut outcome.incident {
        cut_option(&mut incident.ticket_number, 100);
    }
}

fn outcome(record: &mut Record) -> Option<&mut Outcome> {
    match &mut record.phase {
        Phase::Finished(outcome) | Phase::Dead(outcome) => Some(outcome),
        Phase::InHand | Phase::Quarantined { .. } | Phase::Waiting => None,
    }
}

fn cut_option(text: &mut Option<String>, longest: usize) {
    if let Some(text) = text {
        cut(text, longest);
    }
}

fn cut(text: &mut String, longest: usize) {
    if let Some((end, _)) = text.char_indices().nth(longest) {
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
mod tests;
