//! Settings of the bus.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::metrics::BrokerQueue;
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::uri::AMQPUri;
use secrecy::{ExposeSecret, SecretString};

use super::refusal::StartError;
use super::topology::queue_name;
use crate::regular::{self, LONGEST_PEM};

/// Heartbeat requested unless the URL names one. A broker that vanishes silently is noticed after twice this; with the
/// brokers' own default of 60 s that would take two minutes.
const HEARTBEAT_SECONDS: u16 = 10;
/// Frame size requested unless the URL names one. lapin keeps buffers for 64 frames of each connection, 8 MB with the
/// broker's default of 128 KiB. All headers of a message share one frame, so a smaller one would cost headers.
const FRAME_MAX_BYTES: u32 = 64 * 1024;

/// Number of `broker.confirm_timeout`s that one message waits for its confirm.
const CONFIRM_TIMEOUTS: u32 = 4;
/// Longest wait of one message for its confirm. Nothing is held unacked for longer than 10 minutes.
const LONGEST_CONFIRM_LIMIT: Duration = Duration::from_secs(300);

/// Settings of the bus.
#[derive(Clone, Debug)]
pub struct RabbitOptions {
    /// URL of the broker, or of each node of a cluster: `amqp://user:password@host:5672/%2f`, or `amqps://`. Never
    /// shown.
    pub urls: Vec<SecretString>,
    /// Topic exchange for events.
    pub events_exchange: String,
    /// Topic exchange for outcomes.
    pub outcomes_exchange: String,
    /// Name of the inbox.
    pub queue: String,
    /// Name of the dead-letter queue.
    pub dead_letter_queue: String,
    /// Prefix of the retry queues, named `<prefix>.<delay as written>`.
    pub retry_queue_prefix: String,
    /// Prefix of the organizations' queues, named `<prefix>.<id>`.
    pub organization_queue_prefix: String,
    /// Binding keys of the inbox on the events exchange.
    pub bindings: Vec<String>,
    /// Largest number of unacknowledged deliveries of the inbox.
    pub prefetch: u16,
    /// Handling of missing queues and exchanges.
    pub declare: Declare,
    /// Time for which a queue declared by this worker stays unused.
    pub new_queue_wait: Duration,
    /// Longest wait for a confirm.
    pub confirm_timeout: Duration,
    /// Files for TLS.
    pub tls: Tls,
    /// Retry ladder: each delay as written in the configuration, with its duration.
    pub delays: Vec<(String, Duration)>,
}

/// PEM files for `amqps://`, read for each connection, so that a renewed certificate needs no restart.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Tls {
    /// Roots in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// Client certificate and its key, for mutual TLS.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// If a file can't be read; the error names it.
    pub(super) async fn read(&self) -> io::Result<OwnedTLSConfig> {
        let cert_chain = match &self.ca_file {
            Some(path) => Some(read_file("ca_file", path).await?),
            None => None,
        };
        let identity = match &self.client {
            Some((certificate, key)) => Some(OwnedIdentity::PKCS8 {
                pem: read_file("client_certificate", certificate).await?.into_bytes(),
                key: read_file("client_key", key).await?.into_bytes(),
            }),
            None => None,
        };
        Ok(OwnedTLSConfig { identity, cert_chain })
    }
}

async fn read_file(key: &str, path: &Path) -> io::Result<String> {
    let of = path.to_owned();
    let read = tokio::task::spawn_blocking(move || regular::read(&of, LONGEST_PEM)).await?;
    read.map_err(|problem| io::Error::other(format!("broker.{key} {}: {problem}", path.display())))
}

/// Handling of missing queues and exchanges.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Declare {
    /// Declare them.
    Create,
    /// Wait until an operator has declared them.
    Check,
}

impl RabbitOptions {
    /// Returns the longest wait of one message for its confirm: several `confirm_timeout`s, so that a destination is
    /// named first. After it the message goes elsewhere, or stays unacked until its connection ends. RabbitMQ closes the
    /// channel of a message that is unacked for 30 minutes by default, and a shared broker may be set to less.
    pub(super) fn confirm_limit(&self) -> Duration {
        self.confirm_timeout.saturating_mul(CONFIRM_TIMEOUTS).min(LONGEST_CONFIRM_LIMIT)
    }

