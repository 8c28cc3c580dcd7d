//! Broker, Dynamics and worker, with counters.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rand::Rng;
use rand::rngs::SmallRng;

use crate::crm::{Crm, ORGANIZATIONS};
use crate::support::broker::Broker;
use crate::support::bus::Bus;
use crate::support::files::Files;
use crate::support::simulator::QUEUE;
use crate::support::worker::Worker;

/// Running components. Stopped when dropped.
pub struct Stage {
    worker: Mutex<Arc<Worker>>,
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
    /// SIGKILLs to the broker.
    pub broker_kills: AtomicU64,
    /// Clean stops of the broker.
    pub broker_stops: AtomicU64,
    /// Publishes repeated because the broker was down.
    pub repeated: AtomicU64,
}

impl Stage {
    /// Starts everything in order.
    pub async fn set(dice: &mut SmallRng) -> Self {
        let broker = tokio::task::spawn_blocking(Broker::start).await.expect("a broker");
        let crm = Crm::play(dice.random()).await;
        let mut files = Files::new(broker.url(), &crm.url(ORGANIZATIONS[0]));
        for (section, key, value) in [
            ("worker", "resolution_wait", "5s"),
            ("worker", "drain_timeout", "3s"),
            ("dynamics", "request_timeout", "2s"),
            ("log", "level", "info"),
        ] {
            files.set(section, key, value);
        }
        files.set("retry", "delays", ["500ms", "2s", "5s"].map(toml::Value::from).to_vec());
        let folder = tempfile::tempdir().expect("a folder");
        let config = files.write(folder.path(), "worker");
        for organization in ORGANIZATIONS {
            let mut own = files.clone();
            own.organize("organization_id", organization);
            own.organize("environment_url", crm.url(organization));
            own.organize("default_queue_id", QUEUE);
            own.write_organization(folder.path());
        }
        drop(Bus::open(broker.url(), &files).await);
        let worker = Arc::new(Worker::start(&config, folder.path().join("worker.0.log")));
        worker.ready().await;
        let counts = Counts::default();
        Self { worker: Mutex::new(worker), crm, broker: Arc::new(broker), files, counts, folder }
    }

    /// Current or last worker.
    pub fn worker(&self) -> Arc<Worker> {
        self.worker.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts the next worker with the same store.
    pub fn start_worker(&self) {
        let number = self.counts.kills.load(Ordering::Relaxed) + self.counts.stops.load(Ordering::Relaxed);
        let log = self.folder.path().join(format!("worker.{number}.log"));
        let config = self.folder.path().join("worker.toml");
        *self.worker.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(Worker::start(&config, log));
    }

    /// Stops the worker cleanly, at the end.
    pub async fn stop_worker(&self) {
        self.worker().stop().await;
    }

    /// Returns true if the worker reports no event in progress.
    pub async fn nothing_in_hand(&self) -> bool {
        let worker = self.worker();
        worker.address().is_some() && worker.metric("handoffd_in_flight", "").await == 0
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
