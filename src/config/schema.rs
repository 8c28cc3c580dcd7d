//! Every key of the configuration file, in its order: the one place that names, defaults and explains it.

use toml::Value;

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// `broker`; empty for a key of an organization's file.
    pub section: &'static str,
    /// `prefetch`
    pub name: &'static str,
    /// How an environment variable's text is read.
    pub kind: Kind,
    /// As TOML; `None` when there is none.
    pub default: Option<&'static str>,
    /// What it is for.
    pub meaning: &'static str,
    /// What it may be.
    pub allowed: &'static str,
}

/// How an environment variable's text is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// As it is.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Switch,
    /// A TOML (or JSON) array, or items separated by commas.
    List,
    /// A string, or a TOML table that names the place of the string; `broker.url` takes a list of them. Never shown.
    Secret,
}

impl Key {
    /// `HANDOFFD_BROKER__PREFETCH`
    pub fn variable(&self) -> String {
        format!("HANDOFFD_{}__{}", self.section, self.name).to_uppercase()
    }

    /// True where a list of secrets may stand.
    pub(super) fn takes_many(&self) -> bool {
        (self.section, self.name) == ("broker", "url")
    }

    /// The default, parsed.
    pub fn default_value(&self) -> Option<Value> {
        let text = format!("it = {}", self.default?);
        // A default that is no TOML can't pass the tests, which read them all.
        let mut table: toml::Table = toml::from_str(&text).ok()?;
        table.remove("it")
    }
}

/// Short for the tables: a key with its default (`""`: none).
pub(super) const fn key(
    place: (&'static str, &'static str),
    kind: Kind,
    default: &'static str,
    meaning: &'static str,
    allowed: &'static str,
) -> Key {
    let default = if default.is_empty() { None } else { Some(default) };
    Key { section: place.0, name: place.1, kind, default, meaning, allowed }
}

