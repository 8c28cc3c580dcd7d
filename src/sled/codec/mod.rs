//! Encoding of values: a version, the fields that are read without decoding, then JSON. Pure.
//!
//! JSON allows fields to come and go: a value of an older version lacks fields, a value of a newer one has more, and
//! both must be readable. Every new field of a stored type needs a default.

use std::ops::Range;

use handoffd_engine::event::{Channel, ContactId, EventId, Kind};
use handoffd_engine::ports::store::queued::QueuedNote;
use handoffd_engine::text;
use handoffd_engine::workflow::{
    Learned, Life, Milestone, MilestoneKind, Outcome, Phase, Record, SessionEntry, SessionState,
};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::keys::{TIME, read_time, time};

/// Version of the value format. Values of another version are refused.
const VERSION: u8 = 2;

/// Longest value, in bytes. sled moves pages over 128 KiB to files that it never syncs, and a page holds up to 17
/// values.
pub(super) const LONGEST: usize = 4096;

/// Bytes of a record before its JSON: version, time first seen.
const RECORD_HEAD: usize = 1 + TIME;

/// Bytes of a note before its second time: a record's, the kind, and 1 if there is such a time.
const NOTE_HEAD: usize = RECORD_HEAD + 2;

/// Bytes of a session entry before its JSON: version, times of the last and the first change.
const ENTRY_HEAD: usize = 1 + 2 * TIME;

/// Value that can't be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// Value that is too short or has an unknown format version.
    #[error(
        "unknown format version {}, expected {VERSION}",
        .0.map_or_else(|| "(empty value)".to_owned(), |found| found.to_string())
    )]
    Form(Option<u8>),
    /// Note of a queued event that is cut off, or has another form.
    #[error("not the note of a queued event")]
    Note,
    /// Value whose JSON is invalid.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// Encodes a record. A record that is too long is trimmed: first error texts, then the middle of the history, then all
/// of it, never an id.
pub(super) fn encode_record(record: &Record) -> Vec<u8> {
    let mut value = write_record(record);
    if value.len() > LONGEST {
        let mut trimmed = record.clone();
        for trim in [shorten_texts, drop_middle, drop_middle, drop_middle, shorten_history, shorten_names] {
            trim(&mut trimmed);
            value = write_record(&trimmed);
            if value.len() <= LONGEST {
                break;
            }
        }
    }
    value
}

/// Decodes a record.
pub(super) fn decode_record(value: &[u8]) -> Result<Record, Unreadable> {
    json(value, RECORD_HEAD)
}

/// Effect of one event on its session, with the times when it was last and first written.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct SessionRow {
    /// Time of the last change, for retention.
    pub at: Timestamp,
    /// Time of the first write, which orders the entries of a session.
    pub first: Timestamp,
    /// Stored effect.
    pub kept: StoredEffect,
}

/// Effect of an event on its session, as its value stores it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct StoredEffect {
    /// State of the session after the event.
    #[serde(flatten)]
    pub state: SessionState,
    /// Timestamp of the handoff event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handed_off: Option<Timestamp>,
    /// Time from which the incident may have been closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing: Option<Timestamp>,
}

impl SessionRow {
    /// Encodes the entry; the event id is in the key.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut value = head(ENTRY_HEAD);
        value.extend_from_slice(&time(self.at));
        value.extend_from_slice(&time(self.first));
        append(&mut value, &self.kept);
        value
    }

    /// Decodes an entry.
    pub(super) fn decode(value: &[u8]) -> Result<Self, Unreadable> {
        let kept = json(value, ENTRY_HEAD)?;
        let at = touched_at(value).ok_or_else(|| form(value))?;
        let first = read_time(&value[1 + TIME..]).ok_or_else(|| form(value))?;
        Ok(Self { at, first, kept })
    }

    /// Converts the entry to the workflow's type.
    pub(super) fn of(self, event_id: EventId) -> SessionEntry {
        let StoredEffect { state, handed_off, closing } = self.kept;
        SessionEntry { event_id, state, handed_off, closing }
    }
}

/// Encodes a remembered contact.
pub(super) fn encode_contact(contact: ContactId, at: Timestamp) -> Vec<u8> {
    let mut value = head(1 + TIME + 16);
    value.extend_from_slice(&time(at));
    value.extend_from_slice(contact.0.as_bytes());
    value
}

/// Decodes a remembered contact and the time when it was seen.
pub(super) fn decode_contact(value: &[u8]) -> Result<(ContactId, Timestamp), Unreadable> {
    let id = value.get(1 + TIME..).and_then(|id| Uuid::from_slice(id).ok());
    match (value.first(), id, touched_at(value)) {
        (Some(&VERSION), Some(id), Some(at)) => Ok((ContactId(id), at)),
        _ => Err(form(value)),
    }
}

/// Encodes the note that an event is queued: time received, `h` or `r` for the kind, 1 and the time moved or 0, session.
/// Not as JSON, which takes three times as much: sled keeps all of them in memory, and 100,000 events may be queued.
pub(super) fn encode_queued(note: &QueuedNote) -> Vec<u8> {
    let session = note.session_id.as_str();
    let mut value = head(NOTE_HEAD + TIME + session.len());
    value.extend_from_slice(&time(note.received));
    value.push(match note.kind {
        Kind::Handoff => b'h',
        Kind::Resolution => b'r',
    });
    value.push(u8::from(note.moved.is_some()));
    value.extend(note.moved.map(time).into_iter().flatten());
    value.extend_from_slice(session.as_bytes());
    value
}

