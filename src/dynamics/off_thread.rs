//! Blocking work off the event threads, for one caller at a time.
//!
//! Work that hangs, such as a read of a network mount, can't be cancelled and occupies a thread. So the next caller waits
//! for it instead of starting the work once more.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};

/// Work of one kind, at most one of which is under way.
pub(super) struct OffThread<T>(Mutex<Option<JoinHandle<T>>>);

/// Reason why work has no result. A panic's message may quote the data that was read, so it is not kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OffThreadError {
    /// The work takes longer than the limit; it continues.
    Late,
    /// The work panicked.
    Panicked,
}

impl<T: Send + 'static> OffThread<T> {
    pub(super) fn new() -> Self {
        Self(Mutex::default())
    }

    /// Returns the result of the work, or of earlier work that is still under way. Earlier work that has ended is
    /// dropped, as its result may be old.
    pub(super) async fn run(
        &self,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, OffThreadError> {
        let unfinished = self.unfinished().take().filter(|earlier| !earlier.is_finished());
        let mut task = unfinished.unwrap_or_else(|| spawn_blocking(work));
        if let Ok(ended) = tokio::time::timeout(limit, &mut task).await {
            return ended.map_err(|_| OffThreadError::Panicked);
        }
        *self.unfinished() = Some(task);
        Err(OffThreadError::Late)
    }

    fn unfinished(&self) -> MutexGuard<'_, Option<JoinHandle<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn work_that_hangs_is_waited_for_and_not_repeated() {
        let (let_go, wait) = channel();
        let reader = OffThread::new();
        let hangs = move || wait.recv().unwrap();
        assert_eq!(reader.run(Duration::ZERO, hangs).await, Err(OffThreadError::Late));
        let second = reader.run(Duration::ZERO, || unreachable!("no second work begins"));
        assert_eq!(second.await, Err(OffThreadError::Late));
        let_go.send(7).unwrap();
        // Either the result of the first, or new work once that has ended.
        assert!(matches!(reader.run(LIMIT, || 8).await, Ok(7 | 8)));
        assert_eq!(reader.run(LIMIT, || 9).await, Ok(9));
    }

    #[tokio::test]
    async fn a_result_that_nobody_waited_for_is_dropped() {
        let (let_go, wait) = channel::<()>();
        let reader = OffThread::new();
        let (done, ended) = tokio::sync::oneshot::channel();
        let hangs = move || {
            _ = wait.recv();
            _ = done.send(());
            "old"
        };
        assert_eq!(reader.run(Duration::ZERO, hangs).await, Err(OffThreadError::Late));
        drop(let_go);
        ended.await.unwrap();
        while reader.unfinished().as_ref().is_some_and(|earlier| !earlier.is_finished()) {
            tokio::task::yield_now().await;
        }
        assert_eq!(reader.run(LIMIT, || "new").await, Ok("new"));
    }

    #[tokio::test]
    async fn a_panic_is_an_error() {
        let reader = OffThread::<()>::new();
        assert_eq!(reader.run(LIMIT, || panic!("for the test")).await, Err(OffThreadError::Panicked));
        assert_eq!(reader.run(LIMIT, || ()).await, Ok(()));
    }
}
