//! Operators' actions and ended sessions in memory.

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use super::store::MemoryStore;
use crate::ports::store::StoreError;
use crate::ports::store::operators::{ACTIONS, EndedSession, OperatorAction, OperatorStore, SESSIONS};

#[async_trait]
impl OperatorStore for MemoryStore {
    async fn add_actions(&self, actions: &[OperatorAction]) -> Result<(), StoreError> {
        let mut tables = self.operators()?;
        tables.actions.extend(actions.iter().map(|action| ((action.at, action.id), action.document.clone())));
        while tables.actions.len() > ACTIONS {
            tables.actions.pop_first();
        }
        Ok(())
    }

    async fn actions(&self) -> Result<Vec<OperatorAction>, StoreError> {
        let tables = self.operators()?;
        let action = |((at, id), document): (&(Timestamp, Uuid), &String)| OperatorAction {
            id: *id,
            at: *at,
            document: document.clone(),
        };
        Ok(tables.actions.iter().rev().map(action).collect())
    }

    async fn end_sessions(&self, sessions: &[EndedSession], now: Timestamp) -> Result<(), StoreError> {
        let mut tables = self.operators()?;
        tables.sessions.retain(|_, over_at| *over_at > now);
        tables.sessions.extend(sessions.iter().map(|session| (session.id, session.over_at)));
        Ok(())
    }

    async fn ended_sessions(&self) -> Result<Vec<EndedSession>, StoreError> {
        let tables = self.operators()?;
        let mut all: Vec<EndedSession> =
            tables.sessions.iter().map(|(id, over_at)| EndedSession { id: *id, over_at: *over_at }).collect();
        all.sort_by_key(|session| std::cmp::Reverse(session.over_at));
        all.truncate(SESSIONS);
        Ok(all)
    }
}
