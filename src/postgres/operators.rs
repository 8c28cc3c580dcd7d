//! Operators' actions and the sessions that they have ended.

use handoffd_engine::ports::store::StoreError;
use handoffd_engine::ports::store::operators::{ACTIONS, EndedSession, OperatorAction, SESSIONS};
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::errors::{ServerFailure, in_time};
use super::link::ServerLink;
use super::statement::Durability;
use super::{keys, read};

/// Names of the data in errors.
const OPERATORS: &str = "the actions of operators";
const SESSION_ENDS: &str = "the sessions that have ended";

/// Adds actions, and removes older ones.
pub(super) async fn add_actions(link: &ServerLink, actions: &[OperatorAction]) -> Result<(), StoreError> {
    const TRIM: &str = "DELETE FROM handoffd_actions WHERE (at, id) <= \
         (SELECT at, id FROM handoffd_actions ORDER BY at DESC, id DESC OFFSET $1 LIMIT 1)";
    let add = format!(
        "INSERT INTO handoffd_actions (id, at, action) SELECT * FROM UNNEST($1::uuid[], $2::int8[], $3::text[]) \
         ON CONFLICT (id) DO NOTHING RETURNING {}",
        Durability::Durable.setting()
    );
    let ids: Vec<Uuid> = actions.iter().map(|action| action.id).collect();
    let times: Vec<i64> = actions.iter().map(|action| keys::nanoseconds(action.at)).collect();
    let documents: Vec<&str> = actions.iter().map(|action| action.document.as_str()).collect();
    let written = async {
        let params: OperatorParams<'_> =
            &[(&ids, Type::UUID_ARRAY), (&times, Type::INT8_ARRAY), (&documents, Type::TEXT_ARRAY)];
        query(link, &add, params).await?;
        query(link, TRIM, &[(&limit(ACTIONS), Type::INT8)]).await
    };
    written.await.map(drop).map_err(ServerFailure::writing)
}

/// Returns the actions, newest first.
pub(super) async fn actions(link: &ServerLink) -> Result<Vec<OperatorAction>, StoreError> {
    const TEXT: &str = "SELECT id, at, action FROM handoffd_actions ORDER BY at DESC, id DESC LIMIT $1";
    let action = |row: &Row| {
        Ok(OperatorAction { id: row.try_get(0)?, at: keys::timestamp(row.try_get(1)?), document: row.try_get(2)? })
    };
    let rows = query(link, TEXT, &[(&limit(ACTIONS), Type::INT8)]).await;
    let read = rows.and_then(|rows| rows.iter().map(action).collect::<Result<_, ServerFailure>>());
    read.map_err(|failure| failure.reading(OPERATORS))
}

/// Adds ended sessions, and removes those that are over by themselves.
pub(super) async fn end_sessions(
    link: &ServerLink,
    sessions: &[EndedSession],
    now: Timestamp,
) -> Result<(), StoreError> {
    let text = format!(
        "WITH gone AS (DELETE FROM handoffd_ended_sessions WHERE over_at <= $3) \
         INSERT INTO handoffd_ended_sessions (session, over_at) SELECT * FROM UNNEST($1::uuid[], $2::int8[]) \
         ON CONFLICT (session) DO NOTHING RETURNING {}",
        Durability::Durable.setting()
    );
    let ids: Vec<Uuid> = sessions.iter().map(|session| session.id).collect();
    let ends: Vec<i64> = sessions.iter().map(|session| keys::nanoseconds(session.over_at)).collect();
    let now = keys::nanoseconds(now);
    let params: OperatorParams<'_> = &[(&ids, Type::UUID_ARRAY), (&ends, Type::INT8_ARRAY), (&now, Type::INT8)];
    query(link, &text, params).await.map(drop).map_err(ServerFailure::writing)
}

/// Returns the ended sessions, those first that are over last.
pub(super) async fn ended_sessions(link: &ServerLink) -> Result<Vec<EndedSession>, StoreError> {
    const TEXT: &str = "SELECT session, over_at FROM handoffd_ended_sessions ORDER BY over_at DESC LIMIT $1";
    let session = |row: &Row| Ok(EndedSession { id: row.try_get(0)?, over_at: keys::timestamp(row.try_get(1)?) });
    let rows = query(link, TEXT, &[(&limit(SESSIONS), Type::INT8)]).await;
    let read = rows.and_then(|rows| rows.iter().map(session).collect::<Result<_, ServerFailure>>());
    read.map_err(|failure| failure.reading(SESSION_ENDS))
}

type OperatorParams<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

async fn query(link: &ServerLink, text: &str, params: OperatorParams<'_>) -> Result<Vec<Row>, ServerFailure> {
    let client = link.client()?;
    in_time(read::LONGEST, client.query_typed(text, params)).await
}

fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}
