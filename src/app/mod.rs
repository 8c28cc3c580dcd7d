//! In: the configuration and the organizations.
//! Out: a running worker, and its orderly shutdown.
//! Absent: the processing of events; this module only connects the others. Only the command line imports it.

mod acceptance;
mod fleet;
mod http_thread;
mod store_guard;
mod systemd;
mod offline;
mod open_store;
mod opened_store;
mod options;
mod portable_store;
mod signals;
mod health;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use handoffd_engine::ports::bus::Bus;
use handoffd_engine::ports::store::{self, Store, StoreError};
use handoffd_engine::worker::{Clock, EventTracker, Worker, WorkerDeps};
use tokio::sync::Notify;
use tokio::sync::watch::Receiver;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::config::{Config, EnvironmentVariables, Insecurity, insecurities};
use crate::dynamics::Dynamics;
use crate::organizations::{Loaded, OrganizationRegistry, OrganizationReloader, RegistryDeps};
use crate::rabbit;
use crate::telemetry::metrics::PrometheusMetrics;
use fleet::{FleetMembership, WorkerHost};
use http_thread::{HttpThread, OnEventRuntime};
use open_store::open_store;
use signals::ProcessSignals;
use systemd::ServiceManager;

pub use offline::{Offline, accept_store, inspect, list_workers};
pub use open_store::{migrate_store, operators_beside_workers, store_beside_workers};
pub use options::{bus as bus_options, queue_names};
pub use portable_store::{Transfer, portable_store};

/// Number of threads of the runtime. Processing an event is mostly waiting for answers: one thread handles thousands of
/// events a second, without handing work to another thread.
const RUNTIME_THREADS: usize = 1;
/// Longest time that the store may take to close after the last event.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);
/// Interval at which expired records are deleted from the store and its size is measured.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// Builds the runtime that the worker runs on.
///
/// # Errors
/// If the system can't start its threads.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(RUNTIME_THREADS).enable_all().build()
}

/// Runs the worker until a signal ends it.
///
/// # Errors
/// If the worker can't start, for example because of the store, the HTTP address, or a queue that exists with other
/// arguments.
pub async fn run(config: Config, organizations: Loaded, env: EnvironmentVariables) -> Result<()> {
    let mut signals = ProcessSignals::listen().context("can't listen for signals")?;
    let metrics = Arc::new(PrometheusMetrics::new());
    warn_of_insecure_settings(&config, &metrics);
    let opened = open_store(&config, metrics.clone()).await?;
    let (health, store, membership) = (opened.health.clone(), opened.store.clone(), opened.membership.clone());
    let fleet = membership.fleet();
    let dynamics = Arc::new(Dynamics::new(options::dynamics(&config, &env), metrics.clone(), fleet.clone())?);
    let broker = Arc::new(rabbit::connect(options::bus(&config), metrics.clone())?);
    let deps = RegistryDeps {
        store: store.clone(),
        dynamics: dynamics.clone(),
        broker: broker.clone(),
        metrics: metrics.clone(),
        fleet: fleet.clone(),
    };
    let registry = OrganizationRegistry::new(config.clone(), env, deps, organizations);
    registry.begin().await;
    store_guard::start_guard(&opened, broker.clone(), registry.clone());
    membership.join(WorkerHost::new(broker.clone(), dynamics.clone(), registry.clone(), metrics.clone()));
    let organizations = Arc::new(OnEventRuntime::new(registry.clone()));
    let tracker = Arc::<EventTracker>::default();
    let parts = options::http(&config, (&broker, &opened, &metrics), organizations, tracker.clone(), &signals);
    let unready = parts.unready.clone();
    let server = HttpThread::start(config.http.listen, parts).await?;
    let service_manager = ServiceManager::start(unready.clone());
    tokio::spawn(reload_on_sighup(signals.hangup(), OrganizationReloader::start(registry), service_manager.clone()));
    tokio::spawn(sweep_periodically(store.clone(), config.store.retention, metrics.clone()));

    let deps = WorkerDeps {
        store: store.clone(),
        bus: broker.clone(),
        destination: dynamics,
        fleet: fleet.clone(),
        metrics: metrics.clone(),
        tracker,
    };
    let worker = Worker::new(deps, options::worker_settings(&config), Clock::real());
    let aged = worker.clone();
    metrics.set_age_source(move |organization| aged.event_ages(organization));
    metrics.set_health_source(health::of(worker.clone(), broker.clone(), fleet, health.clone(), unready));
    let result = tokio::select! {
        contact = broker.wait_until_connected() => match contact {
            Ok(()) => process_until_stopped((&worker, &broker, health), (&config, &membership), (&mut signals, &service_manager)).await,
            Err(problem) => Err(problem.into()),
        },
        problem = store_guard::damaged(health.clone()) => Err(problem.into()),
        () = signals.stop() => {
            service_manager.notify_stopping();
            Ok(())
        }
    };
    close(&*broker, &membership, &*store).await;
    server.stop().await;
    result
}

