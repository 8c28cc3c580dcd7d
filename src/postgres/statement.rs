//! One statement that writes a batch, whatever it holds: a statement is atomic, and one trip.
//!
//! Statements have no name and no transaction of their own, so they pass a pooler in any mode. The fence of several
//! workers belongs here: a part that locks the owners' rows `FOR SHARE`, joined by all others.

use handoffd_engine::event::OrganizationId;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::batch::Batch;
use super::{keys, rows};

/// Statement with its parameters.
#[derive(Default)]
pub(super) struct Statement {
    /// Text with the parameters `$1`, `$2`, …
    pub text: String,
    params: Vec<(Box<dyn ToSql + Sync + Send>, Type)>,
}

/// Durability of a commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Durability {
    /// As the server's `synchronous_commit` says, but never `off`.
    Durable,
    /// The server may lose it in a crash.
    MayBeLost,
}

impl Statement {
    /// Adds a parameter and returns its name.
    pub(super) fn bind(&mut self, value: impl ToSql + Sync + Send + 'static, kind: Type) -> String {
        self.params.push((Box::new(value), kind));
        format!("${}", self.params.len())
    }

    /// Returns the parameters as the client takes them.
    pub(super) fn params(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        self.params.iter().map(|(value, kind)| (&**value as &(dyn ToSql + Sync), kind.clone())).collect()
    }

    /// Builds the statement that writes a batch.
    pub(super) fn write(batch: &Batch<'_>, durability: Durability) -> Self {
        let mut statement = Self::default();
        let parts: Vec<String> = [
            statement.events(batch),
            statement.queued(batch),
            statement.begun(batch),
            statement.outcomes(batch),
            statement.sessions(batch),
            statement.contacts(batch),
            statement.forgotten_contacts(batch),
            statement.learned(batch),
        ]
        .into_iter()
        .flatten()
        .chain(statement.by_organization("organizations", "document", Type::TEXT_ARRAY, &batch.organizations, |text| {
            (*text).to_owned()
        }))
        .chain(
            statement.by_organization("pauses", "since", Type::INT8_ARRAY, &batch.pauses, |at| keys::nanoseconds(*at)),
        )
        .chain(
            statement
                .by_organization("queues", "declared", Type::INT8_ARRAY, &batch.queues, |at| keys::nanoseconds(*at)),
        )
        .enumerate()
        .map(|(nth, part)| format!("w{nth} AS ({part})"))
        .collect();
        let with = if parts.is_empty() { String::new() } else { format!("WITH {} ", parts.join(", ")) };
        statement.text = with + durability.setting();
        statement
    }

    fn events(&mut self, batch: &Batch<'_>) -> Option<String> {
        let rows = &batch.records;
        if rows.is_empty() {
            return None;
        }
        let name = |text: &str| text.as_bytes().to_vec();
        let ids = self.bind(rows.keys().copied().collect::<Vec<Uuid>>(), Type::UUID_ARRAY);
        let organizations = rows.values().map(|(key, _)| name(key.organization_id.as_str())).collect::<Vec<_>>();
        let organizations = self.bind(organizations, Type::BYTEA_ARRAY);
        let events = rows.values().map(|(key, _)| name(key.event_id.as_str())).collect::<Vec<_>>();
        let events = self.bind(events, Type::BYTEA_ARRAY);
        let seen = rows.values().map(|(_, record)| keys::nanoseconds(record.first_seen)).collect::<Vec<_>>();
        let seen = self.bind(seen, Type::INT8_ARRAY);
        let ends = rows.values().map(|(_, record)| record.outcome().map(|end| keys::nanoseconds(end.finished_at)));
        let ends = self.bind(ends.collect::<Vec<Option<i64>>>(), Type::INT8_ARRAY);
        let records = rows.values().map(|(_, record)| rows::json(record)).collect::<Vec<_>>();
        let records = self.bind(records, Type::TEXT_ARRAY);
        Some(format!(
            "INSERT INTO handoffd_events (id, organization, event, first_seen, finished_at, record) \
             SELECT * FROM UNNEST({ids}, {organizations}, {events}, {seen}, {ends}, {records}) \
             ON CONFLICT (id) DO UPDATE SET first_seen = excluded.first_seen, finished_at = excluded.finished_at, \
             record = excluded.record"
        ))
    }

