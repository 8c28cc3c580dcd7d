//! Broker, Dynamics, workers and, for several of them, PostgreSQL, with counters.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::Rng;
use rand::rngs::SmallRng;

use crate::crm::{Crm, organizations};
use crate::owner_watch::OwnerWatch;
use crate::support::broker::Broker;
use crate::support::bus::Bus;
use crate::support::files::Files;
use crate::support::postgres::Postgres;
use crate::support::simulator::QUEUE;
use crate::support::worker::Worker;

/// Lease of several workers, in seconds.
pub const LEASE_S: u64 = 5;
/// Heartbeat of the connections to the broker, in seconds.
pub const HEARTBEAT_S: u64 = 5;
/// Longest wait for an answer of Dynamics, in seconds.
pub const REQUEST_S: u64 = 2;
/// Time in which a worker that stops ends what is in progress, in seconds.
pub const DRAIN_S: u64 = 3;
/// Largest number of concurrent requests of an organization with several workers: a few, so that the limit is reached.
pub const CONCURRENCY: usize = 3;

/// Name of the worker at a place.
pub fn name(place: usize) -> String {
    format!("worker-{place}")
}

/// Running components. Stopped when dropped.
pub struct Stage {
    /// Worker of each place.
    workers: Mutex<Vec<Arc<Worker>>>,
    /// Store of several workers.
    pub postgres: Option<Arc<Postgres>>,
    /// Owners of organizations, as several workers change them.
    pub owners: Arc<OwnerWatch>,
    /// Simulated Dynamics.
    pub crm: Crm,
    /// RabbitMQ.
    pub broker: Arc<Broker>,
    /// Configuration of the worker.
    pub files: Files,
    /// Counters of failures.
    pub counts: Counts,
    folder: tempfile::TempDir,
}

/// Counters of failures.
#[derive(Default)]
pub struct Counts {
    /// SIGKILLs to the worker.
    pub kills: AtomicU64,
    /// SIGTERMs to the worker.
    pub stops: AtomicU64,
    /// SIGSTOPs to a worker, each followed by a SIGCONT.
    pub freezes: AtomicU64,
    /// SIGKILLs to PostgreSQL.
    pub postgres_kills: AtomicU64,
    /// Clean stops of PostgreSQL.
    pub postgres_stops: AtomicU64,
    /// SIGKILLs to the broker.
    pub broker_kills: AtomicU64,
    /// Clean stops of the broker.
    pub broker_stops: AtomicU64,
    /// Publishes repeated because the broker was down.
    pub repeated: AtomicU64,
}

impl Stage {
    /// Starts everything in order.
    pub async fn set(dice: &mut SmallRng, workers: usize) -> Self {
        let broker = tokio::task::spawn_blocking(Broker::start).await.expect("a broker");
        let crm = Crm::play(dice.random()).await;
        let mut files = Files::new(broker.url(), &crm.url(&organizations()[0]));
        for (section, key, value) in [
            ("worker", "resolution_wait", "5s"),
            ("worker", "drain_timeout", format!("{DRAIN_S}s").as_str()),
            ("dynamics", "request_timeout", &format!("{REQUEST_S}s")),
            ("log", "level", "info"),
        ] {
            files.set(section, key, value);
        }
        files.set("retry", "delays", ["500ms", "2s", "5s"].map(toml::Value::from).to_vec());
        let postgres = match workers {
            1 => None,
            _ => Some(Arc::new(tokio::task::spawn_blocking(Postgres::start).await.expect("PostgreSQL"))),
        };
        if let Some(postgres) = &postgres {
            files.set("store", "kind", "postgres");
            files.set("store", "url", postgres.url());
            files.set("fleet", "lease", format!("{LEASE_S}s"));
            files.set("broker", "url", format!("{}?heartbeat={HEARTBEAT_S}", broker.url()));
            files.set("dynamics", "max_concurrency", i64::try_from(CONCURRENCY).expect("a small number"));
        }
        let folder = tempfile::tempdir().expect("a folder");
        let configs: Vec<PathBuf> = (0..workers).map(|place| files.write(folder.path(), &name(place))).collect();
        for organization in organizations() {
            let mut own = files.clone();
            own.organize("organization_id", organization.as_str());
            own.organize("environment_url", crm.url(organization));
            own.organize("default_queue_id", QUEUE);
            own.write_organization(folder.path());
        }
        drop(Bus::open(broker.url(), &files).await);
        let first = |place: usize| Worker::start(&configs[place], folder.path().join(format!("{}.0.log", name(place))));
        let workers: Vec<_> = (0..workers).map(|place| Arc::new(first(place))).collect();
        for worker in &workers {
            worker.ready().await;
        }
        let (counts, owners) = (Counts::default(), Arc::default());
        Self { workers: Mutex::new(workers), postgres, owners, crm, broker: Arc::new(broker), files, counts, folder }
    }

    /// Current or last worker of a place.
    pub fn worker(&self, place: usize) -> Arc<Worker> {
        self.workers()[place].clone()
    }

    /// Number of places.
    pub fn places(&self) -> usize {
        self.workers().len()
    }

    fn workers(&self) -> MutexGuard<'_, Vec<Arc<Worker>>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the next worker of a place with the same store.
    pub fn start_worker(&self, place: usize) {
        let number = self.counts.kills.load(Ordering::Relaxed) + self.counts.stops.load(Ordering::Relaxed);
        let log = self.folder.path().join(format!("{}.{number}.log", name(place)));
        let config = self.folder.path().join(format!("{}.toml", name(place)));
        self.workers()[place] = Arc::new(Worker::start(&config, log));
    }

    /// Stops the workers cleanly, at the end.
    pub async fn stop_workers(&self) {
        for place in 0..self.places() {
            self.worker(place).stop().await;
        }
    }

    /// True if no worker reports an event in progress.
    pub async fn nothing_in_hand(&self) -> bool {
        for place in 0..self.places() {
            let worker = self.worker(place);
            if worker.address().is_none() || worker.metric("handoffd_in_flight", "").await > 0 {
                return false;
            }
        }
        true
    }

    /// Keeps the workers' logs and prints their path.
    pub fn keep_logs(&self) -> ExitCode {
        let place: PathBuf = std::env::temp_dir().join(format!("handoffd-soak-{}", std::process::id()));
        let copied = std::process::Command::new("cp").arg("-r").arg(self.folder.path()).arg(&place).status();
        if copied.is_ok_and(|status| status.success()) {
            println!("soak: logs and store are in {}", place.display());
        }
        ExitCode::FAILURE
    }
}
