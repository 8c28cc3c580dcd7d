//! In: the depth of the dead-letter queue, every few seconds; each copy that this worker puts there.
//! Out: a measurement for each event that the broker dead-lettered by itself.
//! Absent: what a dead letter means, and what is done about it.
//!
//! The broker gives up events without a word to anybody: delivered too often, expired. The worker finds out afterwards, and
//! as cheaply as it can, because each look through the queue counts as a delivery of every letter in it. It looks only after
//! the queue has grown by more than this worker has put there ([`rise`]), at most once a minute, and never through more than
//! [`MOST`] letters. Counted is what died since the last look and was not in it ([`tally`]).
//!
//! Limits: a letter that an operator takes out before the look is not counted; one that comes within a minute after letters
//! were taken out may be counted only with the next look. Other workers' copies make this one look, without counting them;
//! what the broker gave up is counted by each worker.

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
use self::tally::Tally;
use super::letters::{RabbitDeadLetterQueue, Window};
use super::lock;
use super::options::Options;

/// Most letters that a look goes through: with more in the queue there is none. Some two seconds, and two windows of memory.
const MOST: u64 = 10_000;
/// For an operator's look to end, and the connection to come up.
const TURN: Duration = Duration::from_secs(5);
/// A look that takes longer is ended where it is.
const LONGEST: Duration = Duration::from_secs(20);
/// Letters taken at a time: few at first, for they may be a mebibyte each.
const WINDOW: Window = Window { first: 16, most: 512 };

/// Counts events that the broker dead-letters by itself.
pub(super) struct BrokerDeaths {
    name: String,
    queue: RabbitDeadLetterQueue,
    watch: Arc<dyn Metrics>,
    begun: AtomicU64,
    finished: AtomicU64,
    growth: Mutex<Growth>,
    tally: Mutex<Tally>,
    looking: AtomicBool,
}

/// A copy of this worker's on its way into the dead-letter queue; dropped once its fate is known.
pub(super) struct Copying<'a>(&'a BrokerDeaths);

/// Number of own copies in the queue for certain, taken before its depth is asked for.
pub(super) struct Asked(u64);

impl BrokerDeaths {
    /// For the dead-letter queue that these options name.
    pub(super) fn new(options: &Options, watch: Arc<dyn Metrics>) -> Self {
        Self {
            name: options.dead_letter_queue.clone(),
            queue: RabbitDeadLetterQueue::new(options.clone()).with_window(WINDOW),
            watch,
            begun: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            growth: Mutex::default(),
            tally: Mutex::new(Tally::new(Timestamp::now())),
            looking: AtomicBool::new(false),
        }
    }

    /// To be held while a copy is published into the dead-letter queue.
    pub(super) fn copying(&self) -> Copying<'_> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        Copying(self)
    }

    /// To be called before the depth is asked for.
    pub(super) fn asks(&self) -> Asked {
        Asked(self.finished.load(Ordering::Relaxed))
    }

    /// Takes the depth of a queue; of the dead-letter queue's, looks through it in the background where there is reason to.
    pub(super) fn saw(self: &Arc<Self>, queue: &str, Asked(finished): Asked, messages: u32) {
        // Meanwhile this worker itself holds letters.
        if queue != self.name || self.looking.load(Ordering::Relaxed) {
            return;
        }
        let begun = self.begun.load(Ordering::Relaxed);
        let depth = Depth { messages: messages.into(), begun, finished };
        match lock(&self.growth).observe(Instant::now(), depth, MOST) {
            Next::Nothing => {}
            Next::TooMany => warn!(
                messages,
                most = MOST,
                "too many dead letters to look through: those that the broker made are not counted"
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
            debug!(
                error = &error as &dyn std::error::Error,
                "could not look through the dead letters; trying again later"
            );
        }
        self.looking.store(false, Ordering::Relaxed);
    }

    /// Goes through the letters; true when all of them have been seen.
    async fn go_through(&self) -> Result<bool, DeadLetterError> {
        let hindered = AtomicBool::new(false);
        let notice = |_: &str| hindered.store(true, Ordering::Relaxed);
        let Ok(opened) = timeout(TURN, self.queue.open(&notice)).await else { return Ok(false) };
        let mut letters = opened?;
        // An operator is at work, or others hold letters: what is seen now is not all, and they come first.
        let read = if hindered.load(Ordering::Relaxed) { Ok(false) } else { self.read(&mut *letters).await };
        let closed = letters.close().await;
        let complete = read?;
        closed?;
        Ok(complete)
    }

    async fn read(&self, letters: &mut dyn DeadLetters) -> Result<bool, DeadLetterError> {
        let (start, mut found, mut seen) = (Instant::now(), Found::default(), 0);
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
        if found != Found::default() {
            let Found { delivery_limit, expired } = found;
            warn!(
                delivery_limit,
                expired, "the broker dead-lettered events by itself; see `handoffd dead-letters list`"
            );
        }
        Ok(complete)
    }

    fn count(&self, letter: &DeadLetter, found: &mut Found) {
        let Some(death) = letter.broker_death() else { return };
        if !lock(&self.tally).is_new(letter, death) {
            return;
        }
        match death.reason {
            Reason::Expired => found.expired += 1,
            _ => found.delivery_limit += 1,
        }
        self.watch.record(Measurement::DeadLettered(death.reason));
    }
}

impl Drop for Copying<'_> {
    fn drop(&mut self) {
        self.0.finished.fetch_add(1, Ordering::Relaxed);
    }
}

/// Events that a look has counted.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Found {
    delivery_limit: u64,
    expired: u64,
}
