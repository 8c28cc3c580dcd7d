//! Every key of the configuration file, in order. Each key is named, explained and given its default only here.

use toml::Value;

/// Key of a configuration file.
#[derive(Clone, Copy, Debug)]
pub struct ConfigKey {
    /// Section, such as `broker`; empty for a key of an organization's file.
    pub section: &'static str,
    /// Name, such as `prefetch`.
    pub name: &'static str,
    /// Conversion of an environment variable's text.
    pub kind: ValueKind,
    /// Default as TOML, if there is one.
    pub default: Option<&'static str>,
    /// Purpose of the key.
    pub meaning: &'static str,
    /// Allowed values.
    pub allowed: &'static str,
}

/// Conversion of an environment variable's text to a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ValueKind {
    /// Text, unchanged.
    Text,
    /// Whole number.
    Number,
    /// `true` or `false`.
    Switch,
    /// TOML or JSON array, or items separated by commas.
    List,
    /// String, or TOML table that names the place of the string; `broker.url` accepts a list of them. Never shown.
    Secret,
}

impl ConfigKey {
    /// Returns the name of the environment variable, such as `HANDOFFD_BROKER__PREFETCH`.
    pub fn variable(&self) -> String {
        format!("HANDOFFD_{}__{}", self.section, self.name).to_uppercase()
    }

    /// Reports whether the key accepts a list of secrets.
    pub(super) fn takes_many(&self) -> bool {
        (self.section, self.name) == ("broker", "url")
    }

    /// Returns the parsed default.
    pub fn default_value(&self) -> Option<Value> {
        let text = format!("it = {}", self.default?);
        // The tests parse every default, so each is valid TOML.
        let mut table: toml::Table = toml::from_str(&text).ok()?;
        table.remove("it")
    }
}

/// Builds a key for the tables; the default `""` means none.
pub(crate) const fn key(
    place: (&'static str, &'static str),
    kind: ValueKind,
    default: &'static str,
    meaning: &'static str,
    allowed: &'static str,
) -> ConfigKey {
    let default = if default.is_empty() { None } else { Some(default) };
    ConfigKey { section: place.0, name: place.1, kind, default, meaning, allowed }
}

