//! List of actions, kept in the store: the same for all workers that share it, and across restarts.
//!
//! An action is a line of the log before anything else, and no request waits for the store. One that is not stored yet is
//! listed by this worker all the same, and written once the store works.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use handoffd_engine::ports::store::StoreError;
use handoffd_engine::ports::store::operators::{ACTIONS, OperatorAction, OperatorStore};
use tokio::sync::Notify;
use tokio::time::sleep;
use uuid::Uuid;

use super::{AuditEntry, log};

/// Longest subject kept, in characters.
const LONGEST: usize = 300;
/// Actions written at once.
const AT_ONCE: usize = 100;
/// Pause before the store is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Last actions of operators.
pub struct AuditTrail {
    store: Arc<dyn OperatorStore>,
    /// Actions that are not in the store yet, oldest first.
    unsaved: Mutex<VecDeque<OperatorAction>>,
    added: Notify,
}

impl AuditTrail {
    /// Creates the list of the actions in this store.
    pub fn new(store: Arc<dyn OperatorStore>) -> Self {
        Self { store, unsaved: Mutex::default(), added: Notify::new() }
    }

    /// Logs an action, and lists it.
    pub fn record(&self, mut entry: AuditEntry) {
        if let Some((at, _)) = entry.subject.char_indices().nth(LONGEST) {
            entry.subject.truncate(at);
            entry.subject.push('…');
        }
        log(&entry);
        let Ok(document) = serde_json::to_string(&entry) else { return }; // plain data always serializes
        let mut unsaved = self.lock();
        if unsaved.len() >= ACTIONS {
            unsaved.pop_front();
        }
        unsaved.push_back(OperatorAction { id: Uuid::new_v4(), at: entry.at, document });
        self.added.notify_one();
    }

    /// Returns the last actions, newest first. An entry of a later version that this one can't read is left out.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn list(&self) -> Result<Vec<AuditEntry>, StoreError> {
        // Before the store is read: what is written meanwhile is in both.
        let mut all: Vec<OperatorAction> = self.lock().iter().cloned().collect();
        all.extend(self.store.actions().await?);
        all.sort_by_key(|action| std::cmp::Reverse((action.at, action.id)));
        all.dedup_by_key(|action| action.id);
        let last = all.iter().take(ACTIONS);
        Ok(last.filter_map(|action| serde_json::from_str(&action.document).ok()).collect())
    }

    /// Writes actions to the store, forever.
    pub async fn keep(&self) {
        let mut reported = false;
        loop {
            match self.save().await {
                Ok(true) => self.added.notified().await,
                Ok(false) => reported = false,
                Err(error) => {
                    if !std::mem::replace(&mut reported, true) {
                        tracing::warn!(%error, "could not store the actions of operators; trying again");
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Writes all actions to the store, once.
    ///
    /// # Errors
    /// If the store can't be written.
    pub async fn save_all(&self) -> Result<(), StoreError> {
        while !self.save().await? {}
        Ok(())
    }

    /// Writes some actions. Returns true if there were none.
    async fn save(&self) -> Result<bool, StoreError> {
        let some: Vec<OperatorAction> = self.lock().iter().take(AT_ONCE).cloned().collect();
        if some.is_empty() {
            return Ok(true);
        }
        self.store.add_actions(&some).await?;
        let saved: HashSet<Uuid> = some.into_iter().map(|action| action.id).collect();
        self.lock().retain(|action| !saved.contains(&action.id));
        Ok(false)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<OperatorAction>> {
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use handoffd_engine::memory_store::MemoryStore;
    use handoffd_engine::ports::store::Store;
    use jiff::Timestamp;

    use super::super::{AuditAction, Identity};
    use super::*;

    fn entry(second: i64, subject: &str) -> AuditEntry {
        AuditEntry {
            at: Timestamp::from_second(second).unwrap(),
            who: Identity::Token,
            from: Some([192, 0, 2, 1].into()),
            user: Some("ann".to_owned()),
            action: AuditAction::Pause,
            subject: subject.to_owned(),
            count: 1,
        }
    }

    async fn subjects(trail: &AuditTrail) -> Vec<String> {
        trail.list().await.unwrap().into_iter().map(|entry| entry.subject).collect()
    }

    #[tokio::test]
    async fn an_action_is_listed_at_once_and_by_every_worker_once_it_is_stored() {
        let store = Arc::new(MemoryStore::new());
        let (here, there) = (AuditTrail::new(store.clone()), AuditTrail::new(store.clone()));
        here.record(entry(1, "one"));
        assert_eq!((subjects(&here).await, subjects(&there).await.len()), (vec!["one".to_owned()], 0));
        assert!(!here.save().await.unwrap() && here.save().await.unwrap());
        there.record(entry(2, "two"));
        there.save().await.unwrap();
        for trail in [&here, &there] {
            assert_eq!(subjects(trail).await, ["two", "one"]);
        }
        assert_eq!(here.list().await.unwrap()[1], entry(1, "one"));
    }

    #[tokio::test]
    async fn a_store_that_fails_loses_no_action() {
        let store = Arc::new(MemoryStore::new());
        let trail = AuditTrail::new(store.clone());
        store.close().await.unwrap();
        for nth in 0..250 {
            trail.record(entry(nth, &nth.to_string()));
        }
        trail.save().await.unwrap_err();
        trail.list().await.unwrap_err();
        store.crash(); // opens it again
        while !trail.save().await.unwrap() {}
        let listed = subjects(&AuditTrail::new(store)).await;
        assert_eq!((listed.len(), listed[0].as_str()), (250, "249"));
    }

    #[tokio::test]
    async fn the_last_thousand_are_listed() {
        let trail = AuditTrail::new(Arc::new(MemoryStore::new()));
        for nth in 0..ACTIONS + 5 {
            trail.record(entry(i64::try_from(nth).unwrap(), &nth.to_string()));
            trail.save().await.unwrap();
        }
        let listed = subjects(&trail).await;
        assert_eq!((listed.len(), listed[0].as_str(), listed[ACTIONS - 1].as_str()), (ACTIONS, "1004", "5"));
    }

    #[tokio::test]
    async fn a_long_subject_is_cut_between_characters() {
        let trail = AuditTrail::new(Arc::new(MemoryStore::new()));
        trail.record(entry(1, &"é".repeat(LONGEST + 1)));
        assert_eq!(subjects(&trail).await, ["é".repeat(LONGEST) + "…"]);
    }
}
