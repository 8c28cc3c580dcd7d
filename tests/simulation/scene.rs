//! Clock, dice and diary of one run: everything in it follows from the seed.

use std::future::pending;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handoffd_engine::event::OrganizationId;
use handoffd_engine::worker::Chance;
use jiff::{SignedDuration, Timestamp};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

/// How long things go wrong: after it, everything works, so that every event must come to its end.
pub const TROUBLE_ENDS: Duration = Duration::from_secs(1200);

/// Most deaths of the process in one run that no event is to blame for: fewer than those after which an event is given up.
const MOST_CRASHES: u32 = 5;

/// Whether a run writes down what happens: that takes longer than the run itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Diary {
    /// Every line of it.
    Kept,
    /// Nothing.
    Not,
}

/// What all parts of a run share.
pub struct Scene {
    dice: Mutex<SmallRng>,
    diary: Option<Mutex<Vec<String>>>,
    begun: Instant,
    crashes: AtomicU32,
    hiccups: AtomicU32,
    panics: AtomicU32,
    /// When the worker's clock is set, and by how many seconds.
    jumps: Vec<(Duration, i64)>,
    /// How likely the process dies at a call.
    fragility: f64,
    /// Decides how much room organizations have.
    rooms: u64,
    /// The store fails for a while.
    store_fails: Range<Duration>,
}

impl Scene {
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
            fragility,
            rooms,
        })
    }

    /// Since the run began.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    pub fn now(&self) -> Timestamp {
        let begun: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let elapsed = Duration::from_millis(u64::try_from(self.elapsed().as_millis()).unwrap());
        let set: i64 = self.jumps.iter().filter(|(at, _)| *at <= self.elapsed()).map(|(_, by)| by).sum();
        begun.saturating_add(elapsed).unwrap().saturating_add(SignedDuration::from_secs(set)).unwrap()
    }

    /// Whether the worker's clock is never set.
    pub fn clock_is_right(&self) -> bool {
        self.jumps.is_empty()
    }

    /// A defect of the worker's, met in here. Nobody's hook hears of it.
    pub fn may_panic(&self, probability: f64) {
        if self.fails(probability) {
            self.panics.fetch_add(1, Ordering::Relaxed);
            self.tell(|| "PANIC".to_owned());
            resume_unwind(Box::new("the dice"));
        }
    }

    /// How often the worker has panicked.
    pub fn panics(&self) -> u32 {
        self.panics.load(Ordering::Relaxed)
    }

    /// The worker's clock and dice.
    pub fn chance(self: &Arc<Self>) -> Chance {
        let (clock, dice) = (self.clone(), self.clone());
        Chance { now: Arc::new(move || clock.now()), dice: Arc::new(move || dice.lot()) }
    }

    /// A number from 0 to 1.
    pub fn lot(&self) -> f64 {
        self.dice.lock().unwrap().random()
    }

    /// Whether something of this probability happens.
    pub fn happens(&self, probability: f64) -> bool {
        self.lot() < probability
    }

    /// Whether something goes wrong; nothing does once the trouble has ended.
    pub fn fails(&self, probability: f64) -> bool {
        self.happens(probability) && self.elapsed() < TROUBLE_ENDS
    }

    /// Whether the store fails: by the dice now and then, and for a while in some runs.
    pub fn store_fails(&self, probability: f64) -> bool {
        let hiccup = self.fails(probability);
        self.hiccups.fetch_add(u32::from(hiccup), Ordering::Relaxed);
        hiccup || self.store_fails.contains(&self.elapsed())
    }

    /// Counts a death of the process that no event is to blame for; false when there were enough.
    pub fn may_crash(&self) -> bool {
        self.crashes.fetch_add(1, Ordering::Relaxed) < MOST_CRASHES
    }

    /// How often the store has failed by the dice.
    pub fn hiccups(&self) -> u32 {
        self.hiccups.load(Ordering::Relaxed)
    }

    /// Whether the store never failed, and the worker met no defect: then all that it has put off is on record.
    pub fn kept_everything(&self) -> bool {
        self.hiccups() == 0 && self.store_fails.is_empty() && self.panics() == 0
    }

    /// A number below `limit`.
    pub fn below(&self, limit: usize) -> usize {
        self.dice.lock().unwrap().random_range(0..limit)
    }

    pub fn pick<T: Copy>(&self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Number of its events that an organization has room for: another one every half minute.
    pub fn room(&self, organization: &OrganizationId) -> usize {
        let mut hasher = DefaultHasher::new();
        (self.rooms, organization.as_str(), self.elapsed().as_secs() / 30).hash(&mut hasher);
        [1, 4, 16, 64][usize::try_from(hasher.finish() % 4).unwrap()]
    }

    /// Lets up to this much time pass.
    pub async fn dawdle(&self, longest: Duration) {
        sleep(longest.mul_f64(self.lot())).await;
    }

    /// Writes down what happened.
    pub fn tell(&self, what: impl FnOnce() -> String) {
        if let Some(diary) = &self.diary {
            let line = format!("{:>12.3} {}", self.elapsed().as_secs_f64(), what());
            diary.lock().unwrap().push(line);
        }
    }

    pub fn diary(&self) -> Vec<String> {
        self.diary.as_ref().map(|diary| diary.lock().unwrap().clone()).unwrap_or_default()
    }
}

/// One life of the worker's process. What it asks for after its death is never answered, so all of its tasks stop
/// where they stand, as those of a killed process do.
#[derive(Clone)]
pub struct Life {
    scene: Arc<Scene>,
    over: Arc<AtomicBool>,
    stopped: Arc<AtomicBool>,
    died: Arc<Notify>,
}

impl Life {
    pub fn new(scene: Arc<Scene>) -> Self {
        Self { scene, over: Arc::default(), stopped: Arc::default(), died: Arc::default() }
    }

    /// Every call behind a seam passes here, before and after its effect: here the process may die.
    pub async fn pass(&self, place: &'static str) {
        self.may_die(place);
        self.go_on().await;
    }

    /// The same for a call that returns at once: its caller looks whether the process has died.
    pub fn may_die(&self, place: &'static str) {
        if !self.is_over() && self.scene.fails(self.scene.fragility) && self.scene.may_crash() {
            self.scene.tell(|| format!("CRASH at {place}"));
            self.end();
        }
    }

    /// Ends the process here and now.
    pub async fn kill(&self, why: impl FnOnce() -> String) {
        if !self.is_over() {
            self.scene.tell(why);
            self.end();
        }
        self.go_on().await;
    }

    /// Returns while the process lives, and never after.
    pub async fn go_on(&self) {
        if self.is_over() {
            pending::<()>().await;
        }
    }

    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
        self.died.notify_one();
    }

    /// It consumes no inbox any more.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Waits for the process' death.
    pub async fn death(&self) {
        self.died.notified().await;
    }
}
