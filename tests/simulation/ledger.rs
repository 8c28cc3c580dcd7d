//! What the store was given for good, and the requests that should not have been made after that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handoffd_engine::event::{Event, EventKey};
use handoffd_engine::workflow::{Phase, Record};

use super::scene::Scene;
use super::spans::Span;

/// Most requests of one event in a span in which its organization can't take any: the one that finds out, and one of a copy.
const PROBES: u32 = 3;

/// The ends of events as they became durable.
pub struct Ledger {
    scene: Arc<Scene>,
    decided: Mutex<BTreeMap<EventKey, Decided>>,
    /// When an event was decided for the first time, and for the last.
    times: Mutex<BTreeMap<EventKey, (Duration, Duration)>>,
    /// Those that were given up, and have asked for nothing since.
    reborn: Mutex<BTreeSet<EventKey>>,
    broken: Mutex<BTreeSet<String>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Decided {
    Finished,
    /// Its letter may not lie in the dead-letter queue yet.
    Dead,
    /// It may come again, and starts afresh.
    Settled,
}

impl Ledger {
    pub fn new(scene: &Arc<Scene>) -> Arc<Self> {
        Arc::new(Self {
            scene: scene.clone(),
            decided: Mutex::default(),
            times: Mutex::default(),
            reborn: Mutex::default(),
            broken: Mutex::default(),
        })
    }

    /// A record is durable.
    pub fn keeps(&self, key: &EventKey, record: &Record) {
        let mut all = self.decided.lock().unwrap();
        let decided = match &record.phase {
            Phase::Finished(_) => Decided::Finished,
            Phase::Dead(_) if record.settled => Decided::Settled,
            Phase::Dead(_) => Decided::Dead,
            _ => {
                if let Some(known @ (Decided::Finished | Decided::Dead)) = all.remove(key) {
                    self.breaks(format!("{key:?}: taken up again after it was decided: {known:?}"));
                }
                return;
            }
        };
        all.insert(key.clone(), decided);
        if decided == Decided::Settled {
            self.reborn.lock().unwrap().insert(key.clone());
        }
    }

    /// A record is written: it may be on the disk, whatever becomes of the process.
    pub fn writes(&self, key: &EventKey, record: &Record) {
        if record.outcome().is_some() {
            let now = self.scene.elapsed();
            self.times.lock().unwrap().entry(key.clone()).or_insert((now, now)).1 = now;
        }
        if record.settled {
            self.decided.lock().unwrap().insert(key.clone(), Decided::Settled);
        }
    }

    /// When an event was decided for the first time, and for the last; none when it never was.
    pub fn decided(&self, key: &EventKey) -> Option<(Duration, Duration)> {
        self.times.lock().unwrap().get(key).copied()
    }

    /// An operator replays its dead letter.
    pub fn replayed(&self, key: &EventKey) {
        let mut all = self.decided.lock().unwrap();
        if let Some(decided @ Decided::Dead) = all.get_mut(key) {
            *decided = Decided::Settled;
        }
    }

    /// The store is lost.
    pub fn forget(&self) {
        self.decided.lock().unwrap().clear();
    }

    /// A request is made for an event. Whether it is the first one of another life.
    pub fn asks(&self, key: &EventKey) -> bool {
        let decided = self.decided.lock().unwrap().get(key).copied();
        if let Some(known @ (Decided::Finished | Decided::Dead)) = decided {
            self.breaks(format!("{key:?}: a request after it was decided: {known:?}"));
        }
        let mut reborn = self.reborn.lock().unwrap();
        reborn.remove(key)
    }

    /// A request for an event in a span in which its organization can't take any.
    pub fn refused(&self, event: &Event, span: Span, often: u32) {
        if often > PROBES {
            self.breaks(format!("{:?}: asks again and again in {span:?}", event.key));
        }
    }

    pub fn broken(&self) -> Vec<String> {
        self.broken.lock().unwrap().iter().cloned().collect()
    }

    fn breaks(&self, what: String) {
        self.scene.tell(|| format!("BROKEN: {what}"));
        self.broken.lock().unwrap().insert(what);
    }
}