/// Keys of `config/handoffd.toml`.
pub const KEYS: &[ConfigKey] = &[
    key(
        ("broker", "url"),
        ValueKind::Secret,
        r#""amqp://guest:guest@127.0.0.1:5672/%2f""#,
        "URL of RabbitMQ, or a list of URLs for the nodes of a cluster. May have options such as `?heartbeat=10`.",
        "`amqp://` or `amqps://`, a string, `{ env = … }` or `{ file = … }`, or a list of these; one text may hold several, separated by commas",
    ),
    key(
        ("broker", "events_exchange"),
        ValueKind::Text,
        r#""opencx.events""#,
        "Topic exchange that OpenCX publishes events to.",
        "a name",
    ),
    key(
        ("broker", "outcomes_exchange"),
        ValueKind::Text,
        r#""opencx.outcomes""#,
        "Topic exchange that outcomes are published to.",
        "a name other than `broker.events_exchange`",
    ),
    key(
        ("broker", "queue"),
        ValueKind::Text,
        r#""handoffd.events""#,
        "Inbox: queue that receives events from OpenCX.",
        "a name",
    ),
    key(
        ("broker", "dead_letter_queue"),
        ValueKind::Text,
        r#""handoffd.dead-letters""#,
        "Queue of dead letters.",
        "a name other than `broker.queue`",
    ),
    key(
        ("broker", "retry_queue_prefix"),
        ValueKind::Text,
        r#""handoffd.retry""#,
        "Prefix of the retry queues `<prefix>.<delay>`, one for each of `retry.delays`.",
        "a name of at most 200 bytes",
    ),
    key(
        ("broker", "organization_queue_prefix"),
        ValueKind::Text,
        r#""handoffd.organization""#,
        "Prefix of the queues `<prefix>.<id>`, one for each organization.",
        "a name of at most 200 bytes; no other queue may begin with it and a dot",
    ),
    key(
        ("broker", "bindings"),
        ValueKind::List,
        r#"["session.handoff.#", "session.resolved.#", "conversation.closed"]"#,
        "Binding keys of the inbox.",
        "a list of at least one binding key",
    ),
    key(
        ("broker", "prefetch"),
        ValueKind::Number,
        "256",
        "Number of unacknowledged messages taken from the inbox; events that wait for a retry are not counted.",
        "1 to 65535 (16 bits in AMQP)",
    ),
    key(
        ("broker", "declare"),
        ValueKind::Switch,
        "true",
        "`true`: declare exchanges, queues and bindings at start; `false`: only check them and stay unready while one is missing.",
        "`true` or `false`",
    ),
    key(
        ("broker", "new_queue_wait"),
        ValueKind::Text,
        r#""5s""#,
        "Time before a queue declared by the worker is used: RabbitMQ loses a quorum queue younger than about a second when its node is killed.",
        "a duration of at least `1s`",
    ),
    key(
        ("broker", "confirm_timeout"),
        ValueKind::Text,
        r#""30s""#,
        "Longest wait for the broker's confirm of a message.",
        "a duration above zero",
    ),
    key(
        ("broker", "ca_file"),
        ValueKind::Text,
        r#""""#,
        "Root certificates for the broker, in addition to the system's; empty: none.",
        "a path to a PEM file of certificates",
    ),
    key(
        ("broker", "client_certificate"),
        ValueKind::Text,
        r#""""#,
        "Client certificate of the worker for mutual TLS, with its intermediate certificates; empty: none. Read again for each connection.",
        "a path to a PEM file of certificates, together with `client_key`",
    ),
    key(
        ("broker", "client_key"),
        ValueKind::Text,
        r#""""#,
        "Private key of `client_certificate` for mutual TLS; empty: none.",
        "a path to a PEM file of one private key without a passphrase",
    ),
    key(
        ("worker", "max_event_bytes"),
        ValueKind::Number,
        "1048576",
        "Longest message, in bytes; a longer one becomes a dead letter `invalid_event`.",
        "1 to 134217728 (128 MiB)",
    ),
    key(
        ("worker", "resolution_wait"),
        ValueKind::Text,
        r#""2m""#,
        "Longest time that a resolution of an unknown session waits for its handoff.",
        "a duration",
    ),
    key(
        ("worker", "drain_timeout"),
        ValueKind::Text,
        r#""25s""#,
        "Longest time that a stopping worker waits for events in progress.",
        "a duration",
    ),
    key(
        ("retry", "in_process"),
        ValueKind::Number,
        "3",
        "Number of immediate attempts, including the first, with short growing pauses between them.",
        "1 to 100",
    ),
    key(
        ("retry", "delays"),
        ValueKind::List,
        r#"["5s", "30s", "2m", "10m", "1h"]"#,
        "Delays of the retry queues in order; the last one repeats.",
        "durations above zero and below 49d (the longest TTL of a queue)",
    ),
    key(
        ("retry", "max_age"),
        ValueKind::Text,
        r#""24h""#,
        "Time after its first failed attempt at which an event becomes a dead letter; waiting for its organization does not count.",
        "a duration above zero",
    ),
    key(
        ("dynamics", "authority"),
        ValueKind::Text,
        r#""https://login.microsoftonline.com""#,
        "URL of the token service; national clouds have their own.",
        "`https://` and a host of Microsoft's; other addresses only with `allow_insecure`",
    ),
    key(
        ("dynamics", "request_timeout"),
        ValueKind::Text,
        r#""60s""#,
        "Longest wait for the response to a request.",
        "a duration above zero",
    ),
    key(
        ("dynamics", "max_concurrency"),
        ValueKind::Number,
        "52",
        "Maximum number of concurrent requests for each organization; lowered automatically while Dynamics throttles.",
        "1 to 52 (Dynamics' limit for an application user)",
    ),
    key(
        ("dynamics", "contact_cache_ttl"),
        ValueKind::Text,
        r#""24h""#,
        "Time for which the contact id of an email is remembered.",
        "a duration; `0s` disables the cache",
    ),
    key(
        ("dynamics", "live_work_item_entity_set"),
        ValueKind::Text,
        r#""oc_liveworkitems""#,
        "Entity set that live work items are posted to.",
        "letters, digits, underscores",
    ),
    key(
        ("dynamics", "ca_file"),
        ValueKind::Text,
        r#""""#,
        "Root certificates for Dynamics and Entra ID, or for a proxy in between, in addition to the system's; empty: none.",
        "a path to a PEM file of certificates",
    ),
    key(
        ("dynamics", "allow_insecure"),
        ValueKind::Switch,
        "false",
        "`true`: allow `http://` and hosts other than Microsoft's, for the simulator and tests. Client secrets and customer data are then sent to any configured address.",
        "`true` or `false`",
    ),
    key(("store", "kind"), ValueKind::Text, r#""sled""#, "Kind of the store.", r#"`"sled"` (embedded, one process)"#),
    key(
        ("store", "path"),
        ValueKind::Text,
        r#""data/handoffd.sled""#,
        "Folder of the store.",
        "a path, relative to the working directory",
    ),
    key(
        ("store", "retention"),
        ValueKind::Text,
        r#""30d""#,
        "Time for which idempotency keys and outcomes are kept.",
        "a duration above zero",
    ),
    key(
        ("store", "on_corruption"),
        ValueKind::Text,
        r#""quarantine""#,
        r#"Reaction to a store that can't be opened or reports damage: `"quarantine"` sets it aside, starts a new one and logs an error (with `organizations.encryption_key`, nothing is consumed until `handoffd store accept`); `"stop"` ends the worker."#,
        r#"`"quarantine"` or `"stop"`"#,
    ),
    key(
        ("http", "listen"),
        ValueKind::Text,
        r#""127.0.0.1:9464""#,
        "Address of health checks, metrics, API and the operators' page.",
        "an IP address and a port; any other than loopback requires `http.token`",
    ),
    key(
        ("http", "token"),
        ValueKind::Secret,
        r#""""#,
        "Bearer token of the API and the page; empty: none.",
        "printable ASCII, as a string, `{ env = … }` or `{ file = … }`",
    ),
    key(
        ("log", "format"),
        ValueKind::Text,
        r#""text""#,
        r#"Format of the log: `"text"` for people, `"json"` for machines."#,
        r#"`"text"` or `"json"`"#,
    ),
    key(
        ("log", "level"),
        ValueKind::Text,
        r#""info""#,
        "Level of detail of the log.",
        "`error`, `warn`, `info`, `debug`, `trace`, `off`, or directives such as `info,handoffd=debug`",
    ),
    key(
        ("organizations", "directory"),
        ValueKind::Text,
        r#""config/organizations""#,
        "Directory of the organizations' files: every `*.toml` in it.",
        "a path, relative to the working directory",
    ),
    key(
        ("organizations", "encryption_key"),
        ValueKind::Secret,
        r#""""#,
        "Key that encrypts the secrets of organizations saved through the API; empty: none can be saved.",
        "32 bytes in base64 (`openssl rand -base64 32`), as a string, `{ env = … }` or `{ file = … }`",
    ),
    key(
        ("organizations", "previous_encryption_key"),
        ValueKind::Secret,
        r#""""#,
        "Previous `encryption_key`, during a rotation: secrets are re-encrypted at the next start; empty: none.",
        "as `organizations.encryption_key`",
    ),
    key(
        ("tracing", "otlp_endpoint"),
        ValueKind::Text,
        r#""""#,
        "URL to send traces to by OTLP (HTTP, protobuf, to `/v1/traces` below it); empty: no export.",
        "an `http://` or `https://` URL without user and password",
    ),
];
