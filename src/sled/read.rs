//! Queries for single values.

use handoffd_engine::event::{ContactId, EventKey, OrganizationId, SessionId};
use handoffd_engine::ports::store::{SavedOrganization, StoreError};
use handoffd_engine::workflow::{Learned, Record, SessionEntry};
use jiff::Timestamp;

use super::codec::{self, SessionRow};
use super::errors::unreadable;
use super::keys;
use super::view::StoreView;

/// Names of the read data in errors.
pub(super) const RECORD: &str = "a record";
pub(super) const SESSION: &str = "a session";
pub(super) const CONTACT: &str = "a remembered contact";
pub(super) const LEARNED: &str = "the learned requirements of an environment";
pub(super) const ORGANIZATIONS: &str = "saved organizations";
pub(super) const PAUSES: &str = "paused organizations";
pub(super) const QUEUES: &str = "organizations' queues";

/// Returns the record of an event, finished or not.
pub(super) fn record(view: &StoreView<'_>, key: &EventKey) -> Result<Option<Record>, StoreError> {
    let value = match view.get(RECORD, &keys::unended(key))? {
        Some(value) => Some(value),
        None => view.get(RECORD, &keys::record(key))?,
    };
    value.map(|value| codec::decode_record(&value).map_err(|error| unreadable(RECORD, error))).transpose()
}

/// Returns the entries of a session, oldest first; entries of the same time are ordered by event id.
pub(super) fn session(
    view: &StoreView<'_>,
    organization: &OrganizationId,
    session: &SessionId,
) -> Result<Vec<SessionEntry>, StoreError> {
    let prefix = keys::entries_of(organization, session);
    let mut entries = Vec::new();
    for (key, value) in view.begins_with(SESSION, &prefix)? {
        let entry = SessionRow::decode(&value).map_err(|error| unreadable(SESSION, error))?;
        let event_id = keys::event_of_entry(&key, prefix.len()).ok_or_else(|| unreadable(SESSION, "malformed key"))?;
        entries.push((entry, event_id));
    }
    // The keys are ordered by event id, and the sort is stable.
    entries.sort_by_key(|(entry, _)| entry.first);
    Ok(entries.into_iter().map(|(entry, id)| entry.of(id)).collect())
}

pub(super) fn contact(
    view: &StoreView<'_>,
    organization: &OrganizationId,
    email: &str,
    not_before: Timestamp,
) -> Result<Option<ContactId>, StoreError> {
    let key = keys::contact(organization, email);
    let Some(value) = view.get(CONTACT, &key)? else {
        return Ok(None);
    };
    let (contact, at) = codec::decode_contact(&value).map_err(|error| unreadable(CONTACT, error))?;
    Ok((at >= not_before).then_some(contact))
}

pub(super) fn learned(view: &StoreView<'_>, organization: &OrganizationId) -> Result<Learned, StoreError> {
    let value = view.get(LEARNED, &keys::learned(organization))?;
    value.map_or(Ok(Learned::default()), |value| {
        codec::decode_learned(&value).map_err(|error| unreadable(LEARNED, error))
    })
}

pub(super) fn organizations(view: &StoreView<'_>) -> Result<Vec<SavedOrganization>, StoreError> {
    let rows = view.begins_with(ORGANIZATIONS, keys::ORGANIZATIONS)?;
    rows.iter()
        .map(|(key, value)| {
            let id = keys::organization_of(key, keys::ORGANIZATIONS).ok_or_else(|| senseless(ORGANIZATIONS))?;
            let document = codec::decode_document(value).map_err(|error| unreadable(ORGANIZATIONS, error))?;
            Ok(SavedOrganization { id, document })
        })
        .collect()
}

pub(super) fn pauses(view: &StoreView<'_>) -> Result<Vec<(OrganizationId, Timestamp)>, StoreError> {
    times(view, PAUSES, keys::PAUSES)
}

pub(super) fn organization_queues(view: &StoreView<'_>) -> Result<Vec<(OrganizationId, Timestamp)>, StoreError> {
    times(view, QUEUES, keys::QUEUES)
}

/// Returns the time stored for each organization under this prefix, by id.
fn times(
    view: &StoreView<'_>,
    what: &'static str,
    prefix: &[u8],
) -> Result<Vec<(OrganizationId, Timestamp)>, StoreError> {
    let rows = view.begins_with(what, prefix)?;
    rows.iter()
        .map(|(key, value)| {
            let id = keys::organization_of(key, prefix).ok_or_else(|| senseless(what))?;
            let at = codec::touched_at(value).ok_or_else(|| senseless(what))?;
            Ok((id, at))
        })
        .collect()
}

fn senseless(what: &'static str) -> StoreError {
    unreadable(what, "malformed row")
}
