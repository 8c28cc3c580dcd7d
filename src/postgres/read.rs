//! Reads of events: one statement for all queries that wait.
//!
//! PostgreSQL parses and plans each statement, which costs more than reading the rows of an event.

use std::time::Duration;

use handoffd_engine::event::{ContactId, OrganizationId};
use handoffd_engine::ports::store::StoreError;
use handoffd_engine::workflow::{Learned, Record, SessionEntry};
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::errors::{FailureKind, ServerFailure, in_time, unreadable};
use super::keys;
use super::link::ServerLink;
use super::rows;
use super::statement::Statement;

/// Name of the read data in errors.
const EVENT: &str = "what is stored about an event";
/// Largest number of queries in one statement.
const LARGEST: usize = 500;
/// Longest wait for an answer.
pub(super) const LONGEST: Duration = Duration::from_secs(10);

/// Query by keys; what has no key is not read.
#[derive(Clone, Default, Debug)]
pub(super) struct ReadQuery {
    /// Key of an event: its record.
    pub event: Option<Uuid>,
    /// Key of a session: its entries.
    pub session: Option<Uuid>,
    /// Key of a contact.
    pub contact: Option<Uuid>,
    /// Organization: the requirements of its environment.
    pub organization: Option<OrganizationId>,
}

/// Answer to a query.
#[derive(Default, Debug)]
pub(super) struct ReadAnswer {
    /// Record of the event.
    pub record: Option<Record>,
    /// Entries of the session with the time of their first write, in any order.
    entries: Vec<(i64, SessionEntry)>,
    /// Contact, with the time when it was stored.
    pub contact: Option<(ContactId, Timestamp)>,
    /// Requirements of the environment.
    pub learned: Learned,
}

impl ReadQuery {
    /// Returns the keys whose uncommitted changes the query has to wait for.
    pub(super) fn keys(&self) -> impl Iterator<Item = Uuid> {
        let organization = self.organization.as_ref().map(keys::organization);
        [self.event, self.session, self.contact, organization].into_iter().flatten()
    }
}

impl ReadAnswer {
    /// Returns the entries of the session, oldest first; entries of the same time are ordered by event id.
    pub(super) fn session(&mut self) -> Vec<SessionEntry> {
        let mut entries = std::mem::take(&mut self.entries);
        entries.sort_by(|(one, entry), (other, second)| (one, &entry.event_id).cmp(&(other, &second.event_id)));
        entries.into_iter().map(|(_, entry)| entry).collect()
    }

    fn take(&mut self, row: &Row) -> Result<(), StoreError> {
        let read = |error: tokio_postgres::Error| unreadable(EVENT, error);
        let text: &str = row.try_get("value").map_err(read)?;
        let at: i64 = row.try_get("at").map_err(read)?;
        match row.try_get::<_, i16>("kind").map_err(read)? {
            0 => self.record = Some(rows::read(EVENT, text)?),
            1 => self.entries.push((at, rows::read(EVENT, text)?)),
            2 => {
                let contact = Uuid::parse_str(text).map_err(|error| unreadable(EVENT, error))?;
                self.contact = Some((ContactId(contact), keys::timestamp(at)));
            }
            _ => self.learned = rows::read(EVENT, text)?,
        }
        Ok(())
    }
}

/// Handle to the task that reads.
pub(super) struct EventReader(mpsc::UnboundedSender<WaitingRead>);

struct WaitingRead {
    query: ReadQuery,
    asker: oneshot::Sender<Result<ReadAnswer, StoreError>>,
}

impl EventReader {
    /// Starts the task that reads over this connection.
    pub(super) fn start(link: ServerLink) -> Self {
        let (sender, asked) = mpsc::unbounded_channel();
        tokio::spawn(serve(asked, link));
        Self(sender)
    }

    /// Reads everything that the query asks for.
    pub(super) async fn read(&self, query: ReadQuery) -> Result<ReadAnswer, StoreError> {
        let (asker, answer) = oneshot::channel();
        self.0.send(WaitingRead { query, asker }).map_err(|_| StoreError::Closed)?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }
}

