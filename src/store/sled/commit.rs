//! The committer: one flush and one `fsync` for everything that waits.
//!
//! On a thread of its own, with sled's blocking flush: ten `flush_async` in flight deadlock inside sled (its issue 1308).

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use tokio::sync::oneshot;

use super::errors::unwritten;
use crate::store::StoreError;
use crate::watch::{Sighting, Watch};

/// What is made durable. A seam, so that tests see when the disk was asked.
#[doc(hidden)]
pub trait Disk: Send + 'static {
    /// Returns when everything written so far would survive the loss of power, and which generation of the database
    /// that is true of. Called by one thread only.
    fn sync(&self) -> Result<u64, StoreError>;
}

/// Takes orders to make things durable.
pub(super) struct Committer {
    line: Mutex<Option<Sender<Order>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Order {
    /// Tell when what was written to this generation is durable.
    Keep(u64, oneshot::Sender<Result<(), StoreError>>),
    /// A write failed: see whether the disk still works.
    Check,
}

impl Committer {
    /// Starts its thread.
    pub fn start(disk: Box<dyn Disk>, watch: Arc<dyn Watch>) -> io::Result<Self> {
        let (line, orders) = channel();
        let thread = thread::Builder::new()
            .name("store-commit".to_owned())
            .spawn(move || serve(&orders, disk.as_ref(), watch.as_ref()))?;
        Ok(Self { line: Mutex::new(Some(line)), thread: Mutex::new(Some(thread)) })
    }

    /// Waits until everything written so far is durable; `generation` is what the caller wrote to.
    pub async fn durable(&self, generation: u64) -> Result<(), StoreError> {
        let (done, wait) = oneshot::channel();
        self.order(Order::Keep(generation, done))?;
        wait.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Has the disk looked at after a write that failed.
    pub fn check(&self) {
        let _closed = self.order(Order::Check);
    }

    /// Serves what waits and stops the thread. Blocks.
    pub fn stop(&self) {
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

/// Ends when the line does: at `stop`, or when the store is dropped.
fn serve(orders: &Receiver<Order>, disk: &dyn Disk, watch: &dyn Watch) {
    let mut waiting = Vec::new();
    while let Ok(first) = orders.recv() {
        // Whoever comes later may have written after the flush below began: the next one is theirs.
        waiting.extend([first].into_iter().chain(orders.try_iter()));
        let started = Instant::now();
        let synced = disk.sync();
        if synced.is_ok() {
            watch.saw(Sighting::StoreFlushed(started.elapsed()));
        }
        for order in waiting.drain(..) {
            if let Order::Keep(generation, done) = order {
                let _gone = done.send(verdict(generation, &synced));
            }
        }
    }
}

fn verdict(written_to: u64, synced: &Result<u64, StoreError>) -> Result<(), StoreError> {
    match synced {
        Ok(generation) if *generation == written_to => Ok(()),
        Ok(_) => Err(unwritten("the store was opened again before this was durable")),
        Err(error) => Err(error.clone()),
    }
}
