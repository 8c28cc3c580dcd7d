//! Reload of organizations without a restart.
//!
//! The directory is polled, since files are few and small, and file-system events are not available on every mount (a
//! Kubernetes secret, a network share). It is read off the event threads, because a read of a network mount that hangs
//! can't be cancelled; no second read begins before that one ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tracing::{error, info};

use super::registry::OrganizationRegistry;

/// Interval between readings of the directory.
const READ_INTERVAL: Duration = Duration::from_secs(2);
/// Longest read of the directory before it is reported.
const READ_LIMIT: Duration = Duration::from_secs(5);

/// Reads the directory again, at intervals and on request.
#[derive(Clone)]
pub struct OrganizationReloader {
    registry: Arc<OrganizationRegistry>,
    turn: Arc<Mutex<()>>,
}

impl OrganizationReloader {
    /// Starts the task that reads at intervals. Needs a tokio runtime.
    pub fn start(registry: Arc<OrganizationRegistry>) -> Self {
        let reloader = Self { registry, turn: Arc::default() };
        let periodic = reloader.clone();
        tokio::spawn(async move {
            loop {
                sleep(READ_INTERVAL).await;
                periodic.read(false).await;
            }
        });
        reloader
    }

    /// Reads the directory as it is now and applies it. Waits no longer than a read may take; a longer one is applied
    /// when it ends.
    pub async fn reload(&self) {
        let reloader = self.clone();
        _ = timeout(READ_LIMIT, tokio::spawn(async move { reloader.read(true).await })).await;
    }

    async fn read(&self, requested: bool) {
        let registry = self.registry.clone();
        if let Some((_turn, loaded)) = read_alone(&self.turn, READ_LIMIT, move || registry.read_files()).await {
            self.registry.apply_files(loaded, requested).await;
        }
    }
}

/// Waits for the turn, and reads off the event threads. The turn ends when the caller has applied what was read.
async fn read_alone<T: Send + 'static>(
    turn: &Mutex<()>,
    limit: Duration,
    read: impl FnOnce() -> T + Send + 'static,
) -> Option<(MutexGuard<'_, ()>, T)> {
    let turn = turn.lock().await;
    let mut reading = spawn_blocking(read);
    let in_time = timeout(limit, &mut reading).await.ok();
    let is_late = in_time.is_none();
    if is_late {
        error!(
            limit_s = limit.as_secs_f64(),
            "reading organizations.directory timed out; keeping the last valid version"
        );
    }
    let ended = match in_time {
        Some(ended) => ended,
        None => reading.await,
    };
    // A panic's message may quote the data that was read, so it is not logged.
    let Ok(loaded) = ended else {
        error!("reading organizations.directory failed; keeping the last valid version");
        return None;
    };
    if is_late {
        info!("reading organizations.directory succeeded again");
    }
    Some((turn, loaded))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(20);

    /// Read that reports its beginning and hangs until the test supplies its value.
    fn hanging(turn: &Arc<Mutex<()>>) -> (JoinHandle<Option<u8>>, oneshot::Receiver<()>, Sender<u8>) {
        let (give, value) = channel();
        let (report, begun) = oneshot::channel();
        let turn = turn.clone();
        let read = move || {
            report.send(()).unwrap();
            value.recv().unwrap()
        };
        (tokio::spawn(async move { Some(read_alone(&turn, MOMENT, read).await?.1) }), begun, give)
    }

    #[tokio::test]
    async fn while_one_read_hangs_no_second_begins() {
        let turn = Arc::default();
        let (first, first_begun, give_first) = hanging(&turn);
        first_begun.await.unwrap();
        let (second, mut second_begun, give_second) = hanging(&turn);
        assert!(timeout(MOMENT * 2, &mut second_begun).await.is_err());
        give_first.send(7).unwrap();
        assert_eq!(first.await.unwrap(), Some(7), "it is used however late");
        second_begun.await.unwrap();
        give_second.send(8).unwrap();
        assert_eq!(second.await.unwrap(), Some(8));
    }

    #[tokio::test]
    async fn a_panicking_read_returns_nothing() {
        let turn = Arc::default();
        let (first, _begun, give) = hanging(&turn);
        drop(give);
        assert_eq!(first.await.unwrap(), None);
        assert!(turn.try_lock().is_ok(), "the next one may begin");
    }
}
