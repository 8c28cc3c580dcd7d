//! One run: the worker with a broker, a store and a cloud, until all events are finished.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handoffd_engine::event::{EventKey, Limits, OrganizationId};
use handoffd_engine::memory_store::MemoryStore;
use handoffd_engine::ports::bus::Bus;
use handoffd_engine::ports::fleet::{Fleet, SoloFleet};
use handoffd_engine::ports::metrics::NoMetrics;
use handoffd_engine::ports::store::Store;
use handoffd_engine::worker::{Worker, WorkerDeps, WorkerSettings};
use handoffd_engine::workflow::{Phase, Policy};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::broker::{Broker, DELAYS};
use super::broker_faults;
use super::bus::FakeBus;
use super::checks;
use super::destination::{Destinations, FakeCrm};
use super::destinations::Windows;
use super::fleet_table::FleetTable;
use super::ledger::Ledger;
use super::people::{operator, reps};
use super::scene::{Diary, ProcessLife, RunContext, TROUBLE_ENDS};
use super::script::{Poison, Publication, added, organizations, publications};
use super::spans::{KnownSpans, Spans};
use super::store::FakeStore;

/// Limit on a run. Unfinished events after it are lost.
pub const LONGEST_RUN: Duration = Duration::from_secs(48 * 3600);

/// Limit on losses of the store in a run that has any. Without it an event that ends the process could do so for days.
const MOST_LOSSES: u32 = 3;

/// Interval of the checks for completion.
pub const LOOK: Duration = Duration::from_secs(60);

/// End of publications and of people's activity.
pub const ACTIVITY_ENDS: Duration = Duration::from_secs(3700);

/// Time granted to a worker to stop.
pub const STOP: Duration = Duration::from_secs(600);

/// Result of a run.
pub struct Report {
    /// Violated invariants.
    pub broken: Vec<String>,
    pub diary: Vec<String>,
}

/// State of a run.
pub struct World {
    pub scene: Arc<RunContext>,
    pub broker: Arc<Broker>,
    pub cloud: Arc<Destinations>,
    pub publications: Vec<Publication>,
    pub memory: Arc<MemoryStore>,
    /// True if the whole store was lost at some point.
    pub lost: bool,
    /// Problems found in the state that a process left behind.
    pub left_behind: Vec<String>,
    /// Remaining losses of the store. Each loss also forgets the deaths caused by an event.
    losses: u32,
    pub rules: WorkerSettings,
    /// Owners of organizations, if several workers share broker and store.
    pub owners: Option<Arc<FleetTable>>,
}

/// Process of the worker.
pub struct Process {
    pub life: ProcessLife,
    pub bus: Arc<FakeBus>,
    pub worker: Arc<Worker>,
    pub run: JoinHandle<()>,
}

/// Runs a seed.
pub fn run(seed: u64, diary: Diary) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(seed, diary);
        let finished = world.play().await;
        let mut broken = checks::all(&world);
        if !finished {
            broken.push(format!("unfinished after {LONGEST_RUN:?}: {:?}", world.broker.unfinished()));
        }
        Report { broken, diary: world.scene.diary() }
    })
}

impl World {
    pub fn new(seed: u64, diary: Diary) -> Self {
        let scene = RunContext::new(seed, diary);
        let (organizations, environments) = organizations(&scene);
        let names: Vec<OrganizationId> = organizations.keys().cloned().collect();
        let added = added(&scene, &names);
        let publications = publications(&scene, &names, &added);
        let cursed: BTreeMap<_, _> =
            publications.iter().filter_map(|publication| publication.content.cursed()).collect();
        // An event to be given up must not delay the run, or its session, for a day.
        let panics = cursed.values().any(|curse| *curse == Poison::Panics);
        let oldest = scene.pick(if panics { &[1800] } else { &[1800, 7200, 86400] });
        let policy = Policy { in_process: 3, delays: DELAYS.to_vec(), max_age: Duration::from_secs(oldest) };
        let there = names.iter().filter(|name| !added.contains_key(*name)).cloned().collect();
        let broker = Broker::new(scene.clone(), Windows::new(&scene, &names), there);
        let rules = WorkerSettings {
            limits: Limits { max_event_bytes: 1 << 20 },
            policy,
            contact_ttl: Duration::from_secs(scene.pick(&[300, 86400])),
            prefetch: scene.pick(&[1, 4, 24, 72]),
        };
        let cloud = Destinations {
            spans: Spans::new(&scene, &names),
            scene: scene.clone(),
            organizations,
            environments: Mutex::new(environments),
            asked: Mutex::default(),
            cursed,
            held: Mutex::default(),
            added,
            ledger: Ledger::new(&scene),
        };
        let losses = if scene.happens(0.15) { MOST_LOSSES } else { 0 };
        Self {
            broker,
            scene,
            cloud: Arc::new(cloud),
            publications,
            memory: Arc::default(),
            lost: false,
            left_behind: Vec::new(),
            losses,
            rules,
            owners: None,
        }
    }