    /// Returns the interval of heartbeats: the longest of all URLs, and the default where one turns them off, since then
    /// only the network ends a dead connection.
    pub(super) fn heartbeat(&self) -> Duration {
        let intervals = self.uris().unwrap_or_default().into_iter().filter_map(|uri| uri.query.heartbeat);
        let longest = intervals.filter(|seconds| *seconds > 0).max().unwrap_or(HEARTBEAT_SECONDS);
        Duration::from_secs(longest.into())
    }

    /// Returns the retry queue for a rung of the ladder; the last rung repeats.
    ///
    /// Without any delay configured there is no retry queue, and a retry returns to the inbox at once.
    pub fn retry_queue(&self, rung: usize) -> String {
        match self.delays.get(rung).or(self.delays.last()) {
            Some((written, _)) => format!("{}.{written}", self.retry_queue_prefix),
            None => self.queue.clone(),
        }
    }

    /// Returns the name of an organization's queue.
    pub fn organization_queue(&self, organization: &OrganizationId) -> String {
        queue_name::name(&self.organization_queue_prefix, organization)
    }

    /// Returns the shared queues, each with its name. A delay configured twice has one queue.
    pub fn queues(&self) -> BTreeMap<BrokerQueue, String> {
        let (inbox, dead_letters) = (self.queue.clone(), self.dead_letter_queue.clone());
        let retries = (0..self.delays.len()).map(|rung| self.retry_queue(rung));
        let mut queues: BTreeMap<_, _> = retries.map(|name| (BrokerQueue::Retry(name.clone()), name)).collect();
        queues.insert(BrokerQueue::Inbox(inbox.clone()), inbox);
        queues.insert(BrokerQueue::DeadLetters(dead_letters.clone()), dead_letters);
        queues
    }

    /// Returns true if events wait for a worker in a queue of this name: the inbox, or an organization's. Retry queues don't
    /// count, because expiry there returns an event to the inbox.
    pub(super) fn is_event_queue(&self, name: &str) -> bool {
        let of_organization = |rest: &str| rest.starts_with('.');
        name == self.queue || name.strip_prefix(&self.organization_queue_prefix).is_some_and(of_organization)
    }

    /// Returns the location of the broker for messages: each node and its virtual host, without user and password.
    pub fn place(&self) -> String {
        let place = |uri: &AMQPUri| format!("{}/{}", host_and_port(uri), uri.vhost.trim_start_matches('/'));
        self.uris()
            .map_or_else(|_| "broker.url".to_owned(), |uris| uris.iter().map(place).collect::<Vec<_>>().join(", "))
    }

    /// Returns the virtual host of the first URL.
    ///
    /// # Errors
    /// If a URL can't be parsed.
    pub fn virtual_host(&self) -> Result<String, StartError> {
        self.uris().map(|mut uris| uris.remove(0).vhost)
    }

    /// Parses the URLs; returns at least one.
    pub(super) fn uris(&self) -> Result<Vec<AMQPUri>, StartError> {
        if self.urls.is_empty() {
            return Err(StartError::Url { problem: "it is empty".to_owned() });
        }
        self.urls.iter().map(|url| read(url.expose_secret())).collect()
    }
}

