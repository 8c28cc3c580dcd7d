//! Writing of entries, a transaction for each batch.
//!
//! Workers may run beside it. Between the look at what is stored and the commit nobody may change it, so the batch's
//! tables are locked against writers, in the order in which a worker's commit locks them. A commit waits for some ten
//! milliseconds meanwhile.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use handoffd_engine::event::EventKey;
use handoffd_engine::ports::store::portable::{PortableEntry, PortableKey, choose};
use handoffd_engine::ports::store::{Change, StoreError};
use tokio::time::sleep;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::entries::{self, LONGEST, SMALL, column};
use crate::postgres::batch::Batch;
use crate::postgres::errors::{FailureKind, ServerFailure, in_time};
use crate::postgres::statement::{Durability, Statement};
use crate::postgres::{keys, sweep};

/// Pauses in milliseconds before a batch is tried again that another transaction was in the way of.
const PAUSES: [u64; 4] = [20, 100, 500, 2000];

/// Statement that makes the transaction durable.
const DURABLE: &str = "SELECT CASE WHEN current_setting('synchronous_commit') = 'off' \
     THEN set_config('synchronous_commit', 'on', true) END";

/// Failure of a batch.
enum BatchFailure {
    Server(ServerFailure),
    Store(StoreError),
}

/// Writes those entries that are better than the stored ones, all or none. Returns which they are.
pub(super) async fn import(
    client: &Client,
    entries: &[PortableEntry],
    days: &mut HashSet<i64>,
) -> Result<Vec<bool>, StoreError> {
    add_days(client, entries, days).await.map_err(ServerFailure::writing)?;
    let mut pauses = PAUSES.into_iter();
    loop {
        let failure = match batch(client, entries).await {
            Ok(written) => return Ok(written),
            Err(failure) => failure,
        };
        _ = in_time(LONGEST, client.batch_execute("ROLLBACK")).await; // or the connection is gone, and so is the transaction
        match (failure, pauses.next()) {
            (BatchFailure::Server(failure), Some(pause)) if failure.kind == FailureKind::Conflict => {
                sleep(Duration::from_millis(pause)).await;
            }
            (BatchFailure::Server(failure), _) => return Err(failure.writing()),
            (BatchFailure::Store(problem), _) => return Err(problem),
        }
    }
}

/// Creates the partitions of the outcomes' days.
async fn add_days(client: &Client, entries: &[PortableEntry], days: &mut HashSet<i64>) -> Result<(), ServerFailure> {
    for entry in entries {
        if let PortableEntry::Record { record, .. } = entry
            && let Some(outcome) = record.outcome()
        {
            let day = keys::day(keys::nanoseconds(outcome.finished_at));
            if days.insert(day) {
                sweep::add_day(client, day).await?;
            }
        }
    }
    Ok(())
}

async fn batch(client: &Client, entries: &[PortableEntry]) -> Result<Vec<bool>, BatchFailure> {
    let wanted = WantedRows::of(entries);
    in_time(LONGEST, client.batch_execute(&wanted.begin())).await?;
    let stored = wanted.read(client).await?;
    let written = choose(entries, &stored);
    let chosen = || entries.iter().zip(&written).filter(|(_, written)| **written).map(|(entry, _)| entry);
    let changes: Vec<Change> = chosen().flat_map(PortableEntry::changes).collect();
    if !changes.is_empty() {
        execute(client, &Statement::write(&Batch::of(std::iter::once(changes.as_slice())), Durability::Durable))
            .await?;
    }
    if let Some(statement) = contacts(chosen()) {
        execute(client, &statement).await?;
    }
    in_time(LONGEST, client.batch_execute("COMMIT")).await?;
    Ok(written)
}

/// Builds the statement that writes contacts, of which only the keys are known.
fn contacts<'a>(entries: impl Iterator<Item = &'a PortableEntry>) -> Option<Statement> {
    let (mut ids, mut contacts, mut at) = (Vec::new(), Vec::new(), Vec::new());
    for entry in entries {
        if let PortableEntry::Contact { key, contact_id, at: seen } = entry {
            ids.push(*key);
            contacts.push(contact_id.0);
            at.push(keys::nanoseconds(*seen));
        }
    }
    if ids.is_empty() {
        return None;
    }
    let mut statement = Statement::default();
    let (ids, contacts) = (statement.bind(ids, Type::UUID_ARRAY), statement.bind(contacts, Type::UUID_ARRAY));
    let at = statement.bind(at, Type::INT8_ARRAY);
    statement.text = format!(
        "INSERT INTO handoffd_contacts (id, contact, at) SELECT * FROM UNNEST({ids}, {contacts}, {at}) \
         ON CONFLICT (id) DO UPDATE SET contact = excluded.contact, at = excluded.at"
    );
    Some(statement)
}

/// Rows that a batch may replace.
#[derive(Default)]
struct WantedRows {
    events: Vec<Uuid>,
    sessions: HashMap<(Uuid, Uuid), PortableKey>,
    contacts: Vec<Uuid>,
    /// Organizations, for each of the small tables.
    small: [Vec<Vec<u8>>; SMALL.len()],
}

