//! One statement that writes a batch, whatever it holds: a statement is atomic, and one trip.
//!
//! Statements have no name and no transaction of their own, so they pass a pooler in any mode. The fence of several
//! workers is a part of it that locks the owners' rows; the others write only the rows of calls whose claim holds.

use handoffd_engine::event::OrganizationId;
use handoffd_engine::workflow::Phase;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::batch::{Batch, GuardNumber};
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

    /// Builds the statement that writes a batch. It answers with the numbers of the guarded calls whose claim holds, and
    /// of those that were written.
    pub(super) fn write(batch: &Batch<'_>, durability: Durability) -> Self {
        let mut statement = Self::default();
        let guards = statement.guards(batch);
        let answer = if guards.is_empty() {
            "'{}'::int4[], '{}'::int4[]"
        } else {
            "ARRAY(SELECT n FROM held), ARRAY(SELECT n FROM allowed)"
        };
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
        let parts: Vec<String> = guards.into_iter().chain(parts).collect();
        let with = if parts.is_empty() { String::new() } else { format!("WITH {} ", parts.join(", ")) };
        statement.text = format!("{with}SELECT {answer}, {}", durability.setting());
        statement
    }

    /// Builds the parts that hold the fence: `held`, the calls whose claim is the present one, and `allowed`, those of
    /// them whose event is not finished.
    ///
    /// The owners' rows are locked until the commit, so whoever takes over waits for it and then reads what it wrote.
    /// `FOR KEY SHARE` would not do: it lets the taker's update through.
    fn guards(&mut self, batch: &Batch<'_>) -> Vec<String> {
        let guards = &batch.guards;
        if guards.is_empty() {
            return Vec::new();
        }
        let numbers = self.bind(guards.iter().map(|guard| guard.number).collect::<Vec<_>>(), Type::INT4_ARRAY);
        let organizations = self.bind(names(guards.iter().map(|guard| &guard.claim.organization)), Type::BYTEA_ARRAY);
        let workers = guards.iter().map(|guard| guard.claim.worker).collect::<Vec<Uuid>>();
        let workers = self.bind(workers, Type::UUID_ARRAY);
        let terms = self.bind(guards.iter().map(|guard| guard.claim.term).collect::<Vec<_>>(), Type::INT8_ARRAY);
        let events = self.bind(guards.iter().map(|guard| guard.event).collect::<Vec<_>>(), Type::UUID_ARRAY);
        vec![
            format!(
                "held AS MATERIALIZED (SELECT g.n, g.event \
                 FROM UNNEST({numbers}, {organizations}, {workers}, {terms}, {events}) \
                 AS g(n, organization, worker, term, event) JOIN handoffd_owners o \
                 ON o.organization = g.organization AND o.worker = g.worker AND o.term = g.term FOR SHARE OF o)"
            ),
            "allowed AS MATERIALIZED (SELECT n FROM held WHERE NOT EXISTS \
             (SELECT 1 FROM handoffd_events e WHERE e.id = held.event AND e.answered))"
                .to_owned(),
        ]
    }

    /// Builds a query for the rows of these arrays whose guard allows them.
    fn rows(
        &mut self,
        batch: &Batch<'_>,
        select: &str,
        (columns, arrays): (&str, &[String]),
        guards: impl Iterator<Item = GuardNumber>,
    ) -> String {
        let arrays = arrays.join(", ");
        if batch.guards.is_empty() {
            return format!("SELECT {select} FROM UNNEST({arrays}) AS u({columns})");
        }
        let guards = self.bind(guards.collect::<Vec<_>>(), Type::INT4_ARRAY);
        format!(
            "SELECT {select} FROM UNNEST({arrays}, {guards}) AS u({columns}, guard) \
             WHERE guard IS NULL OR guard IN (SELECT n FROM allowed)"
        )
    }

    fn events(&mut self, batch: &Batch<'_>) -> Option<String> {
        let rows = &batch.records;
        if rows.is_empty() {
            return None;
        }
        let name = |text: &str| text.as_bytes().to_vec();
        let ids = self.bind(rows.keys().copied().collect::<Vec<Uuid>>(), Type::UUID_ARRAY);
        let organizations = rows.values().map(|(key, ..)| name(key.organization_id.as_str())).collect::<Vec<_>>();
        let organizations = self.bind(organizations, Type::BYTEA_ARRAY);
        let events = rows.values().map(|(key, ..)| name(key.event_id.as_str())).collect::<Vec<_>>();
        let events = self.bind(events, Type::BYTEA_ARRAY);
        let seen = rows.values().map(|(_, record, _)| keys::nanoseconds(record.first_seen)).collect::<Vec<_>>();
        let seen = self.bind(seen, Type::INT8_ARRAY);
        let ends = rows.values().map(|(_, record, _)| record.outcome().map(|end| keys::nanoseconds(end.finished_at)));
        let ends = self.bind(ends.collect::<Vec<Option<i64>>>(), Type::INT8_ARRAY);
        let records = rows.values().map(|(_, record, _)| rows::json(record)).collect::<Vec<_>>();
        let records = self.bind(records, Type::TEXT_ARRAY);
        let answered = rows.values().map(|(_, record, _)| matches!(record.phase, Phase::Finished(_)));
        let answered = self.bind(answered.collect::<Vec<bool>>(), Type::BOOL_ARRAY);
        let columns = "id, organization, event, first_seen, finished_at, record, answered";
        let arrays = [ids, organizations, events, seen, ends, records, answered];
        let guards = rows.values().map(|(.., guard)| *guard);
        let source = self.rows(batch, columns, (columns, &arrays), guards);
        Some(format!(
            "INSERT INTO handoffd_events ({columns}) {source} \
             ON CONFLICT (id) DO UPDATE SET first_seen = excluded.first_seen, finished_at = excluded.finished_at, \
             record = excluded.record, answered = excluded.answered"
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
        let ended = batch
            .records
            .iter()
            .filter_map(|(id, (key, record, guard))| Some((*id, *key, *record, record.outcome()?, *guard)));
        let ended: Vec<_> = ended.collect();
        if ended.is_empty() {
            return None;
        }
        let times = ended.iter().map(|(_, _, _, outcome, _)| keys::nanoseconds(outcome.finished_at));
        let times = self.bind(times.collect::<Vec<_>>(), Type::INT8_ARRAY);
        let ids = self.bind(ended.iter().map(|(id, ..)| *id).collect::<Vec<_>>(), Type::UUID_ARRAY);
        let organizations = ended.iter().map(|(_, key, ..)| keys::organization(&key.organization_id));
        let organizations = self.bind(organizations.collect::<Vec<_>>(), Type::UUID_ARRAY);
        let statuses = ended.iter().map(|(_, _, _, outcome, _)| rows::status(outcome.status)).collect::<Vec<_>>();
        let statuses = self.bind(statuses, Type::INT2_ARRAY);
        let terms = ended.iter().map(|(_, key, record, outcome, _)| rows::terms_of(key, record, outcome));
        let terms = self.bind(terms.collect::<Vec<_>>(), Type::TEXT_ARRAY);
        let arrays = [times, ids, organizations, statuses, terms];
        let guards = ended.iter().map(|(.., guard)| *guard);
        let source = self.rows(batch, "t, i, o, s, m::uuid[]", ("t, i, o, s, m", &arrays), guards);
        Some(format!(
            "INSERT INTO handoffd_outcomes (finished_at, id, organization, status, terms) {source} \
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
        let entries = rows.values().map(|row| rows::json_entry(row.names, row.entry)).collect::<Vec<_>>();
        let entries = self.bind(entries, Type::TEXT_ARRAY);
        let columns = "session, event, first, at, entry";
        let arrays = [sessions, events, first, at, entries];
        let source = self.rows(batch, columns, (columns, &arrays), rows.values().map(|row| row.guard));
        Some(format!(
            "INSERT INTO handoffd_sessions ({columns}) {source} \
             ON CONFLICT (session, event) DO UPDATE SET at = excluded.at, entry = excluded.entry"
        ))
    }

    fn contacts(&mut self, batch: &Batch<'_>) -> Option<String> {
        let rows = batch.contacts.iter().filter_map(|(id, (row, guard))| Some((*id, (*row)?, *guard)));
        let rows: Vec<_> = rows.collect();
        if rows.is_empty() {
            return None;
        }
        let ids = self.bind(rows.iter().map(|(id, ..)| *id).collect::<Vec<_>>(), Type::UUID_ARRAY);
        let contacts = rows.iter().map(|(_, (contact, _), _)| contact.0).collect::<Vec<_>>();
        let contacts = self.bind(contacts, Type::UUID_ARRAY);
        let at = rows.iter().map(|(_, (_, at), _)| keys::nanoseconds(*at)).collect::<Vec<_>>();
        let at = self.bind(at, Type::INT8_ARRAY);
        let columns = "id, contact, at";
        let guards = rows.iter().map(|(.., guard)| *guard);
        let source = self.rows(batch, columns, (columns, &[ids, contacts, at]), guards);
        Some(format!(
            "INSERT INTO handoffd_contacts ({columns}) {source} \
             ON CONFLICT (id) DO UPDATE SET contact = excluded.contact, at = excluded.at"
        ))
    }

    fn forgotten_contacts(&mut self, batch: &Batch<'_>) -> Option<String> {
        let gone = batch.contacts.iter().filter(|(_, (row, _))| row.is_none()).map(|(id, (_, guard))| (*id, *guard));
        let gone: Vec<_> = gone.collect();
        if gone.is_empty() {
            return None;
        }
        let ids = self.bind(gone.iter().map(|(id, _)| *id).collect::<Vec<_>>(), Type::UUID_ARRAY);
        let source = self.rows(batch, "id", ("id", &[ids]), gone.iter().map(|(_, guard)| *guard));
        Some(format!("DELETE FROM handoffd_contacts WHERE id IN ({source})"))
    }

    fn learned(&mut self, batch: &Batch<'_>) -> Option<String> {
        if batch.learned.is_empty() {
            return None;
        }
        let organizations = self.bind(names(batch.learned.keys().copied()), Type::BYTEA_ARRAY);
        let learned = batch.learned.values().map(|(change, _)| rows::json(change)).collect::<Vec<_>>();
        let learned = self.bind(learned, Type::TEXT_ARRAY);
        let columns = "organization, learned";
        let guards = batch.learned.values().map(|(_, guard)| *guard);
        let source = self.rows(batch, columns, (columns, &[organizations, learned]), guards);
        Some(format!(
            "INSERT INTO handoffd_environments ({columns}) {source} \
             ON CONFLICT (organization) DO UPDATE \
             SET learned = (handoffd_environments.learned::jsonb || excluded.learned::jsonb)::text"
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
    /// Returns the expression that sets the durability of its own transaction.
    pub(super) fn setting(self) -> &'static str {
        match self {
            Self::Durable => {
                "CASE WHEN current_setting('synchronous_commit') = 'off' \
                 THEN set_config('synchronous_commit', 'on', true) END"
            }
            Self::MayBeLost => "set_config('synchronous_commit', 'off', true)",
        }
    }
}