async fn serve(mut asked: mpsc::UnboundedReceiver<WaitingRead>, link: ServerLink) {
    let mut batch = Vec::new();
    while asked.recv_many(&mut batch, LARGEST).await > 0 {
        let queries: Vec<&ReadQuery> = batch.iter().map(|asked| &asked.query).collect();
        match answers(&link, &queries).await {
            Ok(rows) => {
                let mut answers: Vec<Result<ReadAnswer, StoreError>> =
                    queries.iter().map(|_| Ok(ReadAnswer::default())).collect();
                for row in &rows {
                    let nth = row.try_get::<_, i32>("n").ok().and_then(|n| usize::try_from(n).ok());
                    if let Some(answer) = nth.and_then(|nth| answers.get_mut(nth))
                        && let Ok(found) = answer
                        && let Err(problem) = found.take(row)
                    {
                        *answer = Err(problem);
                    }
                }
                // An asker may be gone.
                batch.drain(..).zip(answers).for_each(|(asked, answer)| drop(asked.asker.send(answer)));
            }
            Err(failure) => {
                let problem = failure.reading(EVENT);
                batch.drain(..).for_each(|asked| drop(asked.asker.send(Err(problem.clone()))));
            }
        }
    }
}

async fn answers(link: &ServerLink, queries: &[&ReadQuery]) -> Result<Vec<Row>, ServerFailure> {
    let client = link.client()?;
    let statement = statement(queries);
    let params = statement.params();
    let answer = in_time(LONGEST, client.query_typed(&statement.text, &params)).await;
    if matches!(&answer, Err(failure) if failure.kind == FailureKind::Unavailable) {
        link.give_up();
    }
    answer
}

/// Builds the statement for all queries, with a part for each kind of row that any of them asks for.
fn statement(queries: &[&ReadQuery]) -> Statement {
    const PARTS: [&str; 4] = [
        "SELECT q.n, 0::int2 AS kind, 0::int8 AS at, e.record AS value \
         FROM q JOIN handoffd_events e ON e.id = q.event",
        "SELECT q.n, 1::int2 AS kind, s.first AS at, s.entry AS value \
         FROM q JOIN handoffd_sessions s ON s.session = q.session",
        "SELECT q.n, 2::int2 AS kind, c.at AS at, c.contact::text AS value \
         FROM q JOIN handoffd_contacts c ON c.id = q.contact",
        "SELECT q.n, 3::int2 AS kind, 0::int8 AS at, l.learned AS value \
         FROM q JOIN handoffd_environments l ON l.organization = q.organization",
    ];
    let asked = [
        queries.iter().any(|query| query.event.is_some()),
        queries.iter().any(|query| query.session.is_some()),
        queries.iter().any(|query| query.contact.is_some()),
        queries.iter().any(|query| query.organization.is_some()),
    ];
    let mut statement = Statement::default();
    let n = statement.bind((0i32..).take(queries.len()).collect::<Vec<_>>(), Type::INT4_ARRAY);
    let events = statement.bind(queries.iter().map(|query| query.event).collect::<Vec<_>>(), Type::UUID_ARRAY);
    let sessions = statement.bind(queries.iter().map(|query| query.session).collect::<Vec<_>>(), Type::UUID_ARRAY);
    let contacts = statement.bind(queries.iter().map(|query| query.contact).collect::<Vec<_>>(), Type::UUID_ARRAY);
    let names = queries.iter().map(|query| query.organization.as_ref().map(|id| id.as_str().as_bytes().to_vec()));
    let names = statement.bind(names.collect::<Vec<_>>(), Type::BYTEA_ARRAY);
    let parts: Vec<&str> = PARTS.into_iter().zip(asked).filter(|(_, asked)| *asked).map(|(part, _)| part).collect();
    statement.text = format!(
        "WITH q AS MATERIALIZED (SELECT * FROM UNNEST({n}, {events}, {sessions}, {contacts}, {names}) \
         AS u(n, event, session, contact, organization)) {}",
        parts.join(" UNION ALL ")
    );
    statement
}

/// Returns all rows of a table with one value for each organization, by id.
pub(super) async fn by_organization<T>(
    link: &ServerLink,
    what: &'static str,
    text: &'static str,
    value: impl Fn(&Row) -> Result<T, tokio_postgres::Error>,
) -> Result<Vec<(OrganizationId, T)>, StoreError> {
    let client = link.client().map_err(|failure| failure.reading(what))?;
    let found = in_time(LONGEST, client.query_typed(text, &[])).await.map_err(|failure| failure.reading(what))?;
    let row = |row: &Row| {
        let id = row.try_get::<_, &[u8]>(0).map_err(|error| unreadable(what, error))?;
        Ok((organization(what, id)?, value(row).map_err(|error| unreadable(what, error))?))
    };
    found.iter().map(row).collect()
}

/// Reads a name from its bytes.
pub(super) fn organization(what: &'static str, bytes: &[u8]) -> Result<OrganizationId, StoreError> {
    std::str::from_utf8(bytes).map(OrganizationId::from).map_err(|error| unreadable(what, error))
}
