//! Typed configuration. The schema alone documents the meaning of each value.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{SecretSlice, SecretString};

use super::broker_url::BrokerUrl;
use super::duration::Delay;

/// Configuration without the organizations. `Debug` shows no secret.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "`schema::KEYS` documents every key, and a test compares them")]
pub struct Config {
    pub broker: BrokerConfig,
    pub worker: WorkerConfig,
    pub retry: Retry,
    pub dynamics: DynamicsConfig,
    pub store: StoreConfig,
    pub http: HttpConfig,
    pub log: LogConfig,
    pub organizations: OrganizationFiles,
    pub tracing: TracingConfig,
}

/// Section `[broker]`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct BrokerConfig {
    /// URLs of the broker's nodes; at least one.
    pub urls: Vec<BrokerUrl>,
    pub events_exchange: String,
    pub outcomes_exchange: String,
    pub queue: String,
    pub dead_letter_queue: String,
    pub retry_queue_prefix: String,
    pub organization_queue_prefix: String,
    pub bindings: Vec<String>,
    pub prefetch: u16,
    pub declare: bool,
    pub new_queue_wait: Duration,
    pub confirm_timeout: Duration,
    pub ca_file: Option<PathBuf>,
    /// Set together with `client_key`, or not at all.
    pub client_certificate: Option<PathBuf>,
    pub client_key: Option<PathBuf>,
}

/// Section `[worker]`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct WorkerConfig {
    pub max_event_bytes: usize,
    pub resolution_wait: Duration,
    pub drain_timeout: Duration,
}

/// Section `[retry]`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct Retry {
    pub in_process: u32,
    pub delays: Vec<Delay>,
    pub max_age: Duration,
}

/// Section `[dynamics]`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct DynamicsConfig {
    /// URL without a trailing slash.
    pub authority: String,
    pub request_timeout: Duration,
    pub max_concurrency: u16,
    pub contact_cache_ttl: Duration,
    pub live_work_item_entity_set: String,
    pub ca_file: Option<PathBuf>,
    pub allow_insecure: bool,
}

/// Section `[store]`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct StoreConfig {
    pub kind: StoreKind,
    pub path: PathBuf,
    pub retention: Duration,
    pub on_corruption: OnCorruption,
}

/// Section `[http]`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct HttpConfig {
    pub listen: SocketAddr,
    pub token: Option<SecretString>,
}

/// Section `[log]`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct LogConfig {
    pub format: LogFormat,
    pub level: String,
}

/// Section `[organizations]`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct OrganizationFiles {
    pub directory: PathBuf,
    /// Key of 32 bytes.
    pub encryption_key: Option<SecretSlice<u8>>,
    /// Key of 32 bytes.
    pub previous_encryption_key: Option<SecretSlice<u8>>,
}

/// Section `[tracing]`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct TracingConfig {
    pub otlp_endpoint: Option<url::Url>,
}

/// Value of `store.kind`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreKind {
    /// Embedded store, owned by one process.
    Sled,
}

/// Value of `store.on_corruption`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnCorruption {
    /// Set the damaged store aside and start a new one.
    Quarantine,
    /// Do not start.
    Stop,
}

/// Value of `log.format`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// Text for people, one line per message.
    Text,
    /// JSON for machines, one object per line.
    Json,
}
