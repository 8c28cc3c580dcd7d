//! Scans of the dead letters that lists share. A list of few dead letters is as new as its request. A scan of many takes
//! seconds and costs the broker as much as their delivery, so they are scanned again only after a rest, and lists show
//! meanwhile how old they are, or how much has been read so far.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use handoffd_engine::dead_letters::{DeadLetterEntry, LetterIndex};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::admin::api::Problem;

/// Number of dead letters above which lists may be older than their requests. Fewer are read in half a second.
const LARGE: u64 = 5000;
/// Most dead letters that are indexed, in about 60 MB. The newest beyond them are in no list of the page.
const MOST_INDEXED: u64 = 200_000;
/// Time after which a scan is forgotten that nobody asks for.
const IDLE: Duration = Duration::from_secs(900);
/// Time for which a list of many waits for a new scan.
const PATIENCE: Duration = Duration::from_millis(300);
/// Rest after a scan of many, as a multiple of the time that it took.
const REST: u32 = 10;
/// Shortest time between two scans of many.
const LEAST_INTERVAL: Duration = Duration::from_secs(10);

/// Latest scan, and the one in progress.
pub(super) struct LetterScans {
    known: Mutex<KnownScans>,
    changed: watch::Sender<()>,
}

#[derive(Clone, Default)]
pub(super) struct KnownScans {
    /// Last complete scan.
    pub(super) latest: Option<Arc<LetterScan>>,
    /// Scan in progress.
    pub(super) running: Option<Arc<LetterScan>>,
    /// Start and problem of the last scan that failed.
    pub(super) failed: Option<(Instant, Problem)>,
}

/// Scan of the dead letters, complete or in progress.
pub(super) struct LetterScan {
    pub(super) began: Instant,
    began_at: Timestamp,
    /// Number of dead letters when it began; 0 until the queue is open.
    total: AtomicU64,
    /// Number read so far.
    read: AtomicU64,
    /// Time that it took, once it is complete.
    took: OnceLock<Duration>,
    index: Mutex<LetterIndex>,
    last_use: Mutex<Instant>,
}

/// Age of a list that is older than its request, or incomplete.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListAge {
    /// Time from which the list is.
    pub at: Timestamp,
    /// Time that the scan took; `None` while it is in progress.
    pub took: Option<Duration>,
    /// Number of dead letters read so far.
    pub read: u64,
    /// Number of dead letters when the scan began.
    pub total: u64,
}

impl LetterScans {
    pub(super) fn new() -> Self {
        Self { known: Mutex::default(), changed: watch::Sender::new(()) }
    }

    /// Returns what is known now.
    pub(super) fn known(&self) -> KnownScans {
        self.lock().clone()
    }

    /// Returns a scan that began after a request of this time, if the dead letters are few; else the one that shows most
    /// within a moment: the last complete one, or as much as has been read. `start` starts one unless one is in progress.
    pub(super) async fn look(&self, asked: Instant, start: impl Fn()) -> Result<Arc<LetterScan>, Problem> {
        let mut changes = self.changed.subscribe();
        loop {
            changes.mark_unchanged();
            let known = self.known();
            if let Some(scan) = known.answer_to(asked) {
                return Ok(Arc::clone(scan));
            }
            if let Some(problem) = known.failure(asked) {
                return Err(problem.clone());
            }
            start();
            let Some(best) = known.best().filter(|_| known.is_large()) else {
                // The scan ends, also if it has to wait for another operator. The sender lives as long as this does.
                _ = changes.changed().await;
                continue;
            };
            let left = PATIENCE.saturating_sub(asked.elapsed());
            if left.is_zero() || timeout(left, changes.changed()).await.is_err() {
                return Ok(Arc::clone(best));
            }
        }
    }

    /// Returns the scan that a caller has to carry out; `None` if one is in progress.
    pub(super) fn begin(&self) -> Option<Arc<LetterScan>> {
        let mut known = self.lock();
        if known.running.is_some() {
            return None;
        }
        let scan = Arc::new(LetterScan::new());
        known.running = Some(Arc::clone(&scan));
        Some(scan)
    }

    /// Adds dead letters to the scan in progress.
    pub(super) fn add(&self, scan: &LetterScan, window: Vec<DeadLetterEntry>, total: u64) {
        scan.total.store(total, Ordering::Relaxed);
        let room = MOST_INDEXED.saturating_sub(scan.read.load(Ordering::Relaxed));
        scan.read.fetch_add(window.len() as u64, Ordering::Relaxed);
        let mut index = scan.index();
        window.into_iter().take(usize::try_from(room).unwrap_or(usize::MAX)).for_each(|entry| index.add(entry));
        drop(index);
        self.changed.send_replace(());
    }