impl WantedRows {
    fn of(entries: &[PortableEntry]) -> Self {
        let mut wanted = Self::default();
        for entry in entries {
            match entry.key() {
                PortableKey::Event(key) => wanted.events.extend([keys::event(&key), keys::queued(&key)]),
                PortableKey::Session(organization, session, event) => {
                    let key = EventKey { organization_id: organization.clone(), event_id: event };
                    let row = (keys::session(&organization, &session), keys::event(&key));
                    wanted.sessions.insert(row, entry.key());
                }
                PortableKey::Contact(key) => wanted.contacts.push(key),
                PortableKey::Learned(id) => wanted.small[0].push(id.as_str().as_bytes().to_vec()),
                PortableKey::Organization(id) => wanted.small[1].push(id.as_str().as_bytes().to_vec()),
                PortableKey::Pause(id) => wanted.small[2].push(id.as_str().as_bytes().to_vec()),
                PortableKey::Queue(id) => wanted.small[3].push(id.as_str().as_bytes().to_vec()),
            }
        }
        wanted
    }

    /// Returns the text that begins the transaction and keeps other writers out of the tables.
    fn begin(&self) -> String {
        let large = [
            ("events", self.events.is_empty()),
            ("sessions", self.sessions.is_empty()),
            ("contacts", self.contacts.is_empty()),
        ];
        let small = SMALL.iter().zip(&self.small).map(|(table, rows)| (table.name, rows.is_empty()));
        let tables = large.into_iter().chain(small).filter(|(_, is_empty)| !is_empty);
        let tables: Vec<String> = tables.map(|(name, _)| format!("handoffd_{name}")).collect();
        let lock = if tables.is_empty() {
            String::new()
        } else {
            format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", tables.join(", "))
        };
        format!("BEGIN; SET LOCAL lock_timeout = '10s'; {DURABLE}; {lock}")
    }

    /// Reads the rows that are there.
    async fn read(&self, client: &Client) -> Result<HashMap<PortableKey, PortableEntry>, BatchFailure> {
        let mut found = HashMap::new();
        if !self.events.is_empty() {
            let text = format!("SELECT {} FROM handoffd_events WHERE id = ANY($1)", entries::EVENT);
            for row in query(client, &text, self.events.clone(), Type::UUID_ARRAY).await? {
                let entry = entries::event(&row)?;
                let is_note = matches!(entry, PortableEntry::Queued { .. });
                match found.entry(entry.key()) {
                    // A record counts for more than a note.
                    std::collections::hash_map::Entry::Occupied(_) if is_note => {}
                    place => drop(place.insert_entry(entry)),
                }
            }
        }
        if !self.sessions.is_empty() {
            found.extend(self.read_sessions(client).await?);
        }
        if !self.contacts.is_empty() {
            let text = format!("SELECT {} FROM handoffd_contacts WHERE id = ANY($1)", entries::CONTACT);
            for row in query(client, &text, self.contacts.clone(), Type::UUID_ARRAY).await? {
                let entry = entries::contact(&row)?;
                found.insert(entry.key(), entry);
            }
        }
        for (table, organizations) in SMALL.iter().zip(&self.small).filter(|(_, rows)| !rows.is_empty()) {
            let text = format!(
                "SELECT organization, {} FROM handoffd_{} WHERE organization = ANY($1)",
                table.column, table.name
            );
            for row in query(client, &text, organizations.clone(), Type::BYTEA_ARRAY).await? {
                let entry = (table.entry)(&row)?;
                found.insert(entry.key(), entry);
            }
        }
        Ok(found)
    }

    async fn read_sessions(&self, client: &Client) -> Result<Vec<(PortableKey, PortableEntry)>, BatchFailure> {
        let mut statement = Statement::default();
        let (sessions, events): (Vec<Uuid>, Vec<Uuid>) = self.sessions.keys().copied().unzip();
        let (sessions, events) = (statement.bind(sessions, Type::UUID_ARRAY), statement.bind(events, Type::UUID_ARRAY));
        statement.text = format!(
            "SELECT {} FROM handoffd_sessions WHERE (session, event) IN (SELECT * FROM UNNEST({sessions}, {events}))",
            entries::SESSION
        );
        let mut found = Vec::new();
        for row in in_time(LONGEST, client.query_typed(&statement.text, &statement.params())).await? {
            let key = (column(&row, 0)?, column(&row, 1)?);
            if let Some(key) = self.sessions.get(&key) {
                found.push((key.clone(), entries::session(&row)?));
            }
        }
        Ok(found)
    }
}

async fn query(
    client: &Client,
    text: &str,
    keys: impl tokio_postgres::types::ToSql + Sync,
    kind: Type,
) -> Result<Vec<Row>, ServerFailure> {
    in_time(LONGEST, client.query_typed(text, &[(&keys, kind)])).await
}

async fn execute(client: &Client, statement: &Statement) -> Result<(), ServerFailure> {
    in_time(LONGEST, client.query_typed(&statement.text, &statement.params())).await.map(drop)
}

impl From<ServerFailure> for BatchFailure {
    fn from(failure: ServerFailure) -> Self {
        Self::Server(failure)
    }
}

impl From<StoreError> for BatchFailure {
    fn from(problem: StoreError) -> Self {
        Self::Store(problem)
    }
}
