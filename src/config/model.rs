//! The configuration, typed. What each value means is said once, in the schema.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretSlice, SecretString};

use super::duration::Delay;

/// Everything but the organizations. `Debug` shows no secret.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "`schema::KEYS` documents every key, and a test holds them together")]
pub struct Config {
    pub broker: Broker,
    pub worker: Worker,
    pub retry: Retry,
    pub dynamics: Dynamics,
    pub store: Store,
    pub http: Http,
    pub log: Log,
    pub organizations: OrganizationFiles,
    pub tracing: Tracing,
}

/// `[broker]`
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct Broker {
    /// At least one.
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
    /// There with its key, or not at all.
    pub client_certificate: Option<PathBuf>,
    pub client_key: Option<PathBuf>,
}

/// `[worker]`
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct Worker {
    pub max_event_bytes: usize,
    pub resolution_wait: Duration,
    pub drain_timeout: Duration,
}

/// `[retry]`
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct Retry {
    pub in_process: u32,
    pub delays: Vec<Delay>,
    pub max_age: Duration,
}

/// `[dynamics]`
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct Dynamics {
    /// Without a trailing slash.
    pub authority: String,
    pub request_timeout: Duration,
    pub max_concurrency: u16,
    pub contact_cache_ttl: Duration,
    pub live_work_item_entity_set: String,
    pub ca_file: Option<PathBuf>,
    pub allow_insecure: bool,
}

/// `[store]`
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct Store {
    pub kind: StoreKind,
    pub path: PathBuf,
    pub retention: Duration,
    pub on_corruption: OnCorruption,
}

/// `[http]`
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct Http {
    pub listen: SocketAddr,
    pub token: Option<SecretString>,
}

/// `[log]`
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct Log {
    pub format: LogFormat,
    pub level: String,
}

/// `[organizations]`
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct OrganizationFiles {
    pub directory: PathBuf,
    /// 32 bytes.
    pub encryption_key: Option<SecretSlice<u8>>,
    /// 32 bytes.
    pub previous_encryption_key: Option<SecretSlice<u8>>,
}

/// `[tracing]`
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct Tracing {
    pub otlp_endpoint: Option<url::Url>,
}

/// `store.kind`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreKind {
    /// Embedded; one process owns it.
    Sled,
}

/// `store.on_corruption`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnCorruption {
    /// Set the broken store aside and start a new one.
    Quarantine,
    /// Do not start.
    Stop,
}

/// `log.format`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// For people: one line each.
    Text,
    /// For machines: one object a line.
    Json,
}

/// The address of a broker's node; its password shows nowhere but in [`BrokerUrl::expose`].
#[derive(Clone)]
pub struct BrokerUrl(SecretString);

impl BrokerUrl {
    /// A URL that has been checked.
    pub(super) fn new(url: String) -> Self {
        Self(url.into())
    }

    /// As written, with its password.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// With `***` in place of the password.
    pub fn masked(&self) -> String {
        super::url::masked(self.expose())
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.masked(), f)
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}
