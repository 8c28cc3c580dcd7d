//! Group commit: one batch, one flush and one `fsync` for all waiting calls.
//!
//! Commits run on a thread of their own with sled's blocking flush, because ten `flush_async` in flight deadlock inside
//! sled (sled issue 1308).

use std::io;
use std::ops::RangeInclusive;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use handoffd_engine::ports::metrics::{Measurement, Metrics};
use handoffd_engine::ports::store::StoreError;
use tokio::sync::oneshot;

use super::database::Disk;
use super::errors::unwritten;
use super::pending::Scope;
use super::state::{Reopening, Shared};

/// Shortest time between two commits. A commit costs half a millisecond of CPU, however little it writes, since sled
/// wakes seven threads for each of its buffers. So batching pays even on a fast disk. A single event does not wait.
const INTERVAL: Duration = Duration::from_millis(25);

/// Longest time that noted changes stay in memory while the store is idle. A killed process may lose them, at the price
/// of a repeated request.
const NOTED: Duration = Duration::from_millis(25);

/// Longest time that noted changes stay in memory while commits follow one another. Most events end within it, so their
/// notes need no write.
const NOTED_BUSY: Duration = Duration::from_millis(500);

/// Interval between attempts to reopen a broken store.
const MEND: Duration = Duration::from_secs(1);

/// Handle to the commit thread.
pub(super) struct Committer {
    line: Mutex<Option<Sender<CommitOrder>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum CommitOrder {
    /// First change was noted while nothing was pending; it need not be durable soon.
    Noted,
    /// Reply once this call is durable.
    Keep(u64, Waiter),
    /// Reply once everything is durable.
    Settle(Waiter),
    /// A reader found damage.
    Suspect(StoreError),
}

type Waiter = oneshot::Sender<Result<(), StoreError>>;

impl Committer {
    /// Starts the commit thread.
    pub(super) fn start(shared: Arc<Shared>, disk: Box<dyn Disk>, metrics: Arc<dyn Metrics>) -> io::Result<Self> {
        let (line, orders) = channel();
        let health = if shared.health.borrow().is_some() { Health::Broken } else { Health::Well };
        if health == Health::Broken {
            // Repair starts with the first order. The receiver still exists here.
            let _received = line.send(CommitOrder::Noted);
        }
        let office = CommitLoop {
            shared,
            disk,
            metrics,
            durable: 0,
            lost: 0..=0,
            waiting: Vec::new(),
            scope: Scope::Kept,
            settled: Instant::now(),
            rested: Instant::now(),
            health,
        };
        let thread = thread::Builder::new().name("store-commit".to_owned()).spawn(move || office.serve(&orders))?;
        Ok(Self { line: Mutex::new(Some(line)), thread: Mutex::new(Some(thread)) })
    }

    /// Reports that a change was noted while nothing was pending.
    pub(super) fn noted(&self) -> Result<(), StoreError> {
        self.order(CommitOrder::Noted)
    }

    /// Reports an error that looks like damage on disk.
    pub(super) fn report_damage(&self, problem: StoreError) -> Result<(), StoreError> {
        self.order(CommitOrder::Suspect(problem))
    }