/// Formats host and port as in a URL, with an IPv6 address in brackets.
pub(super) fn host_and_port(uri: &AMQPUri) -> String {
    let (host, port) = (&uri.authority.host, uri.authority.port);
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn read(url: &str) -> Result<AMQPUri, StartError> {
    let mut uri: AMQPUri = url.parse().map_err(|problem: String| StartError::Url {
        // One of the parser's messages quotes the whole URL, password included.
        problem: if problem.contains(url) { "it has no host".to_owned() } else { problem },
    })?;
    // The parser of lapin (amq-protocol-uri 10.6.3) reads an IPv6 address in brackets as a missing host, and that as
    // localhost.
    if let Some(url::Host::Ipv6(address)) =
        url::Url::parse(url).ok().and_then(|url| url.host().map(|host| host.to_owned()))
    {
        uri.authority.host = address.to_string();
    }
    // RabbitMQ's URI rules read a lone slash as a virtual host without a name. Nobody has one, and other clients read it as
    // the default.
    if uri.vhost.is_empty() {
        "/".clone_into(&mut uri.vhost);
    }
    uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
    uri.query.frame_max.get_or_insert(FRAME_MAX_BYTES);
    Ok(uri)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The contract's defaults, with a ladder that repeats a step.
    pub(in crate::rabbit) fn options() -> RabbitOptions {
        RabbitOptions {
            urls: vec!["amqp://guest:s3cret@broker:5672/%2f".into()],
            events_exchange: "opencx.events".into(),
            outcomes_exchange: "opencx.outcomes".into(),
            queue: "handoffd.events".into(),
            dead_letter_queue: "handoffd.dead-letters".into(),
            retry_queue_prefix: "handoffd.retry".into(),
            organization_queue_prefix: "handoffd.organization".into(),
            bindings: vec!["session.handoff.#".into()],
            prefetch: 256,
            declare: Declare::Create,
            new_queue_wait: Duration::from_secs(5),
            confirm_timeout: Duration::from_secs(30),
            tls: Tls::default(),
            delays: vec![
                ("5s".into(), Duration::from_secs(5)),
                ("5s".into(), Duration::from_secs(5)),
                ("2m".into(), Duration::from_secs(120)),
            ],
        }
    }

    #[test]
    fn the_last_rung_repeats() {
        let options = options();
        assert_eq!(options.retry_queue(0), "handoffd.retry.5s");
        assert_eq!(options.retry_queue(2), "handoffd.retry.2m");
        assert_eq!(options.retry_queue(7), "handoffd.retry.2m");
    }

    #[test]
    fn each_queue_is_listed_once() {
        let expected = ["handoffd.events", "handoffd.retry.2m", "handoffd.retry.5s", "handoffd.dead-letters"];
        assert_eq!(options().queues().into_values().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn event_queues_are_the_inbox_and_the_organizations_queues() {
        let waits = |name| options().is_event_queue(name);
        assert!(waits("handoffd.events") && waits("handoffd.organization.org_acme"));
        for other in ["handoffd.organization", "handoffd.organizations.x", "handoffd.retry.5s", "opencx.delay", ""] {
            assert!(!waits(other), "{other}");
        }
    }

    #[test]
    fn the_password_is_never_shown() {
        let options = options();
        assert_eq!(options.place(), "broker:5672/");
        assert!(!format!("{options:?}").contains("s3cret"));
    }

    #[test]
    fn the_location_lists_every_node_and_keeps_ipv6_addresses() {
        let mut options = options();
        options.urls = vec!["amqp://u:s3cret@one/a".into(), "amqps://u:s3cret@[2001:db8::7]:5673/%2f".into()];
        assert_eq!(options.place(), "one:5672/a, [2001:db8::7]:5673/");
        assert_eq!(options.uris().unwrap()[1].authority.host, "2001:db8::7");
        options.urls.clear();
        assert!(options.uris().is_err());
    }

    #[test]
    fn an_organizations_queue_starts_with_the_prefix() {
        assert_eq!(options().organization_queue(&"org_acme".into()), "handoffd.organization.org_acme");
    }

    #[test]
    fn the_url_overrides_the_default_heartbeat_and_frame_size() {
        let mut options = options();
        let of_url = |options: &RabbitOptions| {
            let query = options.uris().unwrap().remove(0).query;
            (query.heartbeat, query.frame_max)
        };
        assert_eq!(of_url(&options), (Some(10), Some(65_536)));
        options.urls = vec!["amqp://broker/%2f?heartbeat=3&frame_max=8192".into()];
        assert_eq!(of_url(&options), (Some(3), Some(8192)));
    }
}
