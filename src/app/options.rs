//! Translation of the configuration into the options of each module.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result};
use handoffd_engine::event::Limits;
use handoffd_engine::ports::bus::Bus;
use handoffd_engine::worker::{EventTracker, WorkerSettings};
use handoffd_engine::workflow::Policy;
use secrecy::SecretString;

use super::opened_store::OpenedStore;
use super::signals::ProcessSignals;
use crate::admin::api;
use crate::admin::api::dead_letters::DeadLetterService;
use crate::admin::events::QueueNames;
use crate::config::{Config, EnvironmentVariables, OnCorruption, SslMode};
use crate::dynamics;
use crate::organizations::Organizations;
use crate::postgres::{PostgresOptions, PostgresTls};
use crate::rabbit;
use crate::sled as embedded;
use crate::telemetry::metrics::PrometheusMetrics;

/// Size of sled's page cache: enough for the pages in use, far below its own default of 1 GiB.
const CACHE_BYTES: u64 = 8 << 20;
/// Deliveries of one organization that may be unacked beyond `dynamics.max_concurrency` (contract 5: "and a few"): some
/// that are next, and some whose outcome is being stored and announced.
const BESIDE_REQUESTS: u16 = 8;
/// Longest wait for an earlier process to release the store.
const LOCK_WAIT: Duration = Duration::from_secs(20);

/// Options of the bus, for the worker and for commands that use the broker directly.
pub fn bus(config: &Config) -> rabbit::RabbitOptions {
    let broker = &config.broker;
    rabbit::RabbitOptions {
        urls: broker.url.iter().map(|url| SecretString::from(url.expose().to_owned())).collect(),
        events_exchange: broker.events_exchange.clone(),
        outcomes_exchange: broker.outcomes_exchange.clone(),
        queue: broker.queue.clone(),
        dead_letter_queue: broker.dead_letter_queue.clone(),
        retry_queue_prefix: broker.retry_queue_prefix.clone(),
        organization_queue_prefix: broker.organization_queue_prefix.clone(),
        bindings: broker.bindings.clone(),
        prefetch: broker.prefetch,
        declare: if broker.declare { rabbit::Declare::Create } else { rabbit::Declare::Check },
        new_queue_wait: broker.new_queue_wait,
        confirm_timeout: broker.confirm_timeout,
        tls: rabbit::Tls {
            ca_file: broker.ca_file.clone(),
            client: broker.client_certificate.clone().zip(broker.client_key.clone()),
        },
        delays: config.retry.delays.iter().map(|delay| (delay.text.clone(), delay.duration)).collect(),
    }
}

/// Options of the embedded store, for the worker and for commands when no worker runs.
pub(super) fn store(config: &Config) -> embedded::SledOptions {
    embedded::SledOptions {
        path: config.store.path.clone(),
        cache_bytes: CACHE_BYTES,
        on_corruption: match config.store.on_corruption {
            // The store may hold organizations. Without them, their events would be those of an unknown organization.
            OnCorruption::Quarantine if config.organizations.encryption_key.is_some() => {
                embedded::CorruptionPolicy::QuarantineUntilAccepted
            }
            OnCorruption::Quarantine => embedded::CorruptionPolicy::Quarantine,
            OnCorruption::Stop => embedded::CorruptionPolicy::Stop,
        },
        lock_wait: LOCK_WAIT,
    }
}

/// Options of the store in PostgreSQL.
pub(super) fn postgres(config: &Config) -> Result<PostgresOptions> {
    let url = config.store.url.as_ref().context("store.url is not set")?;
    Ok(PostgresOptions {
        url: SecretString::from(url.expose()),
        tls: match url.sslmode {
            SslMode::VerifyFull => PostgresTls::VerifyFull,
            SslMode::VerifyCa => PostgresTls::VerifyCa,
            SslMode::Disable => PostgresTls::Disabled,
        },
        ca_file: config.store.ca_file.clone(),
        migrate: config.store.migrate,
    })
}

pub(super) fn dynamics(config: &Config, env: &EnvironmentVariables) -> dynamics::DynamicsOptions {
    dynamics::DynamicsOptions {
        authority: config.dynamics.authority.clone(),
        request_timeout: config.dynamics.request_timeout,
        max_concurrency: usize::from(config.dynamics.max_concurrency),
        ca_file: config.dynamics.ca_file.clone(),
        proxy: proxy(env),
    }
}

