//! One run: the worker over the broker, the store and the cloud, until all is quiet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handoffd::bus::Bus;
use handoffd::event::{EventKey, Limits, OrganizationId};
use handoffd::machine::{Phase, Policy};
use handoffd::store::Store;
use handoffd::store::memory::MemoryStore;
use handoffd::watch::Blind;
use handoffd::worker::{Rules, Tools, Worker};
use tokio::time::{sleep, timeout};

use super::broker::{Broker, DELAYS};
use super::bus::FakeBus;
use super::checks;
use super::crm::{Cloud, FakeCrm};
use super::reps::reps;
use super::scene::{Diary, Life, Scene, TROUBLE_ENDS};
use super::script::{Curse, Publication, organizations, publications};
use super::store::FakeStore;

/// A run that is not quiet by then has lost something.
const LONGEST_RUN: Duration = Duration::from_secs(48 * 3600);

/// How often it is looked whether all is quiet.
const LOOK: Duration = Duration::from_secs(60);

/// By then everything has been published, and the reps have gone home.
const EVENING: Duration = Duration::from_secs(3700);

/// What a run came to.
pub struct Report {
    /// Which invariants did not hold, and for what.
    pub broken: Vec<String>,
    pub diary: Vec<String>,
}

/// Everything of one run.
pub struct World {
    pub scene: Arc<Scene>,
    pub broker: Arc<Broker>,
    pub cloud: Arc<Cloud>,
    pub publications: Vec<Publication>,
    pub memory: Arc<MemoryStore>,
    /// Whether the store was lost as a whole.
    pub lost: bool,
    /// What was wrong with what a process has left behind.
    pub crowded: Vec<String>,
    forgetful: bool,
    rules: Rules,
}

/// Plays a seed.
pub fn run(seed: u64, diary: Diary) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(seed, diary);
        let quiet = world.play().await;
        let mut broken = checks::all(&world);
        if !quiet {
            broken.push(format!("not quiet after {LONGEST_RUN:?}: {:?} unfinished", world.broker.unfinished()));
        }
        Report { broken, diary: world.scene.diary() }
    })
}

impl World {
    fn new(seed: u64, diary: Diary) -> Self {
        let scene = Scene::new(seed, diary);
        let (organizations, environments) = organizations(&scene);
        let names: Vec<OrganizationId> = organizations.keys().cloned().collect();
        let publications = publications(&scene, &names);
        let cursed: BTreeMap<_, _> =
            publications.iter().filter_map(|publication| publication.content.cursed()).collect();
        // What waits to be given up must not hold up a run, or its session, for a day.
        let panics = cursed.values().any(|curse| *curse == Curse::Panics);
        let blocked = environments.values().any(|environment| environment.profile.blocked);
        let oldest = scene.pick(if blocked || panics { &[1800] } else { &[7200, 86400] });
        let policy = Policy { in_process: 3, delays: DELAYS.to_vec(), max_age: Duration::from_secs(oldest) };
        let broker = Broker::new(scene.clone());
        let rules = Rules {
            limits: Limits { max_event_bytes: 1 << 20 },
            policy,
            contact_ttl: Duration::from_secs(scene.pick(&[300, 86400])),
            prefetch: broker.prefetch,
        };
        let environments = Mutex::new(environments);
        let cloud = Cloud { scene: scene.clone(), organizations, environments, asked: Mutex::default(), cursed };
        let forgetful = scene.happens(0.15);
        Self {
            broker,
            scene,
            cloud: Arc::new(cloud),
            publications,
            memory: Arc::default(),
            lost: false,
            crowded: Vec::new(),
            forgetful,
            rules,
        }
    }