/// `config/handoffd.toml`
pub const KEYS: &[Key] = &[
    key(
        ("broker", "url"),
        Kind::Secret,
        r#""amqp://guest:guest@127.0.0.1:5672/%2f""#,
        "Where RabbitMQ is; a list for the nodes of a cluster. May carry options, such as `?heartbeat=10`.",
        "`amqp://` or `amqps://`, a string, `{ env = … }` or `{ file = … }`, or a list of these; one text may hold several, separated by commas",
    ),
    key(
        ("broker", "events_exchange"),
        Kind::Text,
        r#""opencx.events""#,
        "Topic exchange that OpenCX publishes events to.",
        "a name",
    ),
    key(
        ("broker", "outcomes_exchange"),
        Kind::Text,
        r#""opencx.outcomes""#,
        "Topic exchange that outcomes are published to.",
        "a name, not that of the events",
    ),
    key(("broker", "queue"), Kind::Text, r#""handoffd.events""#, "Queue that events are worked from.", "a name"),
    key(
        ("broker", "dead_letter_queue"),
        Kind::Text,
        r#""handoffd.dead-letters""#,
        "Queue of events that were given up.",
        "a name, not that of the inbox",
    ),
    key(
        ("broker", "retry_queue_prefix"),
        Kind::Text,
        r#""handoffd.retry""#,
        "Retry queues are called `<prefix>.<delay>`, one for each of `retry.delays`.",
        "a name of at most 200 bytes",
    ),
    key(
        ("broker", "organization_queue_prefix"),
        Kind::Text,
        r#""handoffd.organization""#,
        "Organizations' queues are called `<prefix>.<id>`, one for each organization.",
        "a name of at most 200 bytes; no other queue's name begins with it and a dot",
    ),
    key(
        ("broker", "bindings"),
        Kind::List,
        r#"["session.handoff.#", "session.resolved.#", "conversation.closed"]"#,
        "Binding keys of the inbox.",
        "at least one",
    ),
    key(
        ("broker", "prefetch"),
        Kind::Number,
        "256",
        "How many unsettled messages the broker hands out; waiting for a retry takes none of them.",
        "1 to 65535 (AMQP counts in 16 bits)",
    ),
    key(
        ("broker", "declare"),
        Kind::Switch,
        "true",
        "`true`: declare exchanges, queues and bindings at start; `false`: only check them, and stay unready while one is missing.",
        "`true` or `false`",
    ),
    key(
        ("broker", "new_queue_wait"),
        Kind::Text,
        r#""5s""#,
        "How long a queue that the worker made is left unused: RabbitMQ loses a quorum queue that is younger than about a second when its node is killed.",
        "a duration of at least `1s`",
    ),
    key(
        ("broker", "confirm_timeout"),
        Kind::Text,
        r#""30s""#,
        "How long the broker may take to confirm a message.",
        "a duration above zero",
    ),
    key(
        ("broker", "ca_file"),
        Kind::Text,
        r#""""#,
        "Certificates that the broker's may be issued by, in addition to the system's; empty: none.",
        "a path to a PEM file of certificates",
    ),
    key(
        ("broker", "client_certificate"),
        Kind::Text,
        r#""""#,
        "For mutual TLS: the certificate that the worker shows to the broker, and those between it and its root; empty: none. Read anew for each connection.",
        "a path to a PEM file of certificates, together with `client_key`",
    ),
    key(
        ("broker", "client_key"),
        Kind::Text,
        r#""""#,
        "For mutual TLS: the private key of `client_certificate`; empty: none.",
        "a path to a PEM file of one private key without a passphrase",
    ),
    key(
        ("worker", "max_event_bytes"),
        Kind::Number,
        "1048576",
        "A longer message is a dead letter `invalid_event`.",
        "1 to 134217728 (128 MiB)",
    ),
    key(
        ("worker", "resolution_wait"),
        Kind::Text,
        r#""2m""#,
        "How long a resolution of an unknown session waits for its handoff.",
        "a duration",
    ),
    key(
        ("worker", "drain_timeout"),
        Kind::Text,
        r#""25s""#,
        "How long a stopping worker lets events in hand come to their end.",
        "a duration",
    ),
    key(
        ("retry", "in_process"),
        Kind::Number,
        "3",
        "Attempts made at once, the first included, with short growing pauses between them.",
        "1 to 100",
    ),
    key(
        ("retry", "delays"),
        Kind::List,
        r#"["5s", "30s", "2m", "10m", "1h"]"#,
        "The ladder of retry queues; the last step repeats.",
        "durations above zero, below 49d (a queue's longest TTL)",
    ),
    key(
        ("retry", "max_age"),
        Kind::Text,
        r#""24h""#,
        "How long after its first failed attempt an event is given up; waits for its organization do not count.",
        "a duration above zero",
    ),
    key(
        ("dynamics", "authority"),
        Kind::Text,
        r#""https://login.microsoftonline.com""#,
        "Where tokens come from; national clouds have their own.",
        "`https://` and a host of Microsoft's, unless `allow_insecure`",
    ),
    key(
        ("dynamics", "request_timeout"),
        Kind::Text,
        r#""60s""#,
        "Longest wait for one answer.",
        "a duration above zero",
    ),
    key(
        ("dynamics", "max_concurrency"),
        Kind::Number,
        "52",
        "Requests at once, for each organization; lowered by itself while Dynamics throttles.",
        "1 to 52 (Dynamics' own limit for one application user)",
    ),
    key(
        ("dynamics", "contact_cache_ttl"),
        Kind::Text,
        r#""24h""#,
        "How long a contact's id is remembered by email.",
        "a duration; `0s`: not at all",
    ),
    key(
        ("dynamics", "live_work_item_entity_set"),
        Kind::Text,
        r#""oc_liveworkitems""#,
        "Entity set that live work items are posted to.",
        "letters, digits, underscores",
    ),
    key(
        ("dynamics", "ca_file"),
        Kind::Text,
        r#""""#,
        "Certificates that those of Dynamics and Entra ID (or of a proxy between) may be issued by, in addition to the system's; empty: none.",
        "a path to a PEM file of certificates",
    ),
    key(
        ("dynamics", "allow_insecure"),
        Kind::Switch,
        "false",
        "`true`: `http://` and hosts outside Microsoft's, for the simulator and tests. Client secrets and customers' data go to whatever is named then.",
        "`true` or `false`",
    ),
    key(
        ("store", "kind"),
        Kind::Text,
        r#""sled""#,
        "What the worker remembers in.",
        r#"`"sled"` (embedded, one process)"#,
    ),
    key(
        ("store", "path"),
        Kind::Text,
        r#""data/handoffd.sled""#,
        "Where it is.",
        "a path, relative to the working directory",
    ),
    key(
        ("store", "retention"),
        Kind::Text,
        r#""30d""#,
        "How long idempotency keys and outcomes are kept.",
        "a duration above zero",
    ),
    key(
        ("store", "on_corruption"),
        Kind::Text,
        r#""quarantine""#,
        r#"A store that can't be opened or reports damage: `"quarantine"` sets it aside and starts a new one, loudly (with `organizations.encryption_key`, nothing is consumed until `handoffd store accept`); `"stop"` ends the worker."#,
        r#"`"quarantine"` or `"stop"`"#,
    ),
    key(
        ("http", "listen"),
        Kind::Text,
        r#""127.0.0.1:9464""#,
        "Where health, metrics, API and the operators' page are served.",
        "an IP address and a port; one that is not loopback needs `http.token`",
    ),
    key(
        ("http", "token"),
        Kind::Secret,
        r#""""#,
        "Bearer token of API and page; empty: none.",
        "printable ASCII, as a string, `{ env = … }` or `{ file = … }`",
    ),
    key(
        ("log", "format"),
        Kind::Text,
        r#""text""#,
        r#"`"text"` for people, `"json"` for machines."#,
        r#"`"text"` or `"json"`"#,
    ),
    key(
        ("log", "level"),
        Kind::Text,
        r#""info""#,
        "How much is logged.",
        "`error`, `warn`, `info`, `debug`, `trace`, `off`, or directives such as `info,handoffd=debug`",
    ),
    key(
        ("organizations", "directory"),
        Kind::Text,
        r#""config/organizations""#,
        "Where the organizations' files are: every `*.toml` in it.",
        "a path, relative to the working directory",
    ),
    key(
        ("organizations", "encryption_key"),
        Kind::Secret,
        r#""""#,
        "Encrypts the secrets of organizations saved through the API; empty: none can be saved.",
        "32 bytes in base64 (`openssl rand -base64 32`), as a string, `{ env = … }` or `{ file = … }`",
    ),
    key(
        ("organizations", "previous_encryption_key"),
        Kind::Secret,
        r#""""#,
        "The key before `encryption_key`, while secrets are sealed anew: at the next start; empty: none.",
        "as `organizations.encryption_key`",
    ),
    key(
        ("tracing", "otlp_endpoint"),
        Kind::Text,
        r#""""#,
        "Where traces are sent by OTLP (HTTP, protobuf, to `/v1/traces` under it); empty: nowhere.",
        "an `http://` or `https://` URL without user and password",
    ),
];
