//! How the bus is set up.

use std::time::Duration;

use lapin::uri::AMQPUri;
use secrecy::{ExposeSecret, SecretString};

use super::refusal::StartError;

/// Heartbeat that is asked for unless the URL names one. A broker that is gone without a word is
/// noticed after twice this; brokers' own default, 60 s, would take two minutes.
const HEARTBEAT_SECONDS: u16 = 10;

/// Names and numbers of the bus.
#[derive(Clone, Debug)]
pub struct Options {
    /// `amqp://user:password@host:5672/%2f`, or `amqps://`. Never shown.
    pub url: SecretString,
    /// Topic exchange that events are published to.
    pub events_exchange: String,
    /// Topic exchange for outcomes.
    pub outcomes_exchange: String,
    /// Work queue.
    pub queue: String,
    /// Where events go that were given up.
    pub dead_letter_queue: String,
    /// Retry queues are called `<prefix>.<delay as written>`.
    pub retry_queue_prefix: String,
    /// Organizations' queues are called `<prefix>.<id>`.
    pub organization_queue_prefix: String,
    /// Binding keys of the work queue on the events exchange.
    pub bindings: Vec<String>,
    /// Deliveries in hand at once.
    pub prefetch: u16,
    /// Whether missing queues and exchanges are created.
    pub declare: Declare,
    /// The retry ladder: each delay as written in the configuration, and what it means.
    pub delays: Vec<(String, Duration)>,
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

    /// Every queue, the work queue first; a delay that is written twice has one queue.
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

    /// Whether events wait for a worker in a queue of this name: the inbox, or an organization's. Retry queues apart,
    /// where expiring is how an event goes on.
    pub(super) fn is_event_queue(&self, name: &str) -> bool {
        let of_organization = |rest: &str| rest.starts_with('.');
        name == self.queue || name.strip_prefix(&self.organization_queue_prefix).is_some_and(of_organization)
    }

    /// Where the broker is, for people: no user, no password.
    pub fn place(&self) -> String {
        self.uri().map_or_else(
            |_| "broker.url".to_owned(),
            |uri| {
                let vhost = uri.vhost.trim_start_matches('/');
                format!("{}:{}/{vhost}", uri.authority.host, uri.authority.port)
            },
        )
    }

    /// The URL, read.
    pub(super) fn uri(&self) -> Result<AMQPUri, StartError> {
        let url = self.url.expose_secret();
        let mut uri: AMQPUri = url.parse().map_err(|problem: String| StartError::Url {
            // The parser quotes the whole URL, password and all, in one of its messages.
            problem: if problem.contains(url) { "it has no host".to_owned() } else { problem },
        })?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        Ok(uri)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The contract's defaults, with a ladder that repeats a step.
    pub(in crate::bus::rabbit) fn options() -> Options {
        Options {
            url: "amqp://guest:s3cret@broker:5672/%2f".into(),
            events_exchange: "opencx.events".into(),
            outcomes_exchange: "opencx.outcomes".into(),
            queue: "handoffd.events".into(),
            dead_letter_queue: "handoffd.dead-letters".into(),
            retry_queue_prefix: "handoffd.retry".into(),
            organization_queue_prefix: "handoffd.organization".into(),
            bindings: vec!["session.handoff.#".into()],
            prefetch: 256,
            declare: Declare::Create,
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
    fn the_heartbeat_is_ours_unless_the_url_names_one() {
        let mut options = options();
        assert_eq!(options.uri().unwrap().query.heartbeat, Some(10));
        options.url = "amqp://broker/%2f?heartbeat=3".into();
        assert_eq!(options.uri().unwrap().query.heartbeat, Some(3));
    }
}