    /// Writes notes of queued events. They are rows of the events' table under keys of their own, so that an event's record
    /// is never taken for one.
    fn queued(&mut self, batch: &Batch<'_>) -> Option<String> {
        let rows: Vec<_> = batch.queued.iter().filter_map(|(id, (key, note))| Some((*id, *key, (*note)?))).collect();
        if rows.is_empty() {
            return None;
        }
        let name = |text: &str| text.as_bytes().to_vec();
        let ids = self.bind(rows.iter().map(|(id, ..)| *id).collect::<Vec<_>>(), Type::UUID_ARRAY);
        let organizations = rows.iter().map(|(_, key, _)| name(key.organization_id.as_str())).collect::<Vec<_>>();
        let organizations = self.bind(organizations, Type::BYTEA_ARRAY);
        let events = rows.iter().map(|(_, key, _)| name(key.event_id.as_str())).collect::<Vec<_>>();
        let events = self.bind(events, Type::BYTEA_ARRAY);
        let received = rows.iter().map(|(.., note)| keys::nanoseconds(note.received)).collect::<Vec<_>>();
        let received = self.bind(received, Type::INT8_ARRAY);
        let notes = rows.iter().map(|(.., note)| rows::json_queued(note)).collect::<Vec<_>>();
        let notes = self.bind(notes, Type::TEXT_ARRAY);
        Some(format!(
            "INSERT INTO handoffd_events (id, organization, event, first_seen, record) \
             SELECT * FROM UNNEST({ids}, {organizations}, {events}, {received}, {notes}) \
             ON CONFLICT (id) DO UPDATE SET first_seen = excluded.first_seen, record = excluded.record"
        ))
    }

    /// Deletes the notes of events that are begun.
    fn begun(&mut self, batch: &Batch<'_>) -> Option<String> {
        let gone: Vec<Uuid> = batch.queued.iter().filter(|(_, (_, note))| note.is_none()).map(|(id, _)| *id).collect();
        if gone.is_empty() {
            return None;
        }
        let ids = self.bind(gone, Type::UUID_ARRAY);
        Some(format!("DELETE FROM handoffd_events WHERE id = ANY({ids})"))
    }

    fn outcomes(&mut self, batch: &Batch<'_>) -> Option<String> {
        let ended =
            batch.records.iter().filter_map(|(id, (key, record))| Some((*id, *key, *record, record.outcome()?)));
        let ended: Vec<_> = ended.collect();
        if ended.is_empty() {
            return None;
        }
        let times = ended.iter().map(|(.., outcome)| keys::nanoseconds(outcome.finished_at)).collect::<Vec<_>>();
        let times = self.bind(times, Type::INT8_ARRAY);
        let ids = self.bind(ended.iter().map(|(id, ..)| *id).collect::<Vec<_>>(), Type::UUID_ARRAY);
        let organizations = ended.iter().map(|(_, key, ..)| keys::organization(&key.organization_id));
        let organizations = self.bind(organizations.collect::<Vec<_>>(), Type::UUID_ARRAY);
        let statuses = ended.iter().map(|(.., outcome)| rows::status(outcome.status)).collect::<Vec<_>>();
        let statuses = self.bind(statuses, Type::INT2_ARRAY);
        let terms = ended.iter().map(|(_, key, record, outcome)| rows::terms_of(key, record, outcome));
        let terms = self.bind(terms.collect::<Vec<_>>(), Type::TEXT_ARRAY);
        Some(format!(
            "INSERT INTO handoffd_outcomes (finished_at, id, organization, status, terms) \
             SELECT t, i, o, s, m::uuid[] FROM UNNEST({times}, {ids}, {organizations}, {statuses}, {terms}) \
             AS u(t, i, o, s, m) \
             ON CONFLICT (finished_at, id) DO UPDATE SET status = excluded.status, terms = excluded.terms"
        ))
    }

    fn sessions(&mut self, batch: &Batch<'_>) -> Option<String> {
        let rows = &batch.sessions;
        if rows.is_empty() {
            return None;
        }
        let sessions = self.bind(rows.keys().map(|row| row.0).collect::<Vec<_>>(), Type::UUID_ARRAY);
        let events = self.bind(rows.keys().map(|row| row.1).collect::<Vec<_>>(), Type::UUID_ARRAY);
        let first = rows.values().map(|row| keys::nanoseconds(row.first)).collect::<Vec<_>>();
        let first = self.bind(first, Type::INT8_ARRAY);
        let at = rows.values().map(|row| keys::nanoseconds(row.at)).collect::<Vec<_>>();
        let at = self.bind(at, Type::INT8_ARRAY);
        let entries = self.bind(rows.values().map(|row| rows::json(row.entry)).collect::<Vec<_>>(), Type::TEXT_ARRAY);
        Some(format!(
            "INSERT INTO handoffd_sessions (session, event, first, at, entry) \
             SELECT * FROM UNNEST({sessions}, {events}, {first}, {at}, {entries}) \
             ON CONFLICT (session, event) DO UPDATE SET at = excluded.at, entry = excluded.entry"
        ))
    }

