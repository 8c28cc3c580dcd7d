//! Memory of operators: their actions, and the sessions that they have ended. Every worker that shares the store sees the
//! same. No event depends on it.

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use super::StoreError;

/// Number of actions that are kept.
pub const ACTIONS: usize = 1000;
/// Number of ended sessions that are read.
pub const SESSIONS: usize = 10_000;

/// Store of operators' actions and ended sessions.
#[async_trait]
pub trait OperatorStore: Send + Sync + 'static {
    /// Adds actions durably, unless they are there, and removes older ones beyond the last [`ACTIONS`].
    async fn add_actions(&self, actions: &[OperatorAction]) -> Result<(), StoreError>;

    /// Returns the last [`ACTIONS`] actions, newest first.
    async fn actions(&self) -> Result<Vec<OperatorAction>, StoreError>;

    /// Adds ended sessions durably, and removes those that are over by themselves.
    async fn end_sessions(&self, sessions: &[EndedSession], now: Timestamp) -> Result<(), StoreError>;

    /// Returns the ended sessions, at most [`SESSIONS`], those first that are over last.
    async fn ended_sessions(&self) -> Result<Vec<EndedSession>, StoreError>;
}

/// Action of an operator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OperatorAction {
    /// Id of the action.
    pub id: Uuid,
    /// Time of the action.
    pub at: Timestamp,
    /// Action as JSON, in the format of the caller, in at most 4 KiB.
    pub document: String,
}

/// Session that an operator has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EndedSession {
    /// Id of the session.
    pub id: Uuid,
    /// Time at which the session would be over by itself.
    pub over_at: Timestamp,
}
