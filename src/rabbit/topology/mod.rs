//! Exchanges, queues and bindings that the worker requires, as a table.

pub(super) mod declare;
pub(super) mod definitions;
pub(super) mod organization_queues;
pub(super) mod queue_block;
pub(super) mod queue_name;
mod remake;

use std::fmt;
use std::time::Duration;

use handoffd_engine::event::OrganizationId;
use lapin::types::{AMQPValue, FieldTable, LongString};

use crate::rabbit::options::RabbitOptions;

/// Number of deliveries of one message after which the broker dead-letters it.
pub const DELIVERY_LIMIT: i64 = 20;

/// Exchange, queue or binding that must exist.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Declaration {
    /// Durable topic exchange.
    Exchange {
        /// Name of the exchange.
        name: String,
    },
    /// Durable quorum queue.
    Queue {
        /// Name of the queue.
        name: String,
        /// The queue's `x-` arguments.
        arguments: Vec<(&'static str, Argument)>,
    },
    /// Binding of the inbox.
    Binding {
        /// Exchange.
        exchange: String,
        /// Queue.
        queue: String,
        /// Routing key pattern.
        key: String,
    },
}

/// Value of a queue argument.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Argument {
    /// Text.
    Text(String),
    /// Number.
    Number(i64),
}

/// Version of the broker, without its patch level.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct BrokerVersion {
    /// Major version: 3 in 3.10.8.
    pub major: u32,
    /// Minor version: 10 in 3.10.8.
    pub minor: u32,
}

/// Returns all shared declarations in the order of declaration: the target of a dead-lettering or binding precedes its
/// source.
pub fn topology(options: &RabbitOptions, version: BrokerVersion) -> Vec<Declaration> {
    let mut all =
        vec![exchange(&options.events_exchange), exchange(&options.outcomes_exchange), dead_letters(options, version)];
    for (written, delay) in &options.delays {
        let queue = retry(options, written, *delay, version);
        if !all.contains(&queue) {
            all.push(queue);
        }
    }
    all.push(work(options));
    all.extend(options.bindings.iter().map(|key| Declaration::Binding {
        exchange: options.events_exchange.clone(),
        queue: options.queue.clone(),
        key: key.clone(),
    }));
    all
}

impl BrokerVersion {
    /// Version assumed for an unknown broker: the oldest with every feature in use.
    pub const OLDEST: Self = Self { major: 3, minor: 10 };

    /// Parses `3.10.8`, `4.0` and `4`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(['.', '-', '+']);
        Some(Self { major: numbers.next()?.parse().ok()?, minor: numbers.next().unwrap_or("0").parse().ok()? })
    }

    /// Returns true if quorum queues have a delivery limit of 20 by default, which -1 removes. Brokers before 4.0 have no
    /// default limit and refuse -1.
    fn limits_by_default(self) -> bool {
        self.major >= 4
    }
}

fn no_delivery_limit(version: BrokerVersion) -> Option<(&'static str, Argument)> {
    version.limits_by_default().then_some(("x-delivery-limit", Argument::Number(-1)))
}

impl fmt::Display for Declaration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exchange { name } => write!(f, "the exchange `{name}`"),
            Self::Queue { name, .. } => write!(f, "the queue `{name}`"),
            Self::Binding { exchange, queue, key } => write!(f, "the binding `{key}` of `{queue}` to `{exchange}`"),
        }
    }
}

impl Argument {
    /// Converts to an AMQP value.
    fn encode(&self) -> AMQPValue {
        match self {
            Self::Text(text) => AMQPValue::LongString(LongString::from(text.as_str())),
            Self::Number(number) => AMQPValue::LongLongInt(*number),
        }
    }
}