/// Reads the usual proxy variables, in either case: Dynamics may be reachable only through a proxy.
fn proxy(env: &EnvironmentVariables) -> Option<dynamics::Proxy> {
    let value = |names: [&str; 2]| {
        let all = || env.iter().filter(|(_, value)| !value.trim().is_empty());
        names.iter().find_map(|wanted| all().find(|(name, _)| name == wanted)).map(|(_, value)| value.to_owned())
    };
    let url = value(["HTTPS_PROXY", "https_proxy"]).or_else(|| value(["ALL_PROXY", "all_proxy"]))?;
    Some(dynamics::Proxy { url: url.into(), except: value(["NO_PROXY", "no_proxy"]).unwrap_or_default() })
}

pub(super) fn worker_settings(config: &Config) -> WorkerSettings {
    WorkerSettings {
        limits: limits(config),
        policy: Policy {
            in_process: config.retry.in_process,
            delays: config.retry.delays.iter().map(|delay| delay.duration).collect(),
            max_age: config.retry.max_age,
        },
        contact_ttl: config.dynamics.contact_cache_ttl,
        prefetch: config.dynamics.max_concurrency.saturating_add(BESIDE_REQUESTS),
    }
}

pub(super) fn http(
    config: &Config,
    (broker, opened, metrics): (&Arc<rabbit::Rabbit>, &OpenedStore, &Arc<PrometheusMetrics>),
    organizations: Arc<dyn Organizations>,
    tracker: Arc<EventTracker>,
    signals: &ProcessSignals,
) -> api::ApiDeps {
    let (broker, stopping) = (broker.clone(), signals.stopping());
    let unready = move || {
        let mut reasons = broker.unready();
        if stopping.load(Ordering::Relaxed) {
            reasons.insert(0, "the worker is stopping; it is finishing events in progress".to_owned());
        }
        reasons
    };
    api::ApiDeps {
        metrics: metrics.clone(),
        store: opened.store.clone(),
        operators: opened.operators.clone(),
        unready: Arc::new(unready),
        token: config.http.token.clone(),
        reader_token: config.http.reader_token.clone(),
        private: private_strings(config),
        metrics_listen: config.http.metrics_listen,
        organizations,
        acceptance: opened.acceptance.clone(),
        workers: opened.membership.directory(),
        letters: DeadLetterService::new(
            Arc::new(rabbit::RabbitDeadLetterQueue::new(bus(config))),
            opened.store.clone(),
            limits(config),
        ),
        tracker,
        names: queue_names(config),
    }
}

/// Names of the queues that an event may wait in, for operators.
pub fn queue_names(config: &Config) -> QueueNames {
    let options = bus(config);
    let retries = options.delays.iter().enumerate();
    QueueNames {
        retries: retries.map(|(rung, (_, delay))| (*delay, options.retry_queue(rung))).collect(),
        dead_letters: options.dead_letter_queue.clone(),
        organization: Arc::new(move |id| options.organization_queue(id)),
    }
}

/// Hosts, virtual hosts, users and paths that only authenticated clients learn from reasons.
fn private_strings(config: &Config) -> Vec<String> {
    let mut places = vec![bus(config).place(), config.store.path.display().to_string()];
    for url in config.broker.url.iter().filter_map(|url| url::Url::parse(url.expose()).ok()) {
        let host = url.host_str().unwrap_or_default();
        let default = if url.scheme() == "amqps" { 5671 } else { 5672 };
        places.push(format!("{host}:{}", url.port().unwrap_or(default)));
        // A name without a dot may be a word of the sentence.
        places.extend(host.contains('.').then(|| host.to_owned()));
        let vhost = percent_encoding::percent_decode_str(url.path().trim_start_matches('/')).decode_utf8_lossy();
        places.extend([vhost.trim_start_matches('/').to_owned(), url.username().to_owned()]);
    }
    places.extend(config.store.url.iter().flat_map(|url| url.places.clone()));
    places
}

fn limits(config: &Config) -> Limits {
    Limits { max_event_bytes: config.worker.max_event_bytes }
}
