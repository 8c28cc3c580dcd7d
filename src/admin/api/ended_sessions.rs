//! Sessions that were signed out, shared by the workers of one store: in memory for requests, in the store for the others
//! and for the next start.
//!
//! A store that fails delays only what other workers know: an end is kept here until it is written.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use handoffd_engine::ports::store::StoreError;
use handoffd_engine::ports::store::operators::{EndedSession, OperatorStore, SESSIONS};
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

/// Interval at which the store is read, within which an end is in force at every worker.
const EVERY: Duration = Duration::from_secs(1);
/// Longest time that the start waits for the store.
const AT_START: Duration = Duration::from_secs(2);

/// Sessions that were signed out.
pub(super) struct EndedSessions {
    store: Arc<dyn OperatorStore>,
    known: Mutex<KnownEnds>,
    added: Notify,
}

#[derive(Default)]
struct KnownEnds {
    /// Ended sessions, with the time at which they are over by themselves.
    all: HashMap<Uuid, Timestamp>,
    /// Those that are not in the store yet.
    unsaved: Vec<EndedSession>,
}

impl EndedSessions {
    /// Creates the list, empty until it is read.
    pub(super) fn new(store: Arc<dyn OperatorStore>) -> Self {
        Self { store, known: Mutex::default(), added: Notify::new() }
    }

    /// Returns true if the session has ended.
    pub(super) fn contains(&self, id: Uuid) -> bool {
        self.lock().all.contains_key(&id)
    }

    /// Adds a session, here at once and then in the store.
    pub(super) fn add(&self, session: EndedSession, now: Timestamp) {
        let mut known = self.lock();
        known.add([session], now);
        known.unsaved.push(session);
        self.added.notify_one();
    }

    /// Reads the store before the first request, unless it does not answer.
    pub(super) async fn begin(&self) {
        // A failure, or silence, is met again by the next reading.
        _ = timeout(AT_START, self.exchange()).await;
    }

    /// Writes and reads, forever.
    pub(super) async fn keep(&self) {
        let mut reported = false;
        loop {
            match self.exchange().await {
                Ok(()) => reported = false,
                Err(error) if !std::mem::replace(&mut reported, true) => {
                    tracing::warn!(
                        %error,
                        "could not exchange ended sessions with the store; a session that another worker has ended is \
                         accepted here until the store is back, or the session expires"
                    );
                }
                Err(_) => {}
            }
            if reported {
                sleep(EVERY).await;
            } else {
                _ = timeout(EVERY, self.added.notified()).await;
            }
        }
    }

    async fn exchange(&self) -> Result<(), StoreError> {
        let (unsaved, now) = (self.lock().unsaved.clone(), Timestamp::now());
        if !unsaved.is_empty() {
            self.store.end_sessions(&unsaved, now).await?;
            self.lock().unsaved.drain(..unsaved.len());
        }
        let read = self.store.ended_sessions().await?;
        self.lock().add(read, now);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, KnownEnds> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KnownEnds {
    fn add(&mut self, sessions: impl IntoIterator<Item = EndedSession>, now: Timestamp) {
        self.all.extend(sessions.into_iter().map(|session| (session.id, session.over_at)));
        self.all.retain(|_, over_at| *over_at > now);
        // Each needed a token, so nobody gets here by accident.
        while self.all.len() > SESSIONS
            && let Some(id) = self.all.iter().min_by_key(|(_, over_at)| **over_at).map(|(id, _)| *id)
        {
            self.all.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use handoffd_engine::memory_store::MemoryStore;
    use handoffd_engine::ports::store::Store;

    use super::*;

    fn ended(over_in: i64) -> EndedSession {
        let over_at = Timestamp::from_second(Timestamp::now().as_second() + over_in).unwrap();
        EndedSession { id: Uuid::new_v4(), over_at }
    }

    #[tokio::test]
    async fn an_end_is_known_here_at_once_and_elsewhere_with_the_next_reading() {
        let store = Arc::new(MemoryStore::new());
        let (here, there) = (EndedSessions::new(store.clone()), EndedSessions::new(store.clone()));
        let (session, over) = (ended(60), ended(-1));
        here.add(session, Timestamp::now());
        here.add(over, Timestamp::now());
        assert!(here.contains(session.id) && !here.contains(over.id), "what is over needs no memory");
        there.begin().await;
        assert!(!there.contains(session.id));
        here.exchange().await.unwrap();
        there.exchange().await.unwrap();
        assert!(there.contains(session.id));
    }

    #[tokio::test]
    async fn an_end_outlives_a_store_that_fails() {
        let store = Arc::new(MemoryStore::new());
        let (here, there) = (EndedSessions::new(store.clone()), EndedSessions::new(store.clone()));
        store.close().await.unwrap();
        let session = ended(60);
        here.add(session, Timestamp::now());
        here.exchange().await.unwrap_err();
        assert!(here.contains(session.id));
        store.crash(); // opens it again
        here.exchange().await.unwrap();
        there.begin().await;
        assert!(there.contains(session.id));
    }
}
