//! Reads the sections of the configuration file.

use std::time::Duration;

use super::fault::ConfigFaults;
use super::model::{
    BrokerConfig, Config, DynamicsConfig, HttpConfig, LogConfig, LogFormat, OnCorruption, OrganizationFiles, Retry,
    StoreConfig, StoreKind, TracingConfig, WorkerConfig,
};
use super::pem;
use super::reader::Reader;
use super::schema::KEYS;
use super::secret::EnvironmentVariables;
use super::setting::{Layers, Set};
use super::url;
use super::value;

/// Returns the typed configuration; a faulty value is replaced by its default.
pub(super) fn config(layers: &Layers, env: &EnvironmentVariables, faults: &mut ConfigFaults) -> Config {
    let config = Config {
        broker: broker(&mut reader("broker", layers, env, faults)),
        worker: worker(&mut reader("worker", layers, env, faults)),
        retry: retry(&mut reader("retry", layers, env, faults)),
        dynamics: dynamics(&mut reader("dynamics", layers, env, faults)),
        store: store(&mut reader("store", layers, env, faults)),
        http: http(&mut reader("http", layers, env, faults)),
        log: log(&mut reader("log", layers, env, faults)),
        organizations: organizations(&mut reader("organizations", layers, env, faults)),
        tracing: tracing(&mut reader("tracing", layers, env, faults)),
    };
    check_queue_names(&config, &mut reader("broker", layers, env, faults));
    config
}

fn reader<'a>(
    section: &'static str,
    layers: &'a Layers,
    env: &'a EnvironmentVariables,
    faults: &'a mut ConfigFaults,
) -> Reader<'a> {
    static NOTHING: Set = Set::new();
    Reader { section, keys: KEYS, set: layers.get(section).unwrap_or(&NOTHING), env, faults }
}

fn broker(reader: &mut Reader<'_>) -> BrokerConfig {
    let broker = BrokerConfig {
        urls: reader.secrets("url", url::brokers),
        events_exchange: reader.read("events_exchange", value::name(255)),
        outcomes_exchange: reader.read("outcomes_exchange", value::name(255)),
        queue: reader.read("queue", value::name(255)),
        dead_letter_queue: reader.read("dead_letter_queue", value::name(255)),
        // A queue's name has 255 bytes at most, and the delay comes after the prefix.
        retry_queue_prefix: reader.read("retry_queue_prefix", value::name(200)),
        organization_queue_prefix: reader.read("organization_queue_prefix", value::name(200)),
        bindings: reader.read("bindings", value::bindings),
        prefetch: reader.read("prefetch", value::whole(1..=65_535, " (16 bits in AMQP, where 0 would mean no limit)")),
        declare: reader.read("declare", value::switch),
        new_queue_wait: reader.read("new_queue_wait", value::duration_from(Duration::from_secs(1))),
        confirm_timeout: reader.read("confirm_timeout", value::positive_duration),
        ca_file: reader.read("ca_file", pem::certificates),
        client_certificate: reader.read("client_certificate", pem::certificates),
        client_key: reader.read("client_key", pem::key),
    };
    check_client_pair(&broker, reader);
    if broker.queue == broker.dead_letter_queue {
        reader.conflict(
            "dead_letter_queue",
            "a queue other than broker.queue, to which dead letters would return as events".to_owned(),
        );
    }
    if broker.events_exchange == broker.outcomes_exchange {
        reader.conflict("outcomes_exchange", "an exchange other than broker.events_exchange".to_owned());
    }
    broker
}

/// Checks that a client certificate and its key are set together. A faulty one has been reported already.
fn check_client_pair(broker: &BrokerConfig, reader: &mut Reader<'_>) {
    if reader.has_fault("client_certificate") || reader.has_fault("client_key") {
        return;
    }
    match (&broker.client_certificate, &broker.client_key) {
        (Some(_), None) => {
            reader.conflict(
                "client_certificate",
                "broker.client_key to be set as well, to the private key of this certificate".to_owned(),
            );
        }
        (None, Some(_)) => {
            reader.conflict(
                "client_key",
                "broker.client_certificate to be set as well, to the certificate of this key".to_owned(),
            );
        }
        _ => {}
    }
}

