//! What must be on the broker: exchanges, queues, bindings, as a table.

use std::fmt;
use std::time::Duration;

use handoffd_engine::event::OrganizationId;
use lapin::types::{AMQPValue, FieldTable, LongString};

use super::options::Options;

/// Deliveries of one message before the broker itself gives it up.
pub const DELIVERY_LIMIT: i64 = 20;

/// One thing that must be there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Declaration {
    /// A durable topic exchange.
    Exchange {
        /// Its name.
        name: String,
    },
    /// A durable quorum queue.
    Queue {
        /// Its name.
        name: String,
        /// Its `x-` arguments.
        arguments: Vec<(&'static str, Argument)>,
    },
    /// A binding of the inbox.
    Binding {
        /// Exchange.
        exchange: String,
        /// Queue.
        queue: String,
        /// Routing key pattern.
        key: String,
    },
}

/// The value of a queue argument.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Argument {
    /// Text.
    Text(String),
    /// A number.
    Number(i64),
}

/// The broker's version, as far as it matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct BrokerVersion {
    /// 3 of 3.10.8.
    pub major: u32,
    /// 10 of 3.10.8.
    pub minor: u32,
}

/// Everything, in the order in which it is declared: what others lead to comes first.
pub fn topology(options: &Options, version: BrokerVersion) -> Vec<Declaration> {
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
    /// What an unknown broker is taken for: the oldest that has all that is used here.
    pub const OLDEST: Self = Self { major: 3, minor: 10 };

    /// Reads `3.10.8`, `4.0` and `4`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(['.', '-', '+']);
        Some(Self { major: numbers.next()?.parse().ok()?, minor: numbers.next().unwrap_or("0").parse().ok()? })
    }

    /// From 4.0 on a quorum queue has a delivery limit of 20 unless it says -1; before, it has none
    /// and refuses -1.
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
    /// As AMQP carries it.
    fn encode(&self) -> AMQPValue {
        match self {
            Self::Text(text) => AMQPValue::LongString(LongString::from(text.as_str())),
            Self::Number(number) => AMQPValue::LongLongInt(*number),
        }
    }
}

/// The arguments as an AMQP table.
pub(super) fn encode(arguments: &[(&'static str, Argument)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        table.insert((*name).into(), value.encode());
    }
    table
}

/// The queue in which an organization's events wait. It has no delivery limit: what waits is looked at and given back often.
pub fn organization_queue(options: &Options, organization: &OrganizationId, version: BrokerVersion) -> Declaration {
    let mut arguments = quorum();
    arguments.extend(no_delivery_limit(version));
    arguments.extend(dead_lettering_to(&options.dead_letter_queue));
    Declaration::Queue { name: options.organization_queue(organization), arguments }
}

fn exchange(name: &str) -> Declaration {
    Declaration::Exchange { name: name.to_owned() }
}

fn work(options: &Options) -> Declaration {
    let mut arguments = quorum();
    arguments.push(("x-delivery-limit", Argument::Number(DELIVERY_LIMIT)));
    arguments.extend(dead_lettering_to(&options.dead_letter_queue));
    Declaration::Queue { name: options.queue.clone(), arguments }
}

fn retry(options: &Options, written: &str, delay: Duration, version: BrokerVersion) -> Declaration {
    let mut arguments = quorum();
    arguments.extend(no_delivery_limit(version));
    let ttl = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
    arguments.push(("x-message-ttl", Argument::Number(ttl)));
    arguments.extend(dead_lettering_to(&options.queue));
    Declaration::Queue { name: format!("{}.{written}", options.retry_queue_prefix), arguments }
}

fn dead_letters(options: &Options, version: BrokerVersion) -> Declaration {
    let mut arguments = quorum();
    arguments.extend(no_delivery_limit(version));
    Declaration::Queue { name: options.dead_letter_queue.clone(), arguments }
}

fn quorum() -> Vec<(&'static str, Argument)> {
    vec![("x-queue-type", Argument::Text("quorum".to_owned()))]
}

/// At least once, by the default exchange, to one queue. With any of these missing the broker falls
/// back to at most once without a word.
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
    fn the_work_queue_gives_up_into_the_dead_letter_queue() {
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
    fn a_retry_queue_sends_back_after_its_delay() {
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

    /// From RabbitMQ 4.0 on a limit is what a queue has unless it says so.
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
    fn the_dead_letter_queue_has_no_limit_whatever_the_version() {
        let quorum = ("x-queue-type", text("quorum"));
        let name = "handoffd.dead-letters";
        assert_eq!(arguments(name, OLD), vec![quorum.clone()]);
        let unlimited = ("x-delivery-limit", Argument::Number(-1));
        assert_eq!(arguments(name, NEW), vec![quorum, unlimited]);
    }

    #[test]
    fn what_others_lead_to_comes_first_and_each_once() {
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
    fn versions_are_read() {
        let read = |text| BrokerVersion::parse(text).map(|read| (read.major, read.minor));
        assert_eq!(read("3.10.8"), Some((3, 10)));
        assert_eq!(read("4.0.0-rc.1"), Some((4, 0)));
        assert_eq!(read("4.1+12.gabc"), Some((4, 1)));
        assert_eq!(read("4"), Some((4, 0)));
        assert_eq!(read("unknown"), None);
        assert_eq!(read("4.x"), None);
    }
}
