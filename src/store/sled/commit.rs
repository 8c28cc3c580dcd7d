//! The committer: one batch, one flush and one `fsync` for everything that waits.
//!
//! On a thread of its own, with sled's blocking flush: ten `flush_async` in flight deadlock inside sled (its issue 1308).

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::state::Shared;
use crate::store::StoreError;
use crate::watch::{Sighting, Watch};

/// Time from one commit to the next, at least. A commit costs half a millisecond of CPU, however little there is to
/// write, so on a fast disk it pays to gather. An event that comes alone does not wait.
const PACE: Duration = Duration::from_millis(10);

/// How long something that was only noted may stay in memory: what a kill of the process may lose.
const NOTED: Duration = Duration::from_millis(25);

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
    /// Something was noted: it need not be durable soon.
    Noted,
    /// Tell when as many calls as this are durable.
    Keep(u64, Waiter),
}

type Waiter = oneshot::Sender<Result<(), StoreError>>;

impl Committer {
    /// Starts its thread.
    pub fn start(
        shared: Arc<Shared>,
        disk: Box<dyn Disk>,
        watch: Arc<dyn Watch>,
    ) -> io::Result<Self> {
        let (line, orders) = channel();
        let office = Office {
            shared,
            disk,
            watch,
            durable: 0,
            waiting: Vec::new(),
            rested: Instant::now(),
            since: Instant::now(),
            health: Health::Well,
        };
        let thread = thread::Builder::new()
            .name("store-commit".to_owned())
            .spawn(move || office.serve(&orders))?;
        Ok(Self {
            line: Mutex::new(Some(line)),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Says that there is something to write where there was nothing.
    pub fn noted(&self) -> Result<(), StoreError> {
        self.order(Order::Noted)
    }

    /// Waits until this many calls are durable.
    pub async fn durable(&self, written: u64) -> Result<(), StoreError> {
        let (done, wait) = oneshot::channel();
        self.order(Order::Keep(written, done))?;
        wait.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Serves what waits, makes everything durable and stops the thread. Blocks.
    pub fn stop(&self) {
        drop(
            self.line
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
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
    watch: Arc<dyn Watch>,
    /// How many calls are durable.
    durable: u64,
    waiting: Vec<(u64, Waiter)>,
    /// Not before this time.
    rested: Instant,
    /// Since when there is something to write.
    since: Instant,
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
            self.since = Instant::now();
            self.take(order);
            while self.has_work() {
                let pause = self.due().saturating_duration_since(Instant::now());
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
            self.commit();
        }
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Noted => {}
            Order::Keep(written, done) if written <= self.durable => {
                let _gone = done.send(Ok(()));
            }
            Order::Keep(written, done) => self.waiting.push((written, done)),
        }
    }

    fn has_work(&self) -> bool {
        let idle = self.waiting.is_empty() && self.shared.pending().is_empty();
        !idle || self.health == Health::Broken
    }

    fn due(&self) -> Instant {
        if self.waiting.is_empty() {
            self.rested.max(self.since + NOTED)
        } else {
            self.rested
        }
    }

    fn commit(&mut self) {
        let started = Instant::now();
        let (writes, written) = self.shared.pending().take();
        let committed = self
            .shared
            .mend()
            .and_then(|()| self.shared.write(&writes))
            .and_then(|()| self.disk.sync());
        if let Err(problem) = &committed {
            self.shared.broke(problem.clone());
            self.health = Health::Broken;
            self.rested = started + MEND;
        } else {
            self.shared.pending().arrived();
            self.watch.saw(Sighting::StoreFlushed(started.elapsed()));
            self.health = Health::Well;
            self.rested = started + PACE;
            self.durable = written;
        }
        self.since = Instant::now();
        for (_, done) in self.waiting.drain(..) {
            let _gone = done.send(committed.clone());
        }
    }
}
