//! Clock, random numbers and diary of one run, all derived from the seed.

use std::future::pending;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handoffd_engine::event::OrganizationId;
use handoffd_engine::worker::Clock;
use jiff::{SignedDuration, Timestamp};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// End of the faults. Afterwards everything works, so every event must finish.
pub const TROUBLE_ENDS: Duration = Duration::from_secs(1200);

/// Limit on deaths of the process per run that no event causes; lower than the number after which an event is given up.
const MOST_CRASHES: u32 = 5;

/// Switch for the diary, which takes longer to write than the run itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Diary {
    /// Every line is kept.
    Kept,
    /// No diary is kept.
    Not,
}

/// State shared by all parts of a run.
pub struct RunContext {
    dice: Mutex<SmallRng>,
    diary: Option<Mutex<Vec<String>>>,
    begun: Instant,
    crashes: AtomicU32,
    hiccups: AtomicU32,
    panics: AtomicU32,
    processes: AtomicU32,
    /// True while a shared store can't be reached.
    outage: AtomicBool,
    /// Adjustments of the worker's clock: times, and differences in seconds.
    jumps: Vec<(Duration, i64)>,
    /// Probability that the process dies at a call.
    fragility: f64,
    /// Seed of the capacities of organizations.
    rooms: u64,
    /// Time during which the store fails.
    store_fails: Range<Duration>,
}

impl RunContext {
    pub fn new(seed: u64, diary: Diary) -> Arc<Self> {
        let mut dice = SmallRng::seed_from_u64(seed);
        let fragility = [0.0, 0.001, 0.005, 0.02][dice.random_range(0..4)];
        let rooms = dice.random();
        let (from, length) = (dice.random_range(0..900), [0, 0, 0, 0, 100][dice.random_range(0..5)]);
        let jumps = (0..[0, 0, 1, 3][dice.random_range(0..4)])
            .map(|_| (Duration::from_secs(dice.random_range(0..1200)), dice.random_range(-3600..3600)))
            .collect();
        Arc::new(Self {
            jumps,
            store_fails: Duration::from_secs(from)..Duration::from_secs(from + length),
            dice: Mutex::new(dice),
            diary: (diary == Diary::Kept).then(Mutex::default),
            begun: Instant::now(),
            crashes: AtomicU32::new(0),
            hiccups: AtomicU32::new(0),
            panics: AtomicU32::new(0),
            processes: AtomicU32::new(0),
            outage: AtomicBool::new(false),
            fragility,
            rooms,
        })
    }

    /// Returns the time since the start of the run.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    pub fn now(&self) -> Timestamp {
        let begun: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let elapsed = Duration::from_millis(u64::try_from(self.elapsed().as_millis()).unwrap());
        let set: i64 = self.jumps.iter().filter(|(at, _)| *at <= self.elapsed()).map(|(_, by)| by).sum();
        begun.saturating_add(elapsed).unwrap().saturating_add(SignedDuration::from_secs(set)).unwrap()
    }

    /// Returns true if the worker's clock is never adjusted.
    pub fn clock_is_right(&self) -> bool {
        self.jumps.is_empty()
    }

    /// May panic, as a bug in the worker would. The panic hook is not invoked.
    pub fn may_panic(&self, probability: f64) {
        if self.fails(probability) {
            self.panics.fetch_add(1, Ordering::Relaxed);
            self.log(|| "PANIC".to_owned());
            resume_unwind(Box::new("simulated panic"));
        }
    }

    /// Returns the number of panics of the worker.
    pub fn panics(&self) -> u32 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Returns the worker's clock and random source.
    pub fn chance(self: &Arc<Self>) -> Clock {
        let (clock, dice) = (self.clone(), self.clone());
        Clock { now: Arc::new(move || clock.now()), random: Arc::new(move || dice.random()) }
    }

    /// Returns a random number from 0 to 1.
    pub fn random(&self) -> f64 {
        self.dice.lock().unwrap().random()
    }

    /// Returns true with this probability.
    pub fn happens(&self, probability: f64) -> bool {
        self.random() < probability
    }

    /// Returns true with this probability, but never after the end of the faults.
    pub fn fails(&self, probability: f64) -> bool {
        self.happens(probability) && self.elapsed() < TROUBLE_ENDS
    }

    /// Returns true if the store fails: at random, or throughout a time in some runs.
    pub fn store_fails(&self, probability: f64) -> bool {
        let hiccup = self.fails(probability);
        self.hiccups.fetch_add(u32::from(hiccup), Ordering::Relaxed);
        hiccup || self.is_outage()
    }

    /// Begins or ends an outage of a shared store, which counts as a failure of it.
    pub fn set_outage(&self, is_away: bool) {
        self.hiccups.fetch_add(u32::from(is_away), Ordering::Relaxed);
        self.outage.store(is_away, Ordering::Relaxed);
    }

    /// Returns true while a shared store can't be reached.
    pub fn is_outage(&self) -> bool {
        self.outage.load(Ordering::Relaxed) || self.store_fails.contains(&self.elapsed())
    }

    /// Counts a death of the process that no event causes. Returns false once the limit is reached.
    pub fn may_crash(&self) -> bool {
        self.crashes.fetch_add(1, Ordering::Relaxed) < MOST_CRASHES
    }

    /// Returns the number of random failures of the store.
    pub fn hiccups(&self) -> u32 {
        self.hiccups.load(Ordering::Relaxed)
    }

    /// Returns true if neither the store failed nor the worker panicked, so everything it deferred is on record.
    pub fn kept_everything(&self) -> bool {
        self.hiccups() == 0 && self.store_fails.is_empty() && self.panics() == 0
    }

    /// Returns a random number below `limit`.
    pub fn below(&self, limit: usize) -> usize {
        self.dice.lock().unwrap().random_range(0..limit)
    }

    pub fn pick<T: Copy>(&self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Returns the number of events an organization has capacity for, which changes every half minute.
    pub fn room(&self, organization: &OrganizationId) -> usize {
        let mut hasher = DefaultHasher::new();
        (self.rooms, organization.as_str(), self.elapsed().as_secs() / 30).hash(&mut hasher);
        [1, 4, 16, 64][usize::try_from(hasher.finish() % 4).unwrap()]
    }

    /// Sleeps for a random time up to this.
    pub async fn sleep_up_to(&self, longest: Duration) {
        sleep(longest.mul_f64(self.random())).await;
    }

    /// Adds a line to the diary.
    pub fn log(&self, what: impl FnOnce() -> String) {
        if let Some(diary) = &self.diary {
            let line = format!("{:>12.3} {}", self.elapsed().as_secs_f64(), what());
            diary.lock().unwrap().push(line);
        }
    }

    pub fn diary(&self) -> Vec<String> {
        self.diary.as_ref().map(|diary| diary.lock().unwrap().clone()).unwrap_or_default()
    }
}

