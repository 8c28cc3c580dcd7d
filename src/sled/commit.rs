//! The committer: one batch, one flush and one `fsync` for everything that waits.
//!
//! On a thread of its own, with sled's blocking flush: ten `flush_async` in flight deadlock inside sled (its issue 1308).

use std::io;
use std::ops::RangeInclusive;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use handoffd_engine::ports::metrics::{Measurement, Metrics};
use handoffd_engine::ports::store::StoreError;
use tokio::sync::oneshot;

use super::errors::unwritten;
use super::pending::Scope;
use super::state::{Mended, Shared};

/// Time from one commit to the next, at least. A commit costs half a millisecond of CPU, however little there is to
/// write, so on a fast disk it pays to gather. An event that comes alone does not wait.
const PACE: Duration = Duration::from_millis(10);

/// The same, at most, when many wait: more of them will come.
const PACE_BUSY: Duration = Duration::from_millis(25);

/// How much longer the next commit takes its time for each who waited for the last one.
const PACE_EACH: Duration = Duration::from_millis(1);

/// How long something that was only noted stays in memory when there is nothing else to do: what a kill of the process
/// may lose, at the price of a repeated request.
const NOTED: Duration = Duration::from_millis(25);

/// The same when commits follow one another: long enough for most events to end, so that their notes need no write.
const NOTED_BUSY: Duration = Duration::from_millis(500);

/// How often a broken store is opened again to see whether it can be written to.
const MEND: Duration = Duration::from_secs(1);

/// What everything is made durable on. A seam, so that tests see when the disk was asked, and can say no.
#[doc(hidden)]
pub trait Disk: Send + 'static {
    /// Returns when everything written so far would survive the loss of power. Called by one thread only.
    fn sync(&self) -> Result<(), StoreError>;
}

/// Takes orders to make things durable.
pub(super) struct Committer {
    line: Mutex<Option<Sender<Order>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Order {
    /// Something was noted where nothing was pending: it need not be durable soon.
    Noted,
    /// Tell when this call is durable.
    Keep(u64, Waiter),
    /// Tell when everything is.
    Settle(Waiter),
    /// Somebody has met damage.
    Suspect(StoreError),
}

type Waiter = oneshot::Sender<Result<(), StoreError>>;

impl Committer {
    /// Starts its thread.
    pub(super) fn start(shared: Arc<Shared>, disk: Box<dyn Disk>, watch: Arc<dyn Metrics>) -> io::Result<Self> {
        let (line, orders) = channel();
        let health = if shared.health.borrow().is_some() { Health::Broken } else { Health::Well };
        if health == Health::Broken {
            // The first order, or it would not begin to mend. Nobody has hung up yet.
            let _received = line.send(Order::Noted);
        }
        let office = Office {
            shared,
            disk,
            watch,
            durable: 0,
            lost: 0..=0,
            waiting: Vec::new(),
            scope: Scope::Kept,
            settled: Instant::now(),
            rested: Instant::now(),
            pace: PACE,
            health,
        };
        let thread = thread::Builder::new().name("store-commit".to_owned()).spawn(move || office.serve(&orders))?;
        Ok(Self { line: Mutex::new(Some(line)), thread: Mutex::new(Some(thread)) })
    }

    /// Says that something was noted where nothing was pending.
    pub(super) fn noted(&self) -> Result<(), StoreError> {
        self.order(Order::Noted)
    }

    /// Says that this was met on the disk, and looks like damage.
    pub(super) fn suspects(&self, problem: StoreError) -> Result<(), StoreError> {
        self.order(Order::Suspect(problem))
    }

