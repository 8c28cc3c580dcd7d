//! Failures of the server, and their conversion to the errors of the store port. No error quotes stored data:
//! PostgreSQL's details do, and are left out.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use handoffd_engine::ports::store::StoreError;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;

/// Name of the server in errors.
const SERVER: &str = "PostgreSQL";

/// Failure of a statement or of a connection.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct ServerFailure {
    /// Kind of the failure.
    pub kind: FailureKind,
    text: String,
}

/// Kind of a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FailureKind {
    /// The server can't be reached, or serves nobody now: it starts, stops, is full or read-only.
    Unavailable,
    /// The server refuses this worker: its password, its rights, a missing database or table.
    Refused,
    /// Another transaction was in the way; the same statement may succeed now.
    Conflict,
    /// A day without a partition.
    NoPartition,
    /// The statement's own data.
    Data,
}

impl ServerFailure {
    /// Creates a failure that this program has found itself.
    pub(super) fn new(kind: FailureKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// Returns the error of a failed read.
    pub(super) fn reading(self, what: &'static str) -> StoreError {
        match self.kind {
            FailureKind::Unavailable | FailureKind::Refused | FailureKind::Conflict => self.unavailable(),
            FailureKind::NoPartition | FailureKind::Data => StoreError::Read { what, source: Arc::new(self) },
        }
    }

    /// Returns the error of a failed write.
    pub(super) fn writing(self) -> StoreError {
        match self.kind {
            FailureKind::Unavailable | FailureKind::Refused | FailureKind::Conflict => self.unavailable(),
            FailureKind::NoPartition | FailureKind::Data => StoreError::Write { source: Arc::new(self) },
        }
    }

    /// Returns the error of a store that can't be used now. It names PostgreSQL, which "connection closed" does not.
    pub(super) fn unavailable(mut self) -> StoreError {
        if !self.text.contains(SERVER) {
            self.text = format!("{SERVER}: {}", self.text);
        }
        StoreError::Unavailable { source: Arc::new(self) }
    }
}

impl From<tokio_postgres::Error> for ServerFailure {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(problem) => {
                let text = format!("{} {}: {}", problem.severity(), problem.code().code(), problem.message());
                Self { kind: kind(problem.code()), text }
            }
            None => Self { kind: FailureKind::Unavailable, text: chain(&error) },
        }
    }
}

fn kind(code: &SqlState) -> FailureKind {
    match code.code() {
        "23514" => FailureKind::NoPartition,
        "55P03" => FailureKind::Conflict, // lock not available
        code => match &code[..2] {
            "22" | "23" | "54" => FailureKind::Data,
            "40" => FailureKind::Conflict,
            "28" | "3D" | "3F" | "42" => FailureKind::Refused,
            _ => FailureKind::Unavailable,
        },
    }
}

/// Returns the messages of an error and of its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// Awaits an answer of the server for a limited time.
pub(super) async fn in_time<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, ServerFailure> {
    let answer = timeout(limit, answer).await;
    let silent = || ServerFailure::new(FailureKind::Unavailable, format!("no answer within {limit:?}"));
    Ok(answer.map_err(|_| silent())??)
}

/// Returns the error of a value that can't be read.
pub(super) fn unreadable(what: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
    StoreError::Read { what, source: Arc::from(source.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_an_unavailable_store_names_postgresql_once() {
        for (text, expected) in [
            ("connection closed", "the store is unavailable: PostgreSQL: connection closed"),
            ("connecting to PostgreSQL", "the store is unavailable: connecting to PostgreSQL"),
        ] {
            let failure = ServerFailure::new(FailureKind::Unavailable, text);
            assert_eq!(failure.reading("events").to_string(), expected);
        }
    }

    #[test]
    fn the_code_tells_whose_failure_it_is() {
        for (code, expected) in [
            ("53100", FailureKind::Unavailable), // disk full
            ("25006", FailureKind::Unavailable), // a standby
            ("57P01", FailureKind::Unavailable), // shutting down
            ("08P01", FailureKind::Unavailable), // a pooler without a server
            ("28P01", FailureKind::Refused),     // a wrong password
            ("42P01", FailureKind::Refused),     // no table
            ("40P01", FailureKind::Conflict),    // a deadlock
            ("55P03", FailureKind::Conflict),    // lock_timeout
            ("23514", FailureKind::NoPartition),
            ("22021", FailureKind::Data), // a NUL in a text
            ("54000", FailureKind::Data), // a row too long for an index
        ] {
            assert_eq!(kind(&SqlState::from_code(code)), expected, "{code}");
        }
    }
}
