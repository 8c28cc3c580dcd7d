//! Outcome index: rows that list finished events, many to a row, so that an event is found by the time when it ended
//! and by its session, ticket, incident or work item. Pure.
//!
//! One row serves a whole commit. Separate indexes would leave five rows for every event, and the number of rows
//! determines the cost of a store.

use handoffd_engine::event::{EventKey, SessionId};
use handoffd_engine::ports::store::position::Position;
use handoffd_engine::ports::store::{OutcomeFilter, terms};
use handoffd_engine::workflow::{Outcome, Record, Status};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::codec::LONGEST;
use super::keys::{TIME, read_time, time};

/// Version of the row format.
const VERSION: u8 = 1;

/// Longest time between the entries of a row. It bounds the times of all entries by the row's own time, which is that
/// of the newest entry.
pub(super) const SPAN: SignedDuration = SignedDuration::from_secs(60);

/// Finished event as a row lists it, with every searchable field, so that its record need not be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct IndexEntry<'a> {
    /// Time when the outcome was decided.
    pub at: Timestamp,
    status: u8,
    event_id: &'a str,
    organization_id: &'a str,
    sessions: Texts<'a>,
    tickets: Texts<'a>,
    incidents: &'a [u8],
    work_items: &'a [u8],
    /// Complete entry as stored.
    pub bytes: &'a [u8],
}

/// Sequence of texts, each preceded by its length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Texts<'a>(&'a [u8]);

/// Encodes the entry of a finished event.
pub(super) fn encode(key: &EventKey, record: &Record, outcome: &Outcome) -> Vec<u8> {
    let mut entry = Vec::with_capacity(256);
    entry.extend_from_slice(&time(outcome.finished_at));
    entry.push(encode_status(outcome.status));
    push_text(&mut entry, key.event_id.as_str());
    push_text(&mut entry, key.organization_id.as_str());
    let sessions: Vec<_> = terms::session(record, outcome).into_iter().map(SessionId::as_str).collect();
    push_texts(&mut entry, &sessions);
    let tickets = terms::ticket_numbers(record, outcome);
    push_texts(&mut entry, &tickets.iter().map(String::as_str).collect::<Vec<_>>());
    let incidents: Vec<_> = terms::incidents(record, outcome).into_iter().map(|id| id.0).collect();
    push_ids(&mut entry, &incidents);
    let work_items: Vec<_> = terms::work_item(record, outcome).into_iter().map(|id| id.0).collect();
    push_ids(&mut entry, &work_items);
    entry
}

/// Packs entries into rows, each with the time of its newest entry. No row exceeds the longest value or [`SPAN`].
pub(super) fn pack<'a>(entries: impl Iterator<Item = &'a [u8]>) -> Vec<(Timestamp, Vec<u8>)> {
    // An entry begins with its time, so entries sort by time.
    let mut entries: Vec<(Timestamp, &[u8])> = entries.filter_map(|entry| Some((read_time(entry)?, entry))).collect();
    entries.sort_unstable_by(|one, other| other.cmp(one));
    let mut rows: Vec<(Timestamp, Vec<u8>)> = Vec::new();
    for (at, entry) in entries {
        match rows.last_mut() {
            Some((newest, row)) if newest.duration_since(at) <= SPAN && row.len() + entry.len() <= LONGEST => {
                row.extend_from_slice(entry);
            }
            _ => {
                let mut row = vec![VERSION];
                row.extend_from_slice(entry);
                rows.push((at, row));
            }
        }
    }
    rows
}

/// Iterates over the entries of a row, newest first, up to the first malformed one.
pub(super) fn entries(row: &[u8]) -> impl Iterator<Item = IndexEntry<'_>> {
    let mut rest = row.strip_prefix(&[VERSION]).unwrap_or_default();
    std::iter::from_fn(move || {
        let (listed, after) = read(rest)?;
        rest = after;
        Some(listed)
    })
}

impl IndexEntry<'_> {
    /// Returns the position among all outcomes.
    pub(super) fn position(&self) -> Position {
        Position { at: self.at, event_id: self.event_id.into(), organization_id: self.organization_id.into() }
    }

    /// Reports whether the record may match; `ticket` is the filter's ticket number, case-folded.
    pub(super) fn may_match(&self, filter: &OutcomeFilter, ticket: Option<&str>) -> bool {
        filter.matches_time(self.at)
            && filter.status.is_none_or(|wanted| self.status == encode_status(wanted))
            && filter.organization.as_ref().is_none_or(|wanted| self.organization_id == wanted.as_str())
            && filter.session.as_ref().is_none_or(|wanted| self.sessions.contain(wanted.as_str()))
            && filter.incident.is_none_or(|wanted| contains(self.incidents, wanted.0))
            && filter.work_item.is_none_or(|wanted| contains(self.work_items, wanted.0))
            && ticket.is_none_or(|wanted| self.tickets.contain(wanted))
    }
}

impl Texts<'_> {
    fn contain(self, wanted: &str) -> bool {
        let mut rest = self.0;
        while let Some((text, after)) = split_sized(rest) {
            if text == wanted.as_bytes() {
                return true;
            }
            rest = after;
        }
        false
    }
}

fn contains(ids: &[u8], wanted: Uuid) -> bool {
    ids.chunks_exact(16).any(|id| id == wanted.as_bytes())
}

fn encode_status(status: Status) -> u8 {
    match status {
        Status::Succeeded => 0,
        Status::Skipped => 1,
        Status::Failed => 2,
    }
}

fn read(bytes: &[u8]) -> Option<(IndexEntry<'_>, &[u8])> {
    let at = read_time(bytes)?;
    let (&status, rest) = bytes.get(TIME..)?.split_first()?;
    let (event_id, rest) = split_sized(rest)?;
    let (organization_id, rest) = split_sized(rest)?;
    let (sessions, rest) = split_sized(rest)?;
    let (tickets, rest) = split_sized(rest)?;
    let (incidents, rest) = split_sized(rest)?;
    let (work_items, rest) = split_sized(rest)?;
    let listed = IndexEntry {
        at,
        status,
        event_id: str::from_utf8(event_id).ok()?,
        organization_id: str::from_utf8(organization_id).ok()?,
        sessions: Texts(sessions),
        tickets: Texts(tickets),
        incidents,
        work_items,
        bytes: &bytes[..bytes.len() - rest.len()],
    };
    Some((listed, rest))
}

fn push_text(entry: &mut Vec<u8>, text: &str) {
    push_sized(entry, |entry| entry.extend_from_slice(text.as_bytes()));
}

fn push_texts(entry: &mut Vec<u8>, texts: &[&str]) {
    push_sized(entry, |entry| texts.iter().for_each(|text| push_text(entry, text)));
}

fn push_ids(entry: &mut Vec<u8>, ids: &[Uuid]) {
    push_sized(entry, |entry| ids.iter().for_each(|id| entry.extend_from_slice(id.as_bytes())));
}

/// Writes data preceded by its length.
fn push_sized(entry: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = entry.len();
    entry.extend_from_slice(&[0; SIZE]);
    write(entry);
    let size = u32::try_from(entry.len() - at - SIZE).unwrap_or(u32::MAX); // no event has 4 GiB of ids
    entry[at..at + SIZE].copy_from_slice(&size.to_be_bytes());
}

/// Bytes of a length. Two would suffice for all but a resolution of thousands of incidents.
const SIZE: usize = 4;

fn split_sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (size, rest) = bytes.split_first_chunk::<SIZE>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*size)).ok()?)
}

#[cfg(test)]
mod tests;
