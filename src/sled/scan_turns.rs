//! Turns of the readers that walk over much of the disk: one at a time.
//!
//! Each scan is a thread that computes without a pause. The system shares the processors of a session or a container
//! among its threads, so thirty scans leave the thread that carries events and the one that commits a thirtieth each:
//! with 17,000 records and two processors, the commit thread waited for a processor half of the time, and events took
//! seconds instead of hundredths. Processes elsewhere do not slow a worker so, for they are in other groups.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Turns, in the order in which they were asked for.
#[derive(Clone, Debug)]
pub(super) struct ScanTurns(Arc<Semaphore>);

/// Turn of a scan. It belongs to the thread that reads, not to the caller, who may be gone before the thread has ended.
#[derive(Debug)]
pub(super) struct ScanTurn(#[allow(dead_code)] Option<OwnedSemaphorePermit>);

impl ScanTurns {
    /// Waits for a turn.
    pub(super) async fn next(&self) -> ScanTurn {
        // The semaphore is never closed.
        ScanTurn(Arc::clone(&self.0).acquire_owned().await.ok())
    }
}

impl Default for ScanTurns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;
    use handoffd_engine::ports::metrics::NoMetrics;
    use handoffd_engine::ports::store::{EventScan, OutcomeFilter, Store};

    use super::super::{SledOptions, open};
    use super::*;

    #[tokio::test]
    async fn scans_wait_for_the_one_that_reads_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let opened = open(&SledOptions::at(folder.path().join("store")), Arc::new(NoMetrics)).unwrap();
        let store = opened.store;
        let reads = store.turns.next().await;
        let (filter, scan) = (OutcomeFilter::default(), EventScan { limit: 1, ..EventScan::default() });
        let mut outcomes = store.outcomes(&filter, None, 1);
        let (mut scanned, mut queued) = (store.scan(&scan), store.queued(1));
        assert!(
            poll!(&mut outcomes).is_pending() && poll!(&mut scanned).is_pending() && poll!(&mut queued).is_pending()
        );
        store.persist(Vec::new()).await.unwrap();
        assert!(poll!(&mut outcomes).is_pending(), "a commit is no turn");
        drop(reads);
        outcomes.await.unwrap();
        scanned.await.unwrap();
        queued.await.unwrap();
        store.close().await.unwrap();
    }
}