    /// Waits until this call is durable.
    pub(super) async fn kept(&self, call: u64) -> Result<(), StoreError> {
        let (done, wait) = oneshot::channel();
        self.order(Order::Keep(call, done))?;
        wait.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Waits until everything written so far is durable.
    pub(super) async fn settled(&self) -> Result<(), StoreError> {
        let (done, wait) = oneshot::channel();
        self.order(Order::Settle(done))?;
        wait.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Serves what waits, makes everything durable and stops the thread. Blocks.
    pub(super) fn stop(&self) {
        drop(self.line.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _panicked = thread.join();
        }
    }

    fn order(&self, order: Order) -> Result<(), StoreError> {
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let line = line.as_ref().ok_or(StoreError::Closed)?;
        line.send(order).map_err(|_| StoreError::Closed)
    }
}

/// Where the committer's thread works.
struct Office {
    shared: Arc<Shared>,
    disk: Box<dyn Disk>,
    watch: Arc<dyn Metrics>,
    /// The last call that is durable.
    durable: u64,
    /// Calls that went with a damaged database.
    lost: RangeInclusive<u64>,
    waiting: Vec<Waiter>,
    /// What the next commit is to make durable.
    scope: Scope,
    /// When everything was durable the last time.
    settled: Instant,
    /// No commit before this time.
    rested: Instant,
    /// From the last commit to the next.
    pace: Duration,
    health: Health,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Health {
    Well,
    /// The last commit failed.
    Broken,
}

impl Office {
    /// Ends when the line does: at `stop`, or when the store is dropped.
    fn serve(mut self, orders: &Receiver<Order>) {
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

    /// Sleeps through this pause when no order could end it; returns what is left of it. A thread that waits for orders
    /// is woken by each of them, which costs more than the order.
    fn sleep(&self, pause: Duration) -> Duration {
        if self.waiting.is_empty() || pause > PACE_BUSY {
            return pause;
        }
        thread::sleep(pause);
        Duration::ZERO
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Noted => {}
            Order::Keep(call, done) if self.lost.contains(&call) => {
                let _gone = done.send(Err(gone()));
            }
            Order::Keep(call, done) if call <= self.durable => {
                let _gone = done.send(Ok(()));
            }
            Order::Keep(_, done) => self.waiting.push(done),
            Order::Settle(done) if self.shared.pending().is_empty() => {
                let _gone = done.send(Ok(()));
            }
            Order::Settle(done) => {
                self.waiting.push(done);
                self.scope = Scope::All;
            }
            Order::Suspect(problem) => {
                self.shared.broke(problem);
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
        self.pace = pace(self.waiting.len());
        if self.waiting.is_empty() || self.settled + NOTED_BUSY <= started {
            self.scope = Scope::All;
        }
        let committed = self.mended().and_then(|()| {
            let (writes, call) = self.shared.pending().take(self.scope);
            self.shared.write(&writes)?;
            self.disk.sync().map(|()| call)
        });
        match &committed {
            Ok(call) => self.well(started, *call),
            Err(problem) => {
                self.shared.broke(problem.clone());
                self.health = Health::Broken;
                self.rested = started + MEND;
            }
        }
        for done in self.waiting.drain(..) {
            let _gone = done.send(committed.clone().map(drop));
        }
    }

    /// Opens a broken database again. What waits for one that was damaged waits in vain.
    fn mended(&mut self) -> Result<(), StoreError> {
        if let Mended::New(last) = self.shared.mend()? {
            self.lost = self.durable + 1..=last;
            for done in self.waiting.drain(..) {
                let _gone = done.send(Err(gone()));
            }
        }
        Ok(())
    }

    fn well(&mut self, started: Instant, call: u64) {
        self.shared.pending().arrived();
        self.shared.is_well();
        self.watch.record(Measurement::StoreFlushed(started.elapsed()));
        self.health = Health::Well;
        self.rested = started + self.pace;
        self.durable = call;
        if self.scope == Scope::All {
            self.settled = Instant::now();
        }
        self.scope = Scope::Kept;
    }
}

fn gone() -> StoreError {
    unwritten("it was damaged, and a new one has taken its place")
}

fn pace(waited: usize) -> Duration {
    let waited = u32::try_from(waited).unwrap_or(u32::MAX);
    PACE_EACH.saturating_mul(waited).clamp(PACE, PACE_BUSY)
}
