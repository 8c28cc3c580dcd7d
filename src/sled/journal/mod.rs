//! The journal: rows that list the events that ended, many to a row, so that an event can be found by when it ended and
//! by what it was about. Pure.
//!
//! One row serves a whole commit. An index of each kind would leave five rows behind every event, and a row is what a
//! store pays for.

use handoffd_engine::event::{EventKey, SessionId};
use handoffd_engine::ports::store::position::Position;
use handoffd_engine::ports::store::{OutcomeFilter, terms};
use handoffd_engine::workflow::{Outcome, Record, Status};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::codec::LONGEST;
use super::keys::{TIME, read_time, time};

/// Version of the rows' form.
const VERSION: u8 = 1;

/// What a row's entries may lie apart in time: so a row's own time, which is its newest entry's, tells where all its
/// entries are.
pub(super) const SPAN: SignedDuration = SignedDuration::from_secs(60);

/// An event that ended, as a row tells it: what it can be found by, without reading its record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Listed<'a> {
    /// When the outcome was decided.
    pub at: Timestamp,
    status: u8,
    event_id: &'a str,
    organization_id: &'a str,
    sessions: Texts<'a>,
    tickets: Texts<'a>,
    incidents: &'a [u8],
    work_items: &'a [u8],
    /// All of it, as it is stored.
    pub bytes: &'a [u8],
}

/// Texts one after another, each with its length before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Texts<'a>(&'a [u8]);

/// Writes the entry of an event that ended.
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

/// Packs entries into rows, each with the time of its newest: no row longer than it may be, or wider than [`SPAN`].
pub(super) fn pack<'a>(entries: impl Iterator<Item = &'a [u8]>) -> Vec<(Timestamp, Vec<u8>)> {
    // An entry begins with its time, so entries sort as their times do.
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

/// The entries of a row, newest first, up to the first that makes no sense.
pub(super) fn entries(row: &[u8]) -> impl Iterator<Item = Listed<'_>> {
    let mut rest = row.strip_prefix(&[VERSION]).unwrap_or_default();
    std::iter::from_fn(move || {
        let (listed, after) = read(rest)?;
        rest = after;
        Some(listed)
    })
}

impl Listed<'_> {
    /// Its place among all outcomes.
    pub(super) fn position(&self) -> Position {
        Position { at: self.at, event_id: self.event_id.into(), organization_id: self.organization_id.into() }
    }

    /// Whether its record may be asked for; `ticket` is the filter's ticket number, folded.
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

fn read(bytes: &[u8]) -> Option<(Listed<'_>, &[u8])> {
    let at = read_time(bytes)?;
    let (&status, rest) = bytes.get(TIME..)?.split_first()?;
    let (event_id, rest) = split_sized(rest)?;
    let (organization_id, rest) = split_sized(rest)?;
    let (sessions, rest) = split_sized(rest)?;
    let (tickets, rest) = split_sized(rest)?;
    let (incidents, rest) = split_sized(rest)?;
    let (work_items, rest) = split_sized(rest)?;
    let listed = Listed {
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

/// Writes something with its length before it.
fn push_sized(entry: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = entry.len();
    entry.extend_from_slice(&[0; SIZE]);
    write(entry);
    let size = u32::try_from(entry.len() - at - SIZE).unwrap_or(u32::MAX); // 4 GiB of ids fit no event
    entry[at..at + SIZE].copy_from_slice(&size.to_be_bytes());
}

/// Bytes of a length. Two would do for all but a resolution of thousands of incidents.
const SIZE: usize = 4;

fn split_sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (size, rest) = bytes.split_first_chunk::<SIZE>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*size)).ok()?)
}

#[cfg(test)]
mod tests;