    /// Ends the scan in progress.
    pub(super) fn end(&self, scan: &Arc<LetterScan>, end: Result<(), Problem>) {
        let mut known = self.lock();
        known.running = None;
        match end {
            Ok(()) => {
                // Set once, by the task that scans.
                _ = scan.took.set(scan.began.elapsed());
                (known.latest, known.failed) = (Some(Arc::clone(scan)), None);
            }
            Err(problem) => known.failed = Some((scan.began, problem)),
        }
        drop(known);
        self.changed.send_replace(());
    }

    /// Leaves a dead letter out that is no longer in the queue.
    pub(super) fn remove(&self, letter_id: &str) {
        let KnownScans { latest, running, .. } = self.known();
        for scan in latest.into_iter().chain(running) {
            scan.index().remove(letter_id);
        }
    }

    /// Forgets a complete scan once nobody has asked for it for a while, or for a newer one.
    pub(super) async fn forget_idle(&self, scan: Weak<LetterScan>) {
        while let Some(idle) = scan.upgrade().map(|scan| scan.idle()) {
            if idle >= IDLE {
                let mut known = self.lock();
                known.latest.take_if(|latest| std::ptr::eq(Arc::as_ptr(latest), scan.as_ptr()));
                return;
            }
            tokio::time::sleep(IDLE.saturating_sub(idle)).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, KnownScans> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KnownScans {
    /// Returns true if a list need not wait for the scan in progress, nor for another one.
    fn is_large(&self) -> bool {
        self.latest.iter().chain(&self.running).any(|scan| scan.is_large())
    }

    /// Returns the complete scan that a request of this time is answered from without another one.
    fn answer_to(&self, asked: Instant) -> Option<&Arc<LetterScan>> {
        self.latest.as_ref().filter(|latest| latest.began >= asked || latest.is_resting())
    }

    /// Returns the scan that shows most: the complete one, or what the one in progress has read.
    fn best(&self) -> Option<&Arc<LetterScan>> {
        let opened = self.running.iter().filter(|running| running.total() > 0);
        opened.chain(&self.latest).max_by_key(|scan| scan.read.load(Ordering::Relaxed))
    }

    /// Returns the problem if a scan that began after this time has failed.
    fn failure(&self, asked: Instant) -> Option<&Problem> {
        self.failed.as_ref().filter(|(began, _)| *began >= asked).map(|(_, problem)| problem)
    }
}

impl LetterScan {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            began: now,
            began_at: Timestamp::now(),
            total: AtomicU64::new(0),
            read: AtomicU64::new(0),
            took: OnceLock::new(),
            index: Mutex::default(),
            last_use: Mutex::new(now),
        }
    }

    /// Returns the dead letters read so far.
    pub(super) fn index(&self) -> MutexGuard<'_, LetterIndex> {
        *self.last_use.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns true if this complete scan of many still shows the queue, which has so many messages now.
    pub(super) fn is_still_whole(&self, ready: u64) -> bool {
        let is_whole = self.read.load(Ordering::Relaxed) <= MOST_INDEXED;
        is_whole && self.is_resting() && self.index().len() as u64 == ready
    }

    fn idle(&self) -> Duration {
        self.last_use.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Returns the age of a list made from it for a request of this time; `None` if it is complete and newer.
    pub(super) fn age(&self, asked: Instant) -> Option<ListAge> {
        let (read, total) = (self.read.load(Ordering::Relaxed), self.total());
        let took = self.took.get().copied();
        let is_whole = took.is_some() && read <= MOST_INDEXED;
        let age = ListAge { at: self.began_at, took, read: read.min(MOST_INDEXED), total: total.max(read) };
        (self.began < asked || !is_whole).then_some(age)
    }

    fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    fn is_large(&self) -> bool {
        self.total() > LARGE
    }

    /// Returns true if this complete scan of many is not to be repeated yet.
    pub(super) fn is_resting(&self) -> bool {
        self.took.get().is_some_and(|took| self.is_large() && self.began.elapsed() < interval(*took))
    }
}

/// Returns the time between two scans of many, given that the last one took so long.
fn interval(took: Duration) -> Duration {
    (took * (REST + 1)).max(LEAST_INTERVAL)
}

impl ListAge {
    /// Returns the time between two scans, once it is known how long one takes.
    pub fn interval(&self) -> Option<Duration> {
        self.took.map(interval)
    }

    /// Returns the age as a sentence, for texts that are not pages.
    pub fn in_words(&self) -> String {
        let Self { at, took, read, total } = self;
        if took.is_none() {
            return format!("the dead letters are being read ({read} of {total} so far); ask again in some seconds");
        }
        if read < total {
            return format!("only the oldest {read} of {total} dead letters were searched, as of {at:.0}");
        }
        format!("the dead letters were searched as of {at:.0}")
    }
}