/// One process of the worker. Calls after its death are never answered, so all of its tasks stop where they are, as those
/// of a killed process do.
#[derive(Clone)]
pub struct ProcessLife {
    scene: Arc<RunContext>,
    /// Number of the process.
    pub id: u32,
    over: Arc<AtomicBool>,
    stopped: Arc<AtomicBool>,
    died: Arc<Notify>,
    /// True while the process is suspended.
    frozen: Arc<AtomicBool>,
    woken: Arc<Notify>,
    /// Its connection to the broker; a new one after its end.
    connection: Arc<Mutex<CancellationToken>>,
}

impl ProcessLife {
    pub fn new(scene: Arc<RunContext>) -> Self {
        let ended = CancellationToken::new();
        ended.cancel();
        Self {
            id: scene.processes.fetch_add(1, Ordering::Relaxed),
            scene,
            over: Arc::default(),
            stopped: Arc::default(),
            died: Arc::default(),
            frozen: Arc::default(),
            woken: Arc::default(),
            connection: Arc::new(Mutex::new(ended)),
        }
    }

    /// Returns the connection of the process, which ends with the broker's.
    pub fn connection(&self, broker: &CancellationToken) -> CancellationToken {
        let mut connection = self.connection.lock().unwrap();
        if connection.is_cancelled() && !self.is_over() {
            *connection = broker.child_token();
        }
        connection.clone()
    }

    /// Ends the connection of the process alone.
    pub fn cut(&self) {
        self.connection.lock().unwrap().cancel();
    }

    /// Returns true if the process has no connection now.
    pub fn is_cut(&self) -> bool {
        self.connection.lock().unwrap().is_cancelled()
    }

    /// Suspends the process: its calls do not go on.
    pub fn freeze(&self) {
        self.frozen.store(true, Ordering::Relaxed);
    }

    /// Resumes the process.
    pub fn wake(&self) {
        self.frozen.store(false, Ordering::Relaxed);
        self.woken.notify_waiters();
    }

    pub fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Relaxed)
    }

    /// Point before or after the effect of a call at a seam, where the process may die.
    pub async fn pass(&self, place: &'static str) {
        self.may_die(place);
        self.until_dead().await;
    }

    /// Variant of [`ProcessLife::pass`] for calls that return at once; the caller checks for the death of the process.
    pub fn may_die(&self, place: &'static str) {
        if !self.is_over() && self.scene.fails(self.scene.fragility) && self.scene.may_crash() {
            self.scene.log(|| format!("CRASH: {place}"));
            self.end();
        }
    }

    /// Ends the process now.
    pub async fn kill(&self, why: impl FnOnce() -> String) {
        if !self.is_over() {
            self.scene.log(why);
            self.end();
        }
        self.until_dead().await;
    }

    /// Returns if the process is alive and not suspended, otherwise never.
    pub async fn until_dead(&self) {
        while self.is_frozen() && !self.is_over() {
            self.woken.notified().await;
        }
        if self.is_over() {
            pending::<()>().await;
        }
    }

    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
        self.died.notify_one();
    }

    /// Notes that the process no longer consumes its inbox.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Waits for the death of the process.
    pub async fn death(&self) {
        self.died.notified().await;
    }
}