    /// Waits until this call is durable.
    pub(super) async fn wait_durable(&self, call: u64) -> Result<(), StoreError> {
        let (done, wait) = oneshot::channel();
        self.order(CommitOrder::Keep(call, done))?;
        wait.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Waits until everything written so far is durable.
    pub(super) async fn wait_all_durable(&self) -> Result<(), StoreError> {
        let (done, wait) = oneshot::channel();
        self.order(CommitOrder::Settle(done))?;
        wait.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Makes everything durable, answers all waiting calls and stops the thread. Blocks.
    pub(super) fn stop(&self) {
        drop(self.line.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _panicked = thread.join();
        }
    }

    fn order(&self, order: CommitOrder) -> Result<(), StoreError> {
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let line = line.as_ref().ok_or(StoreError::Closed)?;
        line.send(order).map_err(|_| StoreError::Closed)
    }
}

/// State of the commit thread.
struct CommitLoop {
    shared: Arc<Shared>,
    disk: Box<dyn Disk>,
    metrics: Arc<dyn Metrics>,
    /// Number of the last durable call.
    durable: u64,
    /// Calls lost with a damaged database.
    lost: RangeInclusive<u64>,
    waiting: Vec<Waiter>,
    /// Changes that the next commit makes durable.
    scope: Scope,
    /// Last time when everything was durable.
    settled: Instant,
    /// Earliest time of the next commit.
    rested: Instant,
    health: Health,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Health {
    Well,
    /// The last commit failed.
    Broken,
}

impl CommitLoop {
    /// Runs until the channel closes: at `stop`, or when the store is dropped.
    fn serve(mut self, orders: &Receiver<CommitOrder>) {
        while let Ok(order) = orders.recv() {
            self.settled = Instant::now();
            self.take(order);
            while self.has_work() {
                let pause = self.due().saturating_duration_since(Instant::now());
                let pause = self.sleep(pause);
                match orders.recv_timeout(pause) {
                    Ok(order) if !pause.is_zero() => self.take(order),
                    Err(RecvTimeoutError::Disconnected) => break,
                    last => {
                        for order in last.into_iter().chain(orders.try_iter()) {
                            self.take(order);
                        }
                        self.commit();
                    }
                }
            }
        }
        if self.has_work() {
            self.scope = Scope::All;
            self.commit();
        }
    }

    /// Sleeps through this pause if no order could end it, and returns the remaining pause. A thread that waits for
    /// orders is woken by each of them, which costs more than the order itself.
    fn sleep(&self, pause: Duration) -> Duration {
        if self.waiting.is_empty() || pause > INTERVAL {
            return pause;
        }
        thread::sleep(pause);
        Duration::ZERO
    }

    fn take(&mut self, order: CommitOrder) {
        match order {
            CommitOrder::Noted => {}
            CommitOrder::Keep(call, done) if self.lost.contains(&call) => {
                let _gone = done.send(Err(gone()));
            }
            CommitOrder::Keep(call, done) if call <= self.durable => {
                let _gone = done.send(Ok(()));
            }
            CommitOrder::Keep(_, done) => self.waiting.push(done),
            CommitOrder::Settle(done) if self.shared.pending().is_empty() => {
                let _gone = done.send(Ok(()));
            }
            CommitOrder::Settle(done) => {
                self.waiting.push(done);
                self.scope = Scope::All;
            }
            CommitOrder::Suspect(problem) => {
                self.shared.mark_broken(problem);
                self.health = Health::Broken;
            }
        }
    }

    fn has_work(&self) -> bool {
        let idle = self.waiting.is_empty() && self.shared.pending().is_empty();
        !idle || self.health == Health::Broken
    }

    fn due(&self) -> Instant {
        if self.waiting.is_empty() { self.rested.max(self.settled + NOTED) } else { self.rested }
    }

    fn commit(&mut self) {
        let started = Instant::now();
        if self.waiting.is_empty() || self.settled + NOTED_BUSY <= started {
            self.scope = Scope::All;
        }
        let committed = self.reopen_if_broken().and_then(|()| {
            let (writes, call) = self.shared.pending().take(self.scope);
            self.shared.write(&writes)?;
            self.disk.sync().map(|()| call)
        });
        match &committed {
            Ok(call) => self.well(started, *call),
            Err(problem) => {
                self.shared.mark_broken(problem.clone());
                self.health = Health::Broken;
                self.rested = started + MEND;
            }
        }
        for done in self.waiting.drain(..) {
            let _gone = done.send(committed.clone().map(drop));
        }
    }

    /// Reopens a broken database. Calls that wait for a damaged one fail.
    fn reopen_if_broken(&mut self) -> Result<(), StoreError> {
        if let Reopening::New(last) = self.shared.reopen()? {
            self.lost = self.durable + 1..=last;
            for done in self.waiting.drain(..) {
                let _gone = done.send(Err(gone()));
            }
        }
        Ok(())
    }

    fn well(&mut self, started: Instant, call: u64) {
        self.shared.pending().mark_durable();
        self.shared.is_well();
        self.metrics.record(Measurement::StoreFlushed(started.elapsed()));
        self.health = Health::Well;
        self.rested = started + INTERVAL;
        self.durable = call;
        if self.scope == Scope::All {
            self.settled = Instant::now();
        }
        self.scope = Scope::Kept;
    }
}

fn gone() -> StoreError {
    unwritten("the store was damaged and replaced by a new one")
}