/// Decodes the note that an event is queued.
pub(super) fn decode_queued(value: &[u8]) -> Result<QueuedNote, Unreadable> {
    let received = touched_at(value).ok_or_else(|| form(value))?;
    let kind = match value.get(RECORD_HEAD) {
        Some(b'h') => Kind::Handoff,
        Some(b'r') => Kind::Resolution,
        _ => return Err(Unreadable::Note),
    };
    let rest = value.get(NOTE_HEAD..).ok_or(Unreadable::Note)?;
    let (moved, session) = match value[NOTE_HEAD - 1] {
        0 => (None, rest),
        _ => (Some(read_time(rest).ok_or(Unreadable::Note)?), &rest[TIME..]),
    };
    let session = std::str::from_utf8(session).map_err(|_| Unreadable::Note)?;
    Ok(QueuedNote { kind, session_id: session.into(), received, moved })
}

/// Encodes the document of a saved organization.
pub(super) fn encode_document(document: &str) -> Vec<u8> {
    let mut value = head(1 + document.len());
    value.extend_from_slice(document.as_bytes());
    value
}

/// Decodes the document of a saved organization.
pub(super) fn decode_document(value: &[u8]) -> Result<String, Unreadable> {
    let text = value.strip_prefix(&[VERSION]).and_then(|text| std::str::from_utf8(text).ok());
    text.map(str::to_owned).ok_or_else(|| form(value))
}

/// Encodes a single time: when an organization was paused, or when its queue was declared.
pub(super) fn encode_time(at: Timestamp) -> Vec<u8> {
    let mut value = head(1 + TIME);
    value.extend_from_slice(&time(at));
    value
}

/// Returns the time at the start of a value: when a session entry or a contact last changed, when an event was first
/// seen, when an organization was paused, or when its queue was declared.
pub(super) fn touched_at(value: &[u8]) -> Option<Timestamp> {
    read_time(value.strip_prefix(&[VERSION])?)
}

/// Encodes the learned requirements of an environment.
pub(super) fn encode_learned(learned: &Learned) -> Vec<u8> {
    let mut value = head(160);
    append(&mut value, learned);
    value
}

/// Decodes the learned requirements of an environment.
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

/// Trims first: cuts error texts of Dynamics to the length of a sentence.
fn shorten_texts(record: &mut Record) {
    for entry in &mut record.history {
        shorten(&mut entry.error, 120);
        shorten(&mut entry.code, 40);
        shorten(&mut entry.request_id, 64);
    }
    if let Some(error) = outcome(record).and_then(|outcome| outcome.error.as_mut()) {
        shorten([&mut error.message], 300);
        shorten(&mut error.advice, 200);
        shorten(&mut error.code, 40);
    }
    for milestone in &mut record.life.milestones {
        shorten(&mut milestone.error, 60);
    }
}

/// Trims second: halves the requests and the milestones, keeps the first and the newest of them, and counts the rest.
fn drop_middle(record: &mut Record) {
    fn middle(length: usize) -> Range<usize> {
        let dropped = length.saturating_sub(2).div_ceil(2);
        1.min(length)..1.min(length) + dropped
    }
    let requests = middle(record.history.len());
    let milestones = middle(record.life.milestones.len());
    let requests = record.history.drain(requests).map(|entry| entry.at);
    let milestones = record.life.milestones.drain(milestones).map(|milestone| milestone.at);
    let gone: Vec<Timestamp> = requests.chain(milestones).collect();
    for at in gone {
        record.life.leave_out(at);
    }
}

/// Trims third: keeps only the newest request and milestone, and a few words of each error.
fn shorten_history(record: &mut Record) {
    let dropped = record.history.len().saturating_sub(1);
    let gone: Vec<Timestamp> = record.history.drain(..dropped).map(|entry| entry.at).collect();
    for at in gone {
        record.life.leave_out(at);
    }
    let dropped = record.life.milestones.len().saturating_sub(1);
    let gone: Vec<Timestamp> = record.life.milestones.drain(..dropped).map(|milestone| milestone.at).collect();
    for at in gone {
        record.life.leave_out(at);
    }
    for entry in &mut record.history {
        shorten(&mut entry.error, 40);
    }
    if let Some(error) = outcome(record).and_then(|outcome| outcome.error.as_mut()) {
        shorten([&mut error.message], 80);
        shorten(&mut error.advice, 40);
    }
}

/// Trims last: drops the advice, and cuts names that are far longer than any real one. A channel is cut to 64 characters, a ticket number to
/// 100, its length in Dynamics.
fn shorten_names(record: &mut Record) {
    record.history.clear();
    // A discard is a state; the rest is only told.
    let discard = record.life.last(MilestoneKind::Discarded).map(|discard| Milestone::bare(discard.at, discard.what));
    record.life = Life { milestones: discard.into_iter().collect(), left_out: None };
    if let Some(posted) = &mut record.progress.incident {
        shorten(&mut posted.ticket_number, 100);
    }
    shorten([&mut record.body_digest], 32);
    let Some(outcome) = outcome(record) else {
        return;
    };
    if let Some(error) = &mut outcome.error {
        error.advice = None;
        shorten([&mut error.message], 40);
    }
    if let Some(channel) = &mut outcome.channel {
        *channel = Channel::new(text::cut(channel.as_str(), 64));
    }
    if let Some(incident) = &mut outcome.incident {
        shorten(&mut incident.ticket_number, 100);
    }
}

fn outcome(record: &mut Record) -> Option<&mut Outcome> {
    match &mut record.phase {
        Phase::Finished(outcome) | Phase::Dead(outcome) => Some(outcome),
        Phase::InHand | Phase::Quarantined { .. } | Phase::Waiting => None,
    }
}

fn shorten<'a>(texts: impl IntoIterator<Item = &'a mut String>, limit: usize) {
    for text in texts {
        *text = text::shorten(text, limit).into_owned();
    }
}

#[cfg(test)]
mod tests;
