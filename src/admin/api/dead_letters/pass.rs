//! One pass through the dead letters: the entries that it reports, window by window, and its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use handoffd_engine::dead_letters::{Counts, DeadLetterEntry, Observer};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::jobs::Job;
use crate::admin::api::Problem;

/// Longest wait for a receiver that takes nothing; it would keep others from the dead letters.
const STALL: Duration = Duration::from_secs(10);

/// Pass in progress. Dropping it stops the pass.
pub(super) struct Pass {
    windows: mpsc::Receiver<Vec<DeadLetterEntry>>,
    total: Arc<AtomicU64>,
    end: JoinHandle<PassEnd>,
    stop: DropGuard,
}

/// Result of a pass.
pub(super) type PassEnd = Result<Counts, Problem>;

/// Observer of a pass: hands each window to its receiver, and records the progress of its job.
pub(super) struct Feed {
    window: Vec<DeadLetterEntry>,
    receiver: mpsc::Sender<Vec<DeadLetterEntry>>,
    job: Option<Arc<Job>>,
    /// Number of dead letters when the pass began.
    total: Arc<AtomicU64>,
    stop: CancellationToken,
}

impl Pass {
    /// Starts a pass, given a function that runs it with its observer. It runs in a task of its own, so that it ends in
    /// order even if its receiver is gone.
    pub(super) fn begin<F>(job: Option<Arc<Job>>, stop: CancellationToken, run: impl FnOnce(Feed) -> F) -> Self
    where
        F: Future<Output = PassEnd> + Send + 'static,
    {
        let (receiver, windows) = mpsc::channel(1);
        let total = Arc::new(AtomicU64::new(0));
        let feed =
            Feed { window: Vec::new(), receiver, job: job.clone(), total: Arc::clone(&total), stop: stop.clone() };
        let running = tokio::spawn(run(feed));
        let end = tokio::spawn(async move {
            let end = running.await.unwrap_or_else(|_| Err(stopped_early()));
            if let Some(job) = job {
                job.end(&end);
            }
            end
        });
        Self { windows, total, end, stop: stop.drop_guard() }
    }

    /// Returns the number of dead letters when the pass began; 0 until its first window.
    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Returns the matches of the next window, of which there may be none; `None` at the end. The first window is
    /// returned when the pass has access to the dead letters, and is empty.
    pub(super) async fn next(&mut self) -> Option<Vec<DeadLetterEntry>> {
        self.windows.recv().await
    }

    /// Waits for the end of the pass.
    pub(super) async fn end(self) -> PassEnd {
        let Self { mut windows, end, stop, .. } = self;
        while windows.recv().await.is_some() {}
        let end = end.await.unwrap_or_else(|_| Err(stopped_early()));
        drop(stop);
        end.and_then(|tally| if tally.stopped { Err(stopped_early()) } else { Ok(tally) })
    }
}

impl Feed {
    /// Hands over a window of matches.
    pub(super) async fn hand_over(&mut self, window: Vec<DeadLetterEntry>) {
        self.window = window;
        self.flush().await;
    }

    /// Hands over the matches of the last window.
    pub(super) async fn flush(&mut self) {
        let window = std::mem::take(&mut self.window);
        if !matches!(timeout(STALL, self.receiver.send(window)).await, Ok(Ok(()))) {
            self.stop.cancel();
        }
    }
}

#[async_trait]
impl Observer for Feed {
    async fn room(&mut self) {
        self.flush().await;
    }

    fn looked_at(&mut self, count: u64, total: u64) {
        self.total.store(total, Ordering::Relaxed);
        if let Some(job) = &self.job {
            job.looked_at(count, total);
        }
    }

    fn entry(&mut self, entry: DeadLetterEntry) {
        if let Some(job) = &self.job {
            job.note(&entry);
        }
        self.window.push(entry);
    }
}

fn stopped_early() -> Problem {
    Problem::unavailable(
        "stopped early; the remaining dead letters are unchanged, so send the request again".to_owned(),
    )
}
