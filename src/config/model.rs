//! Every key of the configuration file, with its type, default, check and documentation. Nothing else repeats them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{SecretSlice, SecretString};
use url::Url;

use super::broker_url::BrokerUrl;
use super::duration::Delay;
use super::fault::ConfigFaults;
use super::reader::Reader;
use super::schema::{ConfigKey, ValueKind, configuration};
use super::secret::{EnvironmentVariables, ExposedFile};
use super::setting::{Layers, Set};
use super::store_url::{self, StoreUrl};
use super::url::{self as address, HostTrust};
use super::{pem, value};

static UNSET: Set = Set::new();

configuration! {
    /// RabbitMQ.
    broker: BrokerConfig {
        /// URL of RabbitMQ, or a list of URLs for the nodes of a cluster. May have options such as `?heartbeat=10`.
        /// Percent-encode `/`, `#`, `?`, `@` and `%` in user, password and virtual host.
        url: Vec<BrokerUrl> = "amqp://guest:guest@127.0.0.1:5672/%2f", secrets(address::brokers),
            "`amqp://` or `amqps://`, a string, `{ env = … }` or `{ file = … }`, or a list of these; one text may hold several, separated by commas";
        /// Topic exchange that OpenCX publishes events to.
        events_exchange: String = "opencx.events", read(value::name), "a name";
        /// Topic exchange that outcomes are published to.
        outcomes_exchange: String = "opencx.outcomes", read(value::name),
            "a name other than `broker.events_exchange`";
        /// Inbox: queue that receives events from OpenCX.
        queue: String = "handoffd.events", read(value::name), "a name";
        /// Queue of dead letters.
        dead_letter_queue: String = "handoffd.dead-letters", read(value::name), "a name other than `broker.queue`";
        /// Prefix of the retry queues `<prefix>.<delay>`, one for each of `retry.delays`.
        retry_queue_prefix: String = "handoffd.retry", read(value::prefix), "a name of at most 200 bytes";
        /// Prefix of the queues `<prefix>.<id>`, one for each organization.
        organization_queue_prefix: String = "handoffd.organization", read(value::prefix),
            "a name of at most 200 bytes; no other queue may begin with it and a dot";
        /// Binding keys of the inbox.
        bindings: Vec<String> = ["session.handoff.#", "session.resolved.#", "conversation.closed"],
            read(value::bindings), "a list of at least one binding key";
        /// Number of unacknowledged messages taken from the inbox; events that wait for a retry are not counted.
        prefetch: u16 = 256, read(value::whole(1..=65_535, " (16 bits in AMQP, where 0 would mean no limit)")),
            "1 to 65535 (16 bits in AMQP)";
        /// `true`: declare exchanges, queues and bindings at start; `false`: only check them and stay unready while one
        /// is missing.
        declare: bool = true, read(value::switch), "`true` or `false`";
        /// Time before a queue declared by the worker is used: RabbitMQ loses a quorum queue younger than about a
        /// second when its node is killed.
        new_queue_wait: Duration = "5s", read(value::duration_from(Duration::from_secs(1))),
            "a duration of at least `1s`";
        /// Longest wait for the broker's confirm of a message.
        confirm_timeout: Duration = "30s", read(value::positive_duration), "a duration above zero";
        /// Root certificates for the broker, in addition to the system's; empty: none.
        ca_file: Option<PathBuf> = "", optional(pem::certificates), "a path to a PEM file of certificates";
        /// Client certificate of the worker for mutual TLS, with its intermediate certificates; empty: none. Read again
        /// for each connection.
        client_certificate: Option<PathBuf> = "", optional(pem::certificates),
            "a path to a PEM file of certificates, together with `client_key`";
        /// Private key of `client_certificate` for mutual TLS; empty: none.
        client_key: Option<PathBuf> = "", optional(pem::key),
            "a path to a PEM file of one private key without a passphrase";
    }

    /// Processing of events.
    worker: WorkerConfig {
        /// Longest message, in bytes; a longer one becomes a dead letter `invalid_event`.
        max_event_bytes: usize = 1048576, read(value::whole(1..=134_217_728, " (128 MiB)")),
            "1 to 134217728 (128 MiB)";
        /// Longest time that a resolution of an unknown session waits for its handoff.
        resolution_wait: Duration = "2m", read(value::duration), "a duration";
        /// Longest time that a stopping worker waits for events in progress. With several workers, 2 s of it (at most a
        /// third) are for handing its organizations over.
        drain_timeout: Duration = "25s", read(value::duration), "a duration";
    }

    /// Retries of failed events.
    retry: Retry {
        /// Number of immediate attempts, including the first, with short growing pauses between them.
        in_process: u32 = 3, read(value::whole(1..=100, "")), "1 to 100";
        /// Delays of the retry queues in order; the last one repeats.
        delays: Vec<Delay> = ["5s", "30s", "2m", "10m", "1h"], read(value::delays),
            "durations above zero and below 49d (the longest TTL of a queue)";
        /// Time after its first failed attempt at which an event becomes a dead letter; waiting for its organization
        /// does not count.
        max_age: Duration = "24h", read(value::positive_duration), "a duration above zero";
    }

    /// Microsoft Dynamics 365, for all organizations.
    dynamics: DynamicsConfig {
        /// URL of the token service; national clouds have their own.
        authority: String = "https://login.microsoftonline.com", read(value::string),
            "`https://` and a host of Microsoft's; other addresses only with `allow_insecure`";
        /// Longest wait for the response to a request.
        request_timeout: Duration = "60s", read(value::positive_duration), "a duration above zero";
        /// Maximum number of concurrent requests for each organization; lowered automatically while Dynamics throttles.
        max_concurrency: u16 = 52,
            read(value::whole(1..=52, " (Dynamics allows 52 concurrent requests per application user)")),
            "1 to 52 (Dynamics' limit for an application user)";
        /// Time for which the contact id of an email is remembered.
        contact_cache_ttl: Duration = "24h", read(value::duration), "a duration; `0s` disables the cache";
        /// Entity set that live work items are posted to.
        live_work_item_entity_set: String = "oc_liveworkitems", read(value::identifier), "letters, digits, underscores";
        /// Root certificates for Dynamics and Entra ID, or for a proxy in between, in addition to the system's; empty:
        /// none.
        ca_file: Option<PathBuf> = "", optional(pem::certificates), "a path to a PEM file of certificates";
        /// `true`: allow `http://` and hosts other than Microsoft's, for the simulator and tests. Client secrets and
        /// customer data are then sent to any configured address.
        allow_insecure: bool = false, read(value::switch), "`true` or `false`";
    }

    /// The worker's store: idempotency keys, progress, outcomes.
    store: StoreConfig {
        /// Kind of the store: `"sled"` is embedded and has one process, `"postgres"` is for several workers.
        kind: StoreKind = "sled",
            read(value::word(&[("sled", StoreKind::Sled), ("postgres", StoreKind::Postgres)])), r#"`"sled"` or `"postgres"`"#;
        /// URL of PostgreSQL. May name several hosts: the one that accepts writes is used.
        url: Option<StoreUrl> = "", secret(store_url::store),
            "`postgres://user:password@host,host2/db?sslmode=verify-full`, as a string, `{ env = … }` or `{ file = … }`; `sslmode` is `verify-full` (default), `verify-ca`, or, on loopback, a Unix socket or with `dynamics.allow_insecure`, `disable`";
        /// `true`: create and migrate the tables in PostgreSQL at start; `false`: only check them, `handoffd store
        /// migrate` creates them, as another user if need be.
        migrate: bool = true, read(value::switch), "`true` or `false`";
        /// Root certificates for PostgreSQL, in addition to the system's; empty: none.
        ca_file: Option<PathBuf> = "", optional(pem::certificates), "a path to a PEM file of certificates";
        /// Folder of the embedded store.
        path: PathBuf = "data/handoffd.sled", read(value::path), "a path, relative to the working directory";
        /// Time for which idempotency keys and outcomes are kept.
        retention: Duration = "30d", read(value::positive_duration), "a duration above zero";
        /// Reaction to a store that can't be opened or reports damage: `"quarantine"` sets it aside, starts a new one
        /// and logs an error (with `organizations.encryption_key`, nothing is consumed until `handoffd store accept`);
        /// `"stop"` ends the worker.
        on_corruption: OnCorruption = "quarantine",
            read(value::word(&[("quarantine", OnCorruption::Quarantine), ("stop", OnCorruption::Stop)])),
            r#"`"quarantine"` or `"stop"`"#;
    }

    /// Several workers, with `store.kind = "postgres"`.
    fleet: FleetConfig {
        /// Name of this worker in lists and logs; empty: host name and process id.
        name: String = "", read(value::title), "at most 100 characters, none of them a control character";
        /// Time without a sign of life after which other workers take over.
        lease: Duration = "5s", read(value::duration_within(Duration::from_secs(2)..=Duration::from_secs(60))),
            "a duration of `2s` to `60s`";
    }

    /// Health checks, metrics, API, operators' page.
    http: HttpConfig {
        /// Address of health checks, metrics, API and the operators' page.
        listen: SocketAddr = "127.0.0.1:9464", read(value::address),
            "an IP address and a port; any other than loopback requires `http.token`";
        /// Bearer token of the API and the page; empty: none, and every user of this machine is an operator.
        token: Option<SecretString> = "", secret(value::token),
            "printable ASCII, 16 characters or more unless `http.listen` is loopback, as a string, `{ env = … }` or `{ file = … }`";
        /// Bearer token that may read everything but customers' texts, and change nothing; empty: none.
        reader_token: Option<SecretString> = "", secret(value::token), "as `http.token`, and different from it";
        /// Address of its own for metrics and health checks (`/metrics`, `/livez`, `/readyz`); empty: `http.listen`.
        metrics_listen: Option<SocketAddr> = "", optional(value::address), "an IP address and a port";
    }

    /// The log, on standard error.
    log: LogConfig {
        /// Format of the log: `"text"` for people, `"json"` for machines.
        format: LogFormat = "text", read(value::word(&[("text", LogFormat::Text), ("json", LogFormat::Json)])),
            r#"`"text"` or `"json"`"#;
        /// Level of detail of the log.
        level: String = "info", read(value::level),
            "`error`, `warn`, `info`, `debug`, `trace`, `off`, or directives such as `info,handoffd=debug`";
    }

    /// Configuration of the organizations.
    organizations: OrganizationFiles {
        /// Directory of the organizations' files: every `*.toml` in it.
        directory: PathBuf = "config/organizations", read(value::path), "a path, relative to the working directory";
        /// Key that encrypts the secrets of organizations saved through the API; empty: none can be saved.
        encryption_key: Option<SecretSlice<u8>> = "", secret(value::encryption_key),
            "32 bytes in base64 (`openssl rand -base64 32`), as a string, `{ env = … }` or `{ file = … }`";
        /// Previous `encryption_key`, during a rotation: secrets are re-encrypted at the next start; empty: none.
        previous_encryption_key: Option<SecretSlice<u8>> = "", secret(value::encryption_key),
            "as `organizations.encryption_key`";
    }

    /// OpenTelemetry.
    tracing: TracingConfig {
        /// URL to send traces to by OTLP (HTTP, protobuf, to `/v1/traces` below it); empty: no export.
        otlp_endpoint: Option<Url> = "", optional(address::endpoint), "an `http://` or `https://` URL without user and password";
    }
}

impl DynamicsConfig {
    /// Returns the addresses that `allow_insecure` permits.
    pub fn trust(&self) -> HostTrust {
        if self.allow_insecure { HostTrust::Anyone } else { HostTrust::Microsoft }
    }
}

impl HttpConfig {
    /// Reports whether the API and the page can be reached from this machine only.
    pub fn is_local(&self) -> bool {
        self.listen.ip().to_canonical().is_loopback()
    }
}

/// Value of `store.kind`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreKind {
    /// Embedded store, owned by one process.
    Sled,
    /// PostgreSQL, shared by several workers.
    Postgres,
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