    /// Whether it became quiet in time.
    async fn play(&mut self) -> bool {
        tokio::spawn(publish(self.broker.clone(), self.publish_all()));
        tokio::spawn(weather(self.broker.clone()));
        tokio::spawn(reps(self.broker.clone(), self.cloud.clone()));
        let mut lightning: Vec<Duration> =
            (0..self.scene.below(3)).map(|_| TROUBLE_ENDS.mul_f64(self.scene.lot())).collect();
        lightning.sort();
        let mut life = self.start().await;
        while self.scene.elapsed() < LONGEST_RUN {
            let until_the_next = lightning.first().map(|at| at.saturating_sub(self.scene.elapsed()));
            let patience = until_the_next.unwrap_or(LOOK).min(LOOK);
            if timeout(patience, life.death()).await.is_ok() {
                life = self.restart().await;
            } else if lightning.first().is_some_and(|at| *at <= self.scene.elapsed()) {
                lightning.remove(0);
                // Whatever the worker was waiting for: not only at a call does a process die.
                self.scene.tell(|| "CRASH out of the blue".to_owned());
                life.end();
                life = self.restart().await;
            }
            if self.scene.elapsed() > EVENING && self.broker.unfinished() == (0, 0, 0) {
                return true;
            }
        }
        false
    }

    fn publish_all(&self) -> Vec<(Duration, super::broker::Message)> {
        self.publications.iter().map(|publication| (publication.at, publication.message.clone())).collect()
    }

    async fn start(&self) -> Life {
        let life = Life::new(self.scene.clone());
        let bus = Arc::new(FakeBus { broker: self.broker.clone(), life: life.clone() });
        let store = FakeStore { scene: self.scene.clone(), life: life.clone(), memory: self.memory.clone() };
        let tools = Tools {
            store: Arc::new(store),
            bus: bus.clone(),
            crm: Arc::new(FakeCrm { cloud: self.cloud.clone(), life: life.clone() }),
            watch: Arc::new(Blind),
        };
        let worker = Worker::new(tools, self.rules.clone(), self.scene.chance());
        let deliveries = bus.deliveries().await;
        tokio::spawn(worker.run(deliveries));
        life
    }

    /// The process has died: another one starts on what has survived.
    async fn restart(&mut self) -> Life {
        self.broker.disconnect("the process died");
        // Who waits for an event that never got its turn is not written down.
        self.broker.look(|queues| queues.put_off.retain(|_, put_off| put_off.tried));
        if self.scene.happens(0.5) {
            // All notes have reached the disk in time; else, none has.
            self.memory.close().await.unwrap();
        }
        self.memory.crash();
        self.examine().await;
        if self.forgetful && self.scene.happens(0.5) {
            self.scene.tell(|| "THE STORE IS LOST".to_owned());
            self.memory = Arc::default();
            self.lost = true;
        }
        self.scene.dawdle(Duration::from_secs(30)).await;
        self.start().await
    }
}

impl World {
    /// Of those that a process had in hand when it died, one at most may have been on trial.
    async fn examine(&mut self) {
        if !self.scene.kept_everything() {
            return;
        }
        let mut on_trial: BTreeMap<u64, BTreeSet<EventKey>> = BTreeMap::new();
        for key in self.publications.iter().flat_map(|publication| publication.content.keys()) {
            let record = self.memory.record(&key).await.unwrap();
            if let Some(Phase::Quarantined { life, .. }) = record.map(|record| record.phase) {
                on_trial.entry(life).or_default().insert(key);
            }
        }
        let several = on_trial.into_values().filter(|events| events.len() > 1);
        self.crowded.extend(several.map(|events| format!("on trial at once: {events:?}")));
    }
}

async fn publish(broker: Arc<Broker>, publications: Vec<(Duration, super::broker::Message)>) {
    for (at, message) in publications {
        sleep(at.saturating_sub(broker.scene.elapsed())).await;
        broker.scene.tell(|| format!("published {}", String::from_utf8_lossy(&message.body)));
        broker.publish(message);
    }
}

/// Now and then the connection breaks while nothing is asked of it.
async fn weather(broker: Arc<Broker>) {
    for _ in 0..broker.scene.below(4) {
        broker.scene.dawdle(TROUBLE_ENDS / 3).await;
        broker.disconnect("the weather");
    }
}
