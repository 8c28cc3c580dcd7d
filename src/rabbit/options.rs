//! How the bus is set up.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use handoffd_engine::event::OrganizationId;
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::uri::AMQPUri;
use secrecy::{ExposeSecret, SecretString};

use super::organization_queue;
use super::refusal::StartError;
use crate::regular::{self, LONGEST_PEM};

/// Heartbeat that is asked for unless the URL names one. A broker that is gone without a word is
/// noticed after twice this; brokers' own default, 60 s, would take two minutes.
const HEARTBEAT_SECONDS: u16 = 10;

/// Names and numbers of the bus.
#[derive(Clone, Debug)]
pub struct Options {
    /// The broker, or each node of a cluster: `amqp://user:password@host:5672/%2f`, or `amqps://`. Never shown.
    pub urls: Vec<SecretString>,
    /// Topic exchange that events are published to.
    pub events_exchange: String,
    /// Topic exchange for outcomes.
    pub outcomes_exchange: String,
    /// The inbox.
    pub queue: String,
    /// Where events go that were given up.
    pub dead_letter_queue: String,
    /// Retry queues are called `<prefix>.<delay as written>`.
    pub retry_queue_prefix: String,
    /// Organizations' queues are called `<prefix>.<id>`.
    pub organization_queue_prefix: String,
    /// Binding keys of the inbox on the events exchange.
    pub bindings: Vec<String>,
    /// Deliveries in hand at once.
    pub prefetch: u16,
    /// Whether missing queues and exchanges are created.
    pub declare: Declare,
    /// Time for which a queue that was made by this worker is left unused.
    pub new_queue_wait: Duration,
    /// Longest wait for a confirm.
    pub confirm_timeout: Duration,
    /// Files for TLS.
    pub tls: Tls,
    /// The retry ladder: each delay as written in the configuration, and what it means.
    pub delays: Vec<(String, Duration)>,
}

/// PEM files for `amqps://`, read anew for each connection: a renewed certificate needs no restart.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Tls {
    /// Roots in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// The worker's own certificate and its key, for mutual TLS.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl Tls {
    /// Reads the files. The error names the file.
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

/// What to do about queues and exchanges that are not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Declare {
    /// Create them.
    Create,
    /// Wait until somebody has.
    Check,
}

impl Options {
    /// The retry queue of a rung of the ladder; its last step repeats.
    ///
    /// Without any delay at all there is no retry queue, and a retry goes straight back to work.
    pub fn retry_queue(&self, rung: usize) -> String {
        match self.delays.get(rung).or(self.delays.last()) {
            Some((written, _)) => format!("{}.{written}", self.retry_queue_prefix),
            None => self.queue.clone(),
        }
    }

    /// The queue of an organization.
    pub fn organization_queue(&self, organization: &OrganizationId) -> String {
        organization_queue::name(&self.organization_queue_prefix, organization)
    }

    /// Every queue, the inbox first; a delay that is written twice has one queue.
    pub fn queues(&self) -> Vec<String> {
        let mut names = vec![self.queue.clone()];
        for rung in 0..self.delays.len() {
            let name = self.retry_queue(rung);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.push(self.dead_letter_queue.clone());
        names
    }

    /// True when events wait for a worker in a queue of this name: the inbox, or an organization's. Retry queues apart,
    /// where expiring is how an event goes on.
    pub(super) fn is_event_queue(&self, name: &str) -> bool {
        let of_organization = |rest: &str| rest.starts_with('.');
        name == self.queue || name.strip_prefix(&self.organization_queue_prefix).is_some_and(of_organization)
    }

    /// Where the broker is, for people: each node and its virtual host; no user, no password.
    pub fn place(&self) -> String {
        let place = |uri: &AMQPUri| format!("{}/{}", host_and_port(uri), uri.vhost.trim_start_matches('/'));
        self.uris()
            .map_or_else(|_| "broker.url".to_owned(), |uris| uris.iter().map(place).collect::<Vec<_>>().join(", "))
    }

    /// The virtual host, by the first URL.
    ///
    /// # Errors
    /// When a URL can't be read.
    pub fn virtual_host(&self) -> Result<String, StartError> {
        self.uris().map(|mut uris| uris.remove(0).vhost)
    }

    /// The URLs, read; at least one.
    pub(super) fn uris(&self) -> Result<Vec<AMQPUri>, StartError> {
        if self.urls.is_empty() {
            return Err(StartError::Url { problem: "there is none".to_owned() });
        }
        self.urls.iter().map(|url| read(url.expose_secret())).collect()
    }
}

/// Host and port as a URL has them: an IPv6 address in brackets.
pub(super) fn host_and_port(uri: &AMQPUri) -> String {
    let (host, port) = (&uri.authority.host, uri.authority.port);
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn read(url: &str) -> Result<AMQPUri, StartError> {
    let mut uri: AMQPUri = url.parse().map_err(|problem: String| StartError::Url {
        // The parser quotes the whole URL, password and all, in one of its messages.
        problem: if problem.contains(url) { "it has no host".to_owned() } else { problem },
    })?;
    // lapin's parser (amq-protocol-uri 10.6.3) takes an IPv6 address in brackets for no host, and that for localhost.
    if let Some(url::Host::Ipv6(address)) =
        url::Url::parse(url).ok().and_then(|url| url.host().map(|host| host.to_owned()))
    {
        uri.authority.host = address.to_string();
    }
    uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
    Ok(uri)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The contract's defaults, with a ladder that repeats a step.
    pub(in crate::rabbit) fn options() -> Options {
        Options {
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
    fn every_queue_is_named_once() {
        let expected = ["handoffd.events", "handoffd.retry.5s", "handoffd.retry.2m", "handoffd.dead-letters"];
        assert_eq!(options().queues(), expected);
    }

    #[test]
    fn events_wait_in_the_inbox_and_in_organizations_queues() {
        let waits = |name| options().is_event_queue(name);
        assert!(waits("handoffd.events") && waits("handoffd.organization.org_acme"));
        for other in ["handoffd.organization", "handoffd.organizations.x", "handoffd.retry.5s", "opencx.delay", ""] {
            assert!(!waits(other), "{other}");
        }
    }

    #[test]
    fn nothing_shows_the_password() {
        let options = options();
        assert_eq!(options.place(), "broker:5672/");
        assert!(!format!("{options:?}").contains("s3cret"));
    }

    #[test]
    fn every_node_is_named_and_an_ipv6_address_is_one() {
        let mut options = options();
        options.urls = vec!["amqp://u:s3cret@one/a".into(), "amqps://u:s3cret@[2001:db8::7]:5673/%2f".into()];
        assert_eq!(options.place(), "one:5672/a, [2001:db8::7]:5673/");
        assert_eq!(options.uris().unwrap()[1].authority.host, "2001:db8::7");
        options.urls.clear();
        assert!(options.uris().is_err());
    }

    #[test]
    fn an_organization_has_a_queue_under_the_prefix() {
        assert_eq!(options().organization_queue(&"org_acme".into()), "handoffd.organization.org_acme");
    }

    #[test]
    fn the_heartbeat_is_ours_unless_the_url_names_one() {
        let mut options = options();
        assert_eq!(options.uris().unwrap()[0].query.heartbeat, Some(10));
        options.urls = vec!["amqp://broker/%2f?heartbeat=3".into()];
        assert_eq!(options.uris().unwrap()[0].query.heartbeat, Some(3));
    }
}
