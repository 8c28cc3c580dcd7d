//! Blocking reads off the event threads, because a read may never end.
//!
//! A read of a network mount that hangs can't be cancelled. So one read runs at a time, no caller waits for it longer
//! than a limit, and no second read begins before the first one ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use tracing::{error, info};

/// Repeats a blocking read, one read after the other.
pub(super) struct BackgroundReader<T> {
    read: Arc<dyn Fn() -> T + Send + Sync>,
    /// Name of the thing that is read, for the log.
    what: &'static str,
    /// Longest wait for a read.
    limit: Duration,
    under_way: Option<PendingRead<T>>,
    /// True if a fresh read was requested after the last one began.
    asked: bool,
}

struct PendingRead<T> {
    task: JoinHandle<T>,
    /// True if the read was requested.
    asked: bool,
    /// True once the limit has passed, which is logged once.
    late: bool,
}

/// Result of one read.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct CompletedRead<T> {
    /// Value that the read returned.
    pub(super) result: T,
    /// True if the read was requested before it began.
    pub(super) asked: bool,
}

impl<T: Send + 'static> BackgroundReader<T> {
    /// Creates a reader around a function that may block.
    pub(super) fn new(what: &'static str, limit: Duration, read: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Self { read: Arc::new(read), what, limit, under_way: None, asked: false }
    }

    /// Requests a fresh read. A read that is already running began too early to count.
    pub(super) fn ask(&mut self) {
        self.asked = true;
    }

    /// Returns true while a requested read has not begun.
    pub(super) fn is_asked(&self) -> bool {
        self.asked
    }

    /// Waits for the running read, else for a new one. Returns nothing when the limit passes first; the next call then
    /// waits for the same read.
    pub(super) async fn next(&mut self) -> Option<CompletedRead<T>> {
        let Self { read, asked, .. } = self;
        let begin = || {
            let read = read.clone();
            PendingRead { task: spawn_blocking(move || read()), asked: std::mem::take(asked), late: false }
        };
        let under_way = self.under_way.get_or_insert_with(begin);
        let Ok(ended) = timeout(self.limit, &mut under_way.task).await else {
            if !std::mem::replace(&mut under_way.late, true) {
                let limit_s = self.limit.as_secs_f64();
                error!(what = self.what, limit_s, "read timed out; keeping the last valid version");
            }
            return None;
        };
        let (asked, late) = (under_way.asked, under_way.late);
        self.under_way = None;
        // A panic's message may quote the data that was read, so it is not logged.
        let Ok(result) = ended else {
            error!(what = self.what, "read failed; keeping the last valid version");
            return None;
        };
        if late {
            info!(what = self.what, "read succeeded again");
        }
        Some(CompletedRead { result, asked })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    const MOMENT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(60);

    /// Returns a read that hangs until the test supplies its value.
    fn hanging(limit: Duration) -> (BackgroundReader<u8>, Sender<u8>, Arc<AtomicUsize>) {
        let (give, given) = channel();
        let (given, begun) = (Mutex::new(given), Arc::new(AtomicUsize::new(0)));
        let counter = begun.clone();
        let read = move || {
            counter.fetch_add(1, Ordering::SeqCst);
            given.lock().unwrap().recv().unwrap()
        };
        (BackgroundReader::new("a test", limit, read), give, begun)
    }

    #[tokio::test]
    async fn while_one_read_hangs_no_second_begins() {
        let (mut reader, give, begun) = hanging(MOMENT);
        for _ in 0..3 {
            assert_eq!(reader.next().await, None);
        }
        reader.limit = LONG;
        give.send(7).unwrap();
        assert_eq!(reader.next().await, Some(CompletedRead { result: 7, asked: false }));
        assert_eq!(begun.load(Ordering::SeqCst), 1);
        give.send(8).unwrap();
        assert_eq!(reader.next().await, Some(CompletedRead { result: 8, asked: false }));
    }

    #[tokio::test]
    async fn a_requested_read_begins_after_the_request() {
        let (mut reader, give, _) = hanging(MOMENT);
        assert_eq!(reader.next().await, None);
        reader.ask();
        reader.limit = LONG;
        give.send(1).unwrap();
        assert_eq!(reader.next().await, Some(CompletedRead { result: 1, asked: false }), "it began before the request");
        assert!(reader.is_asked());
        give.send(2).unwrap();
        assert_eq!(reader.next().await, Some(CompletedRead { result: 2, asked: true }));
        assert!(!reader.is_asked());
    }

    #[tokio::test]
    async fn a_panicking_read_returns_nothing() {
        let (mut reader, give, _) = hanging(LONG);
        drop(give);
        assert_eq!(reader.next().await, None);
    }
}