    fn contacts(&mut self, batch: &Batch<'_>) -> Option<String> {
        let rows: Vec<_> = batch.contacts.iter().filter_map(|(id, row)| Some((*id, (*row)?))).collect();
        if rows.is_empty() {
            return None;
        }
        let ids = self.bind(rows.iter().map(|(id, _)| *id).collect::<Vec<_>>(), Type::UUID_ARRAY);
        let contacts = rows.iter().map(|(_, (contact, _))| contact.0).collect::<Vec<_>>();
        let contacts = self.bind(contacts, Type::UUID_ARRAY);
        let at = rows.iter().map(|(_, (_, at))| keys::nanoseconds(*at)).collect::<Vec<_>>();
        let at = self.bind(at, Type::INT8_ARRAY);
        Some(format!(
            "INSERT INTO handoffd_contacts (id, contact, at) SELECT * FROM UNNEST({ids}, {contacts}, {at}) \
             ON CONFLICT (id) DO UPDATE SET contact = excluded.contact, at = excluded.at"
        ))
    }

    fn forgotten_contacts(&mut self, batch: &Batch<'_>) -> Option<String> {
        let gone: Vec<Uuid> = batch.contacts.iter().filter(|(_, row)| row.is_none()).map(|(id, _)| *id).collect();
        if gone.is_empty() {
            return None;
        }
        let ids = self.bind(gone, Type::UUID_ARRAY);
        Some(format!("DELETE FROM handoffd_contacts WHERE id = ANY({ids})"))
    }

    fn learned(&mut self, batch: &Batch<'_>) -> Option<String> {
        if batch.learned.is_empty() {
            return None;
        }
        let organizations = self.bind(names(batch.learned.keys().copied()), Type::BYTEA_ARRAY);
        let learned = batch.learned.values().map(|learned| rows::json(*learned)).collect::<Vec<_>>();
        let learned = self.bind(learned, Type::TEXT_ARRAY);
        Some(format!(
            "INSERT INTO handoffd_environments (organization, learned) SELECT * FROM UNNEST({organizations}, {learned}) \
             ON CONFLICT (organization) DO UPDATE SET learned = excluded.learned"
        ))
    }

    /// Sets and deletes rows of a table with one value for each organization.
    fn by_organization<T, V>(
        &mut self,
        table: &str,
        column: &str,
        kind: Type,
        rows: &std::collections::BTreeMap<&OrganizationId, Option<T>>,
        encode: impl Fn(&T) -> V,
    ) -> Vec<String>
    where
        V: ToSql + Sync + Send + 'static,
    {
        let mut parts = Vec::new();
        let set: Vec<_> = rows.iter().filter_map(|(id, value)| Some((*id, value.as_ref()?))).collect();
        if !set.is_empty() {
            let organizations = self.bind(names(set.iter().map(|(id, _)| *id)), Type::BYTEA_ARRAY);
            let values = self.bind(set.iter().map(|(_, value)| encode(value)).collect::<Vec<_>>(), kind);
            parts.push(format!(
                "INSERT INTO handoffd_{table} (organization, {column}) SELECT * FROM UNNEST({organizations}, {values}) \
                 ON CONFLICT (organization) DO UPDATE SET {column} = excluded.{column}"
            ));
        }
        let gone: Vec<_> = rows.iter().filter(|(_, value)| value.is_none()).map(|(id, _)| *id).collect();
        if !gone.is_empty() {
            let organizations = self.bind(names(gone.into_iter()), Type::BYTEA_ARRAY);
            parts.push(format!("DELETE FROM handoffd_{table} WHERE organization = ANY({organizations})"));
        }
        parts
    }
}

fn names<'a>(ids: impl Iterator<Item = &'a OrganizationId>) -> Vec<Vec<u8>> {
    ids.map(|id| id.as_str().as_bytes().to_vec()).collect()
}

impl Durability {
    /// Returns the query that sets the durability of its own transaction.
    fn setting(self) -> &'static str {
        match self {
            Self::Durable => {
                "SELECT CASE WHEN current_setting('synchronous_commit') = 'off' \
                 THEN set_config('synchronous_commit', 'on', true) END"
            }
            Self::MayBeLost => "SELECT set_config('synchronous_commit', 'off', true)",
        }
    }
}
