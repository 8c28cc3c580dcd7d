//! Ledger of durable decisions, used to detect requests that should not have followed them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handoffd_engine::event::{Event, EventKey};
use handoffd_engine::workflow::{Phase, Record};

use super::scene::RunContext;
use super::spans::Span;

/// Limit on requests of one event in a span of unavailability: one discovers it, others may be sent by a copy of the event.
const PROBES: u32 = 3;

/// Durable decisions on events.
pub struct Ledger {
    scene: Arc<RunContext>,
    decided: Mutex<BTreeMap<EventKey, Decided>>,
    /// Times of the first and the last decision on an event.
    times: Mutex<BTreeMap<EventKey, (Duration, Duration)>>,
    /// Events that were given up and have sent no requests since.
    restarted: Mutex<BTreeSet<EventKey>>,
    broken: Mutex<BTreeSet<String>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Decided {
    Finished,
    /// The dead letter may not be in the dead-letter queue yet.
    Dead,
    /// The event may be delivered again, and then starts over.
    Settled,
}

impl Ledger {
    pub fn new(scene: &Arc<RunContext>) -> Arc<Self> {
        Arc::new(Self {
            scene: scene.clone(),
            decided: Mutex::default(),
            times: Mutex::default(),
            restarted: Mutex::default(),
            broken: Mutex::default(),
        })
    }

    /// Notes that a record is durable.
    pub fn keeps(&self, key: &EventKey, record: &Record) {
        let mut all = self.decided.lock().unwrap();
        let decided = match &record.phase {
            Phase::Finished(_) => Decided::Finished,
            Phase::Dead(_) if record.settled => Decided::Settled,
            Phase::Dead(_) => Decided::Dead,
            _ => {
                if let Some(known @ (Decided::Finished | Decided::Dead)) = all.remove(key) {
                    self.breaks(format!("{key:?}: processed again after it was decided: {known:?}"));
                }
                return;
            }
        };
        all.insert(key.clone(), decided);
        if decided == Decided::Settled {
            self.restarted.lock().unwrap().insert(key.clone());
        }
    }

    /// Notes that a record is being written: it may reach the disk even if the process dies.
    pub fn writes(&self, key: &EventKey, record: &Record) {
        if record.outcome().is_some() {
            let now = self.scene.elapsed();
            self.times.lock().unwrap().entry(key.clone()).or_insert((now, now)).1 = now;
        }
        if record.settled {
            self.decided.lock().unwrap().insert(key.clone(), Decided::Settled);
        }
    }

    /// Returns the times of the first and the last decision on an event, if any.
    pub fn decided(&self, key: &EventKey) -> Option<(Duration, Duration)> {
        self.times.lock().unwrap().get(key).copied()
    }

    /// Notes that an operator replays the event's dead letter.
    pub fn replayed(&self, key: &EventKey) {
        let mut all = self.decided.lock().unwrap();
        if let Some(decided @ Decided::Dead) = all.get_mut(key) {
            *decided = Decided::Settled;
        }
    }

    /// Notes that the store is lost.
    pub fn forget(&self) {
        self.decided.lock().unwrap().clear();
    }

    /// Notes a request of an event. Returns true if it is the first since the event was given up.
    pub fn asks(&self, key: &EventKey) -> bool {
        let decided = self.decided.lock().unwrap().get(key).copied();
        if let Some(known @ (Decided::Finished | Decided::Dead)) = decided {
            self.breaks(format!("{key:?}: a request after it was decided: {known:?}"));
        }
        let mut reborn = self.restarted.lock().unwrap();
        reborn.remove(key)
    }

    /// Notes a request of an event in a span in which its organization can't take any.
    pub fn refused(&self, event: &Event, span: Span, often: u32) {
        if often > PROBES {
            self.breaks(format!("{:?}: repeated requests in {span:?}", event.key));
        }
    }

    pub fn broken(&self) -> Vec<String> {
        self.broken.lock().unwrap().iter().cloned().collect()
    }

    fn breaks(&self, what: String) {
        self.scene.log(|| format!("BROKEN: {what}"));
        self.broken.lock().unwrap().insert(what);
    }
}