/// Converts arguments to an AMQP table.
pub(super) fn encode(arguments: &[(&'static str, Argument)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        table.insert((*name).into(), value.encode());
    }
    table
}

/// Returns the declaration of an organization's queue. It has no delivery limit, because waiting events are often
/// delivered and returned.
pub fn organization_queue(
    options: &RabbitOptions,
    organization: &OrganizationId,
    version: BrokerVersion,
) -> Declaration {
    let mut arguments = quorum();
    arguments.extend(no_delivery_limit(version));
    arguments.extend(dead_lettering_to(&options.dead_letter_queue));
    Declaration::Queue { name: options.organization_queue(organization), arguments }
}

fn exchange(name: &str) -> Declaration {
    Declaration::Exchange { name: name.to_owned() }
}

fn work(options: &RabbitOptions) -> Declaration {
    let mut arguments = quorum();
    arguments.push(("x-delivery-limit", Argument::Number(DELIVERY_LIMIT)));
    arguments.extend(dead_lettering_to(&options.dead_letter_queue));
    Declaration::Queue { name: options.queue.clone(), arguments }
}

fn retry(options: &RabbitOptions, written: &str, delay: Duration, version: BrokerVersion) -> Declaration {
    let mut arguments = quorum();
    arguments.extend(no_delivery_limit(version));
    let ttl = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
    arguments.push(("x-message-ttl", Argument::Number(ttl)));
    arguments.extend(dead_lettering_to(&options.queue));
    Declaration::Queue { name: format!("{}.{written}", options.retry_queue_prefix), arguments }
}

fn dead_letters(options: &RabbitOptions, version: BrokerVersion) -> Declaration {
    let mut arguments = quorum();
    arguments.extend(no_delivery_limit(version));
    Declaration::Queue { name: options.dead_letter_queue.clone(), arguments }
}

fn quorum() -> Vec<(&'static str, Argument)> {
    vec![("x-queue-type", Argument::Text("quorum".to_owned()))]
}

/// Returns the arguments for dead-lettering at least once to one queue, by the default exchange. If any of them is
/// missing, the broker silently falls back to at most once.
fn dead_lettering_to(queue: &str) -> Vec<(&'static str, Argument)> {
    vec![
        ("x-dead-letter-exchange", Argument::Text(String::new())),
        ("x-dead-letter-routing-key", Argument::Text(queue.to_owned())),
        ("x-dead-letter-strategy", Argument::Text("at-least-once".to_owned())),
        ("x-overflow", Argument::Text("reject-publish".to_owned())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rabbit::options::tests::options;

    const OLD: BrokerVersion = BrokerVersion::OLDEST;
    const NEW: BrokerVersion = BrokerVersion { major: 4, minor: 0 };

    fn arguments(of: &str, version: BrokerVersion) -> Vec<(&'static str, Argument)> {
        topology(&options(), version)
            .into_iter()
            .find_map(|declaration| match declaration {
                Declaration::Queue { name, arguments } if name == of => Some(arguments),
                _ => None,
            })
            .unwrap()
    }

    fn text(text: &str) -> Argument {
        Argument::Text(text.to_owned())
    }

    #[test]
    fn the_inbox_dead_letters_to_the_dead_letter_queue() {
        let expected = vec![
            ("x-queue-type", text("quorum")),
            ("x-delivery-limit", Argument::Number(20)),
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text("handoffd.dead-letters")),
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-overflow", text("reject-publish")),
        ];
        assert_eq!(arguments("handoffd.events", OLD), expected);
        assert_eq!(arguments("handoffd.events", NEW), expected);
    }

    #[test]
    fn a_retry_queue_returns_events_to_the_inbox_after_its_delay() {
        let expected = vec![
            ("x-queue-type", text("quorum")),
            ("x-message-ttl", Argument::Number(120_000)),
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text("handoffd.events")),
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-overflow", text("reject-publish")),
        ];
        assert_eq!(arguments("handoffd.retry.2m", OLD), expected);
        assert_eq!(arguments("handoffd.retry.2m", NEW), unlimited(expected));
    }

    /// From RabbitMQ 4.0 on queues have a limit by default.
    fn unlimited(mut old: Vec<(&'static str, Argument)>) -> Vec<(&'static str, Argument)> {
        old.insert(1, ("x-delivery-limit", Argument::Number(-1)));
        old
    }

    #[test]
    fn an_organization_has_a_queue_without_a_limit() {
        let queue = |version| match organization_queue(&options(), &"org_acme".into(), version) {
            Declaration::Queue { name, arguments } if name == "handoffd.organization.org_acme" => arguments,
            other => panic!("{other}"),
        };
        let expected = vec![
            ("x-queue-type", text("quorum")),
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text("handoffd.dead-letters")),
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-overflow", text("reject-publish")),
        ];
        assert_eq!(queue(OLD), expected);
        assert_eq!(queue(NEW), unlimited(expected));
    }

    #[test]
    fn the_dead_letter_queue_has_no_limit_in_any_version() {
        let quorum = ("x-queue-type", text("quorum"));
        let name = "handoffd.dead-letters";
        assert_eq!(arguments(name, OLD), vec![quorum.clone()]);
        let unlimited = ("x-delivery-limit", Argument::Number(-1));
        assert_eq!(arguments(name, NEW), vec![quorum, unlimited]);
    }

    #[test]
    fn targets_are_declared_first_and_each_once() {
        let names: Vec<_> = topology(&options(), OLD).iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            [
                "the exchange `opencx.events`",
                "the exchange `opencx.outcomes`",
                "the queue `handoffd.dead-letters`",
                "the queue `handoffd.retry.5s`",
                "the queue `handoffd.retry.2m`",
                "the queue `handoffd.events`",
                "the binding `session.handoff.#` of `handoffd.events` to `opencx.events`",
            ]
        );
    }

    #[test]
    fn versions_are_parsed() {
        let read = |text| BrokerVersion::parse(text).map(|read| (read.major, read.minor));
        assert_eq!(read("3.10.8"), Some((3, 10)));
        assert_eq!(read("4.0.0-rc.1"), Some((4, 0)));
        assert_eq!(read("4.1+12.gabc"), Some((4, 1)));
        assert_eq!(read("4"), Some((4, 0)));
        assert_eq!(read("unknown"), None);
        assert_eq!(read("4.x"), None);
    }
}