fn warn_of_insecure_settings(config: &Config, metrics: &PrometheusMetrics) {
    let insecure = insecurities(config);
    for Insecurity { setting, problem, advice } in &insecure {
        warn!(setting, problem, advice, "insecure setting");
    }
    metrics.set_insecure_settings(insecure.iter().map(|insecure| insecure.setting.as_str()));
}

/// Processes events until a signal, then finishes those in progress. Ends at once when the store is damaged and
/// `store.on_corruption` is `"stop"`.
async fn process_until_stopped(
    (worker, broker, health): (&Arc<Worker>, &Arc<rabbit::Rabbit>, Receiver<Option<StoreError>>),
    (config, membership): (&Config, &FleetMembership),
    (signals, service_manager): (&mut ProcessSignals, &ServiceManager),
) -> Result<()> {
    let mut working = tokio::spawn(worker.clone().run());
    tokio::select! {
        ended = &mut working => ended.context("the worker ended unexpectedly"),
        problem = store_guard::damaged(health) => {
            working.abort();
            Err(problem.into())
        }
        () = signals.stop() => {
            service_manager.notify_stopping();
            let limit = membership.drain_limit(config.worker.drain_timeout);
            membership.begin_leaving(limit);
            drain(worker, broker, limit, working).await;
            Ok(())
        }
    }
}

/// Reloads organizations on SIGHUP, and reports it to the service manager.
async fn reload_on_sighup(hangup: Arc<Notify>, organizations: OrganizationReloader, service_manager: ServiceManager) {
    loop {
        hangup.notified().await;
        info!("SIGHUP received; reloading organizations");
        service_manager.notify_reloading();
        organizations.reload().await;
        service_manager.notify_reloaded();
    }
}

async fn drain(worker: &Worker, broker: &Arc<rabbit::Rabbit>, limit: Duration, mut working: JoinHandle<()>) {
    info!(limit_s = limit.as_secs_f64(), "stopping; finishing events in progress");
    worker.stop_pausing();
    let finished = timeout(limit, async {
        broker.stop().await;
        _ = (&mut working).await;
    });
    if finished.await.is_err() {
        working.abort();
        warn!("worker.drain_timeout passed; the broker will redeliver the events still in progress");
    }
}

async fn close(broker: &dyn Bus, membership: &FleetMembership, store: &dyn Store) {
    broker.close().await;
    membership.leave().await;
    match timeout(CLOSE_LIMIT, store.close()).await {
        Ok(Ok(())) => info!("stopped"),
        // The worker ends with this error anyway.
        Ok(Err(StoreError::Damaged { .. })) => {}
        Ok(Err(problem)) => error!(error = %problem, "could not close the store cleanly"),
        Err(_) => error!("the store did not close in time"),
    }
}

async fn sweep_periodically(store: Arc<dyn Store>, retention: Duration, metrics: Arc<PrometheusMetrics>) {
    use handoffd_engine::ports::metrics::{Measurement, Metrics};
    let mut tick = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        tick.tick().await;
        let before = jiff::Timestamp::now().saturating_sub(retention).unwrap_or(jiff::Timestamp::MIN);
        match store.sweep(before).await {
            Ok(swept) if swept != store::Swept::default() => {
                info!(
                    events = swept.records,
                    sessions = swept.sessions,
                    contacts = swept.contacts,
                    "deleted expired records"
                );
            }
            Ok(_) => {}
            Err(problem) => error!(error = %problem, "could not delete expired records"),
        }
        if let Ok(bytes) = store.bytes().await {
            metrics.record(Measurement::StoreBytes(bytes));
        }
    }
}