/// Checks that queue names are distinct. A retry queue sends its messages to the inbox, so it must be neither the inbox
/// nor the dead-letter queue. Organization ids are arbitrary, so no other queue may have a name that could be an
/// organization's.
fn check_queue_names(config: &Config, reader: &mut Reader<'_>) {
    let prefix = &config.broker.retry_queue_prefix;
    let mut others = vec![config.broker.queue.clone(), config.broker.dead_letter_queue.clone()];
    others.push(format!("{}.operator", config.broker.dead_letter_queue));
    for delay in &config.retry.delays {
        let queue = format!("{prefix}.{}", delay.text);
        if queue == config.broker.queue || queue == config.broker.dead_letter_queue {
            reader.conflict("retry_queue_prefix", format!("another prefix, because queue {queue} is already in use"));
        }
        others.push(queue);
    }
    let organizations = format!("{}.", config.broker.organization_queue_prefix);
    if let Some(queue) = others.iter().find(|queue| queue.starts_with(&organizations)) {
        let expected = format!("another prefix, because queue {queue} could belong to an organization");
        reader.conflict("organization_queue_prefix", expected);
    }
}

fn worker(reader: &mut Reader<'_>) -> WorkerConfig {
    WorkerConfig {
        max_event_bytes: reader.read("max_event_bytes", value::whole(1..=134_217_728, " (128 MiB)")),
        resolution_wait: reader.read("resolution_wait", value::duration),
        drain_timeout: reader.read("drain_timeout", value::duration),
    }
}

fn retry(reader: &mut Reader<'_>) -> Retry {
    Retry {
        in_process: reader.read("in_process", value::whole(1..=100, "")),
        delays: reader.read("delays", value::delays),
        max_age: reader.read("max_age", value::positive_duration),
    }
}

fn dynamics(reader: &mut Reader<'_>) -> DynamicsConfig {
    let mut dynamics = DynamicsConfig {
        authority: String::new(),
        request_timeout: reader.read("request_timeout", value::positive_duration),
        max_concurrency: reader.read(
            "max_concurrency",
            value::whole(1..=52, " (Dynamics allows 52 concurrent requests per application user)"),
        ),
        contact_cache_ttl: reader.read("contact_cache_ttl", value::duration),
        live_work_item_entity_set: reader.read("live_work_item_entity_set", value::identifier),
        ca_file: reader.read("ca_file", pem::certificates),
        allow_insecure: reader.read("allow_insecure", value::switch),
    };
    let trust = dynamics.trust();
    dynamics.authority = reader.text("authority", |text| url::authority(text, trust));
    dynamics
}

fn store(reader: &mut Reader<'_>) -> StoreConfig {
    StoreConfig {
        kind: reader.read("kind", value::word(&[("sled", StoreKind::Sled)])),
        path: reader.read("path", value::path),
        retention: reader.read("retention", value::positive_duration),
        on_corruption: reader.read(
            "on_corruption",
            value::word(&[("quarantine", OnCorruption::Quarantine), ("stop", OnCorruption::Stop)]),
        ),
    }
}

fn http(reader: &mut Reader<'_>) -> HttpConfig {
    let http =
        HttpConfig { listen: reader.read("listen", value::address), token: reader.secret("token", value::token) };
    let loopback = http.listen.ip().to_canonical().is_loopback();
    // A faulty token has been reported already.
    let missing = http.token.is_none() && !reader.has_fault("token");
    if !loopback && missing {
        reader.conflict(
            "listen",
            "a loopback address such as \"127.0.0.1:9464\"; listen on loopback or set http.token, or else anyone could read outcomes and replay events".to_owned(),
        );
    }
    http
}

fn log(reader: &mut Reader<'_>) -> LogConfig {
    LogConfig {
        format: reader.read("format", value::word(&[("text", LogFormat::Text), ("json", LogFormat::Json)])),
        level: reader.read("level", value::level),
    }
}

fn organizations(reader: &mut Reader<'_>) -> OrganizationFiles {
    OrganizationFiles {
        directory: reader.read("directory", value::path),
        encryption_key: reader.secret("encryption_key", value::encryption_key),
        previous_encryption_key: reader.secret("previous_encryption_key", value::encryption_key),
    }
}

fn tracing(reader: &mut Reader<'_>) -> TracingConfig {
    TracingConfig { otlp_endpoint: reader.text("otlp_endpoint", url::endpoint) }
}
