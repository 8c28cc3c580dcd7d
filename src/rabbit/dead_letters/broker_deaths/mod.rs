//! In: the depth of the dead-letter queue, every few seconds; each copy that this worker puts there.
//! Out: a measurement for each event that the broker dead-lettered by itself.
//! Absent: the meaning of a dead letter, and its treatment.
//!
//! The broker gives up events silently, after too many deliveries or on expiry. The worker detects this afterwards, at
//! the lowest possible cost, because each scan of the queue counts as a delivery of every dead letter in it. It scans
//! only after the queue has grown by more than this worker has put there ([`rise`]), at most once a minute, and never
//! more than [`MOST`] dead letters. It counts those that died since the last scan and were not in it ([`tally`]).
//!
//! Limits: a dead letter that an operator removes before the scan is not counted. One that arrives within a minute of a
//! removal may be counted only by the next scan. Copies by other workers trigger a scan but are not counted. Each
//! worker counts the events that the broker gave up.

mod rise;
mod tally;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use handoffd_engine::ports::bus::{DeadLetter, DeadLetterError, DeadLetterQueue, DeadLetters};
use handoffd_engine::ports::metrics::{Measurement, Metrics};
use handoffd_engine::workflow::Reason;
use jiff::Timestamp;
use tokio::time::timeout;
use tracing::{debug, warn};

use self::rise::{Depth, Growth, Next};
use self::tally::DeathTally;
use super::queue::{RabbitDeadLetterQueue, Window};
use crate::rabbit::options::RabbitOptions;
use crate::rabbit::shared::lock;

/// Most dead letters in the queue for a scan to take place. A scan of that many takes some two seconds and the memory
/// of two windows.
const MOST: u64 = 10_000;
/// Longest wait for an operator's command to end and for the connection.
const TURN: Duration = Duration::from_secs(5);
/// Longest duration of a scan.
const LONGEST: Duration = Duration::from_secs(20);
/// Dead letters taken at a time; few at first, because each may be a mebibyte.
const WINDOW: Window = Window { first: 16, most: 512 };

/// Counter of events that the broker dead-letters by itself.
pub(in crate::rabbit) struct BrokerDeaths {
    queue: RabbitDeadLetterQueue,
    metrics: Arc<dyn Metrics>,
    begun: AtomicU64,
    finished: AtomicU64,
    growth: Mutex<Growth>,
    tally: Mutex<DeathTally>,
    looking: AtomicBool,
}

/// Copy by this worker into the dead-letter queue; dropped once its outcome is known.
pub(in crate::rabbit) struct CopyGuard<'a>(&'a BrokerDeaths);

/// Number of own copies that are certainly in the queue, taken before its depth is requested.
pub(in crate::rabbit) struct OwnCopies(u64);

impl BrokerDeaths {
    /// Creates a counter for the dead-letter queue of these options.
    pub(in crate::rabbit) fn new(options: &RabbitOptions, metrics: Arc<dyn Metrics>) -> Self {
        Self {
            queue: RabbitDeadLetterQueue::new(options.clone()).with_window(WINDOW),
            metrics,
            begun: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            growth: Mutex::default(),
            tally: Mutex::new(DeathTally::new(Timestamp::now())),
            looking: AtomicBool::new(false),
        }
    }

    /// Returns a guard to hold while a copy is published to the dead-letter queue.
    pub(in crate::rabbit) fn copying(&self) -> CopyGuard<'_> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        CopyGuard(self)
    }

    /// Must be called before the depth is requested.
    pub(in crate::rabbit) fn asks(&self) -> OwnCopies {
        OwnCopies(self.finished.load(Ordering::Relaxed))
    }

    /// Processes the depth of the dead-letter queue. Starts a scan in the background if its growth requires one.
    pub(in crate::rabbit) fn saw(self: &Arc<Self>, OwnCopies(finished): OwnCopies, messages: u32) {
        // During a scan this worker itself holds dead letters.
        if self.looking.load(Ordering::Relaxed) {
            return;
        }
        let begun = self.begun.load(Ordering::Relaxed);
        let depth = Depth { messages: messages.into(), begun, finished };
        match lock(&self.growth).observe(Instant::now(), depth, MOST) {
            Next::Nothing => {}
            Next::TooMany => warn!(
                messages,
                most = MOST,
                "too many dead letters to scan; events dead-lettered by the broker are not counted"
            ),
            Next::Look => {
                self.looking.store(true, Ordering::Relaxed);
                tokio::spawn(Arc::clone(self).look());
            }
        }
    }

    async fn look(self: Arc<Self>) {
        let began = Timestamp::now();
        let looked = self.go_through().await;
        let complete = *looked.as_ref().unwrap_or(&false);
        lock(&self.tally).end(began, complete);
        lock(&self.growth).looked(complete);
        if let Err(error) = looked {
            debug!(error = &error as &dyn std::error::Error, "could not scan the dead letters; retrying later");
        }
        self.looking.store(false, Ordering::Relaxed);
    }

    /// Scans the dead letters. Returns true if all of them have been seen.
    async fn go_through(&self) -> Result<bool, DeadLetterError> {
        let hindered = AtomicBool::new(false);
        let notice = |_: &str| hindered.store(true, Ordering::Relaxed);
        let Ok(opened) = timeout(TURN, self.queue.open(&notice)).await else { return Ok(false) };
        let mut letters = opened?;
        // An operator's command is running, or other consumers hold dead letters. The scan would be incomplete, and the
        // operator has priority.
        let read = if hindered.load(Ordering::Relaxed) { Ok(false) } else { self.read(&mut *letters).await };
        let closed = letters.close().await;
        let complete = read?;
        closed?;
        Ok(complete)
    }

    async fn read(&self, letters: &mut dyn DeadLetters) -> Result<bool, DeadLetterError> {
        let (start, mut found, mut seen) = (Instant::now(), CountedEvents::default(), 0);
        let complete = loop {
            let window = letters.next().await?;
            if window.is_empty() {
                break true;
            }
            seen += window.len() as u64;
            for letter in &window {
                self.count(letter, &mut found);
            }
            if seen >= MOST || start.elapsed() >= LONGEST {
                break seen >= letters.total();
            }
        };
        if found != CountedEvents::default() {
            let CountedEvents { delivery_limit, expired } = found;
            warn!(
                delivery_limit,
                expired, "the broker dead-lettered events by itself; see `handoffd dead-letters list`"
            );
        }
        Ok(complete)
    }

    fn count(&self, letter: &DeadLetter, found: &mut CountedEvents) {
        let Some(death) = letter.broker_death() else { return };
        if !lock(&self.tally).is_new(letter, death) {
            return;
        }
        match death.reason {
            Reason::Expired => found.expired += 1,
            _ => found.delivery_limit += 1,
        }
        self.metrics.record(Measurement::DeadLettered(death.reason));
    }
}

impl Drop for CopyGuard<'_> {
    fn drop(&mut self) {
        self.0.finished.fetch_add(1, Ordering::Relaxed);
    }
}

/// Number of events counted by a scan.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct CountedEvents {
    delivery_limit: u64,
    expired: u64,
}
