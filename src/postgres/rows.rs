//! Encoding of values: JSON, so that fields may come and go. Pure.
//!
//! A value of an older version lacks fields, a value of a newer one has more, and both must be readable. Every new
//! field of a stored type needs a default.

use handoffd_engine::event::{EventKey, OrganizationId, SessionId};
use handoffd_engine::ports::store::queued::QueuedNote;
use handoffd_engine::ports::store::{StoreError, terms};
use handoffd_engine::workflow::{Outcome, Record, SessionEntry, Status};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::errors::unreadable;
use super::keys;

/// Kinds of search terms. They are part of the stored digests and must never change.
pub(super) const EVENT: &str = "event id";
pub(super) const SESSION: &str = "session id";
pub(super) const INCIDENT: &str = "incident";
pub(super) const TICKET: &str = "ticket number";
pub(super) const WORK_ITEM: &str = "work item";

/// Encodes a value.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("text keys and plain data always serialize")
}

/// Decodes a value; `what` names it in the error.
pub(super) fn read<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| unreadable(what, error))
}

/// Beginning of a note that an event is queued, which is no record.
pub(super) const QUEUED: &str = "{\"queued\":";

/// Note that an event is queued, as its row stores it.
#[derive(Serialize, Deserialize)]
struct QueuedRow<T> {
    queued: T,
}

/// Encodes the note that an event is queued.
pub(super) fn json_queued(note: &QueuedNote) -> String {
    json(&QueuedRow { queued: note })
}

/// Decodes the note that an event is queued.
pub(super) fn read_queued(what: &'static str, text: &str) -> Result<QueuedNote, StoreError> {
    read::<QueuedRow<QueuedNote>>(what, text).map(|row| row.queued)
}

/// Session entry as its row stores it. The names serve only to move it into another store.
#[derive(Serialize, Deserialize)]
struct EntryRow<T> {
    organization_id: OrganizationId,
    session_id: SessionId,
    #[serde(flatten)]
    entry: T,
}

/// Encodes a session entry, with the names of its session.
pub(super) fn json_entry((organization, session): (&OrganizationId, &SessionId), entry: &SessionEntry) -> String {
    json(&EntryRow { organization_id: organization.clone(), session_id: session.clone(), entry })
}

/// Decodes a session entry with the names of its session.
pub(super) fn read_entry(
    what: &'static str,
    text: &str,
) -> Result<(OrganizationId, SessionId, SessionEntry), StoreError> {
    let row: EntryRow<SessionEntry> = read(what, text)?;
    Ok((row.organization_id, row.session_id, row.entry))
}

/// Returns the terms that an ended event is found by, as an array of PostgreSQL.
pub(super) fn terms_of(key: &EventKey, record: &Record, outcome: &Outcome) -> String {
    let mut found = vec![keys::term(EVENT, key.event_id.as_str())];
    found.extend(terms::session(record, outcome).map(|session| keys::term(SESSION, session.as_str())));
    found.extend(terms::incidents(record, outcome).iter().map(|id| keys::term(INCIDENT, &id.to_string())));
    found.extend(terms::ticket_numbers(record, outcome).iter().map(|number| keys::term(TICKET, number)));
    found.extend(terms::work_item(record, outcome).map(|id| keys::term(WORK_ITEM, &id.to_string())));
    array(&found)
}

fn array(ids: &[Uuid]) -> String {
    let ids: Vec<String> = ids.iter().map(Uuid::to_string).collect();
    format!("{{{}}}", ids.join(","))
}

/// Encodes a status. Those above 0 have an index of their own, since they are few.
pub(super) fn status(status: Status) -> i16 {
    match status {
        Status::Succeeded => 0,
        Status::Skipped => 1,
        Status::Failed => 2,
    }
}