    /// Runs the simulation. Returns true if all events finished in time.
    async fn play(&mut self) -> bool {
        self.begin();
        let mut endings: Vec<Duration> =
            (0..self.scene.below(4)).map(|_| TROUBLE_ENDS.mul_f64(self.scene.random())).collect();
        endings.sort();
        let mut process = self.start();
        while self.scene.elapsed() < LONGEST_RUN {
            let until_the_next = endings.first().map(|at| at.saturating_sub(self.scene.elapsed()));
            let patience = until_the_next.unwrap_or(LOOK).min(LOOK);
            if timeout(patience, process.life.death()).await.is_ok() {
                process = self.restart().await;
            } else if endings.first().is_some_and(|at| *at <= self.scene.elapsed()) {
                endings.remove(0);
                process = self.end(process).await;
            }
            self.broker.inspect();
            if self.scene.elapsed() > ACTIVITY_ENDS && self.broker.unfinished() == [0; 5] {
                return true;
            }
        }
        false
    }

    /// Starts everything around the worker.
    pub fn begin(&self) {
        if self.scene.happens(0.6) {
            self.broker.have_queues();
        }
        self.broker.connect();
        tokio::spawn(broker_faults::publish(self.broker.clone(), self.publish_all()));
        tokio::spawn(broker_faults::breaks(self.broker.clone()));
        broker_faults::kills(&self.broker, &self.cloud);
        broker_faults::edges(&self.broker);
        broker_faults::additions(&self.broker, &self.cloud);
        tokio::spawn(reps(self.broker.clone(), self.cloud.clone()));
        tokio::spawn(operator(self.broker.clone(), self.cloud.clone()));
    }

    fn publish_all(&self) -> Vec<(Duration, super::message::Message)> {
        self.publications.iter().map(|publication| (publication.at, publication.message.clone())).collect()
    }

    fn start(&self) -> Process {
        self.start_with(ProcessLife::new(self.scene.clone()), Arc::new(SoloFleet::new()))
    }

    /// Starts a process that is a member of a fleet.
    pub fn start_with(&self, life: ProcessLife, fleet: Arc<dyn Fleet>) -> Process {
        let bus = Arc::new(FakeBus { broker: self.broker.clone(), life: life.clone() });
        let store = FakeStore {
            scene: self.scene.clone(),
            life: life.clone(),
            memory: self.memory.clone(),
            ledger: self.cloud.ledger.clone(),
            is_shared: self.owners.is_some(),
            flaw: self.broker.flaw,
        };
        let (known, refused) = (KnownSpans::default(), Mutex::default());
        let crm = FakeCrm {
            cloud: self.cloud.clone(),
            life: life.clone(),
            known,
            refused,
            fleet: fleet.clone(),
            owners: self.owners.clone(),
        };
        let deps = WorkerDeps {
            store: Arc::new(store),
            bus: bus.clone(),
            destination: Arc::new(crm),
            fleet,
            metrics: Arc::new(NoMetrics),
            tracker: Arc::default(),
        };
        let worker = Worker::new(deps, self.rules.clone(), self.scene.chance());
        self.scene.log(|| "a process starts".to_owned());
        let run = tokio::spawn(worker.clone().run());
        Process { life, bus, worker, run }
    }

    /// Ends a process between calls, whatever the worker is waiting for: by a crash, or by an orderly stop.
    async fn end(&mut self, process: Process) -> Process {
        if self.scene.happens(0.3) {
            self.stop(&process).await;
        } else if self.scene.may_crash() {
            self.scene.log(|| "CRASH between calls".to_owned());
        } else {
            return process;
        }
        process.life.end();
        self.restart().await
    }

    async fn stop(&mut self, process: &Process) {
        let disconnections = self.broker.look(|state| state.notes.disconnections);
        self.scene.log(|| "the process is stopped".to_owned());
        process.worker.stop_pausing();
        process.bus.stop().await;
        let death = process.life.death();
        let run = async {
            while !process.run.is_finished() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let in_time = tokio::select! {
            biased;
            in_time = timeout(STOP, run) => in_time.is_ok(),
            () = death => return,
        };
        let undisturbed = disconnections == self.broker.look(|state| state.notes.disconnections);
        let flying = self.broker.look(|state| state.flying.len());
        if !in_time || (flying > 0 && undisturbed && self.scene.panics() == 0) {
            self.left_behind.push(format!("stopped (in time: {in_time}) with {flying} unacked messages"));
        }
    }

    /// Starts another process on the state that survived the death of the last one.
    async fn restart(&mut self) -> Process {
        self.broker.disconnect("the process died");
        if self.scene.happens(0.5) {
            // Either all notes reached the disk in time, or none did.
            self.memory.close().await.unwrap();
        }
        self.memory.crash();
        self.examine().await;
        if self.losses > 0 && self.scene.happens(0.5) {
            self.losses -= 1;
            self.scene.log(|| "THE STORE IS LOST".to_owned());
            self.memory = Arc::default();
            self.cloud.ledger.forget();
            self.lost = true;
        }
        self.scene.sleep_up_to(Duration::from_secs(30)).await;
        self.start()
    }

    /// Checks that at most one of the events in flight at the death of a process was being processed in isolation.
    pub async fn examine(&mut self) {
        if !self.scene.kept_everything() {
            return;
        }
        let mut alone: BTreeMap<u64, BTreeSet<EventKey>> = BTreeMap::new();
        for key in self.publications.iter().flat_map(|publication| publication.content.keys()) {
            let record = self.memory.record(&key).await.unwrap();
            if let Some(Phase::Quarantined { life, deaths: 2.., waiting: false, .. }) = record.map(|it| it.phase) {
                alone.entry(life).or_default().insert(key);
            }
        }
        let several = alone.into_values().filter(|events| events.len() > 1);
        self.left_behind.extend(several.map(|events| format!("several events in isolation at once: {events:?}")));
    }
}
