//! The adapter's topology at start: its declarations, and its errors when it can't declare.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use handoffd::rabbit::{self, Declare, Publisher, Rabbit, RabbitOptions, StartError};
use handoffd_engine::ports::bus::Bus;
use handoffd_engine::ports::metrics::NoMetrics;
use lapin::ExchangeKind;
use lapin::options::{ExchangeDeclareOptions, ExchangeDeleteOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::rabbit::{Rig, options};
use crate::support::broker::{Broker, Client, DEADLINE, eventually};

fn connect(options: &RabbitOptions) -> Rabbit {
    rabbit::connect(options.clone(), Arc::new(NoMetrics)).unwrap()
}

async fn wait_until_connected(bus: &Rabbit) -> Result<(), StartError> {
    let contact = timeout(DEADLINE, bus.wait_until_connected()).await;
    contact.expect("a first contact in time")
}

async fn says(bus: &Rabbit, text: &str) {
    let what = format!("being unready over: {text}");
    eventually(&what, async || bus.unready().iter().any(|reason| reason.contains(text))).await;
}

fn durable() -> QueueDeclareOptions {
    QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() }
}

/// The inbox's arguments, one of them changed or omitted.
fn changed(options: &RabbitOptions, argument: &str, value: Option<&AMQPValue>) -> FieldTable {
    let text = |text: &str| AMQPValue::LongString(text.into());
    let mut all = BTreeMap::from([
        ("x-queue-type", text("quorum")),
        ("x-delivery-limit", AMQPValue::LongInt(20)),
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(&options.dead_letter_queue)),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
    ]);
    all.remove(argument);
    let mut table = FieldTable::default();
    let value = value.map(|value| (argument, value.clone()));
    for (name, value) in all.into_iter().chain(value) {
        table.insert(name.into(), value);
    }
    table
}

/// The contract's table, as the broker itself reports it.
#[tokio::test]
async fn declares_exactly_the_contracts_queues_and_exchanges() {
    let broker = Broker::start();
    let url = broker.url().to_owned();
    let options = RabbitOptions {
        events_exchange: "opencx.events".into(),
        outcomes_exchange: "opencx.outcomes".into(),
        queue: "handoffd.events".into(),
        dead_letter_queue: "handoffd.dead-letters".into(),
        retry_queue_prefix: "handoffd.retry".into(),
        bindings: vec!["session.handoff.#".into(), "conversation.closed".into()],
        delays: vec![
            ("5s".into(), Duration::from_secs(5)),
            ("2m".into(), Duration::from_secs(120)),
            ("5s".into(), Duration::from_secs(5)),
        ],
        ..options(&url)
    };
    let rig = Rig::start(options, &url).await;
    let queues = broker.ctl(&["list_queues", "name", "durable", "arguments", "--formatter=json"]);
    let mut queues = sorted(&queues);
    // From RabbitMQ 4.0 every quorum queue has a limit: 20 if none is declared, and -1 for no limit.
    let none_declared = queues.iter_mut().filter_map(without_a_limit).collect::<Vec<_>>();
    let expected = if broker.eval("list_to_atom(rabbit_misc:version())").starts_with("'3.") {
        vec![]
    } else {
        vec!["handoffd.dead-letters"]
    };
    assert_eq!(none_declared, expected);
    insta::assert_json_snapshot!("queues", queues);
    let exchanges = broker.ctl(&["list_exchanges", "name", "type", "durable", "--formatter=json"]);
    let exchanges: Vec<_> = sorted(&exchanges)
        .into_iter()
        .filter(|exchange| exchange["name"].as_str().unwrap().starts_with("opencx"))
        .collect();
    insta::assert_json_snapshot!("exchanges", exchanges);
    let bindings = broker.ctl(&["list_bindings", "source_name", "destination_name", "routing_key", "--formatter=json"]);
    let bindings: Vec<_> = sorted(&bindings).into_iter().filter(|binding| binding["source_name"] != "").collect();
    insta::assert_json_snapshot!("bindings", bindings);
    // A second worker accepts the same topology.
    let second = connect(&rig.options);
    wait_until_connected(&second).await.unwrap();
    second.close().await;
    rig.finish().await;
}

/// Removes the argument that means no delivery limit. Returns the queue's name if it was present.
fn without_a_limit(queue: &mut serde_json::Value) -> Option<String> {
    let none = serde_json::json!(["x-delivery-limit", "long", -1]);
    let arguments = queue["arguments"].as_array_mut()?;
    let before = arguments.len();
    arguments.retain(|argument| *argument != none);
    (arguments.len() < before).then(|| queue["name"].as_str().unwrap_or_default().to_owned())
}

fn sorted(json: &str) -> Vec<serde_json::Value> {
    let mut rows: Vec<serde_json::Value> = serde_json::from_str(json).unwrap();
    // The order of the columns depends on the version.
    rows.iter_mut().for_each(serde_json::Value::sort_all_objects);
    rows.sort_by_key(|row| (row["name"].to_string(), row.to_string()));
    rows
}

#[tokio::test]
async fn a_queue_that_differs_is_named_with_its_argument() {
    let url = Broker::shared();
    let client = Client::connect(url).await;
    let cases = [
        ("x-delivery-limit", Some(AMQPValue::LongInt(7))),
        ("x-delivery-limit", None),
        ("x-dead-letter-routing-key", Some(AMQPValue::LongString("elsewhere".into()))),
    ];
    for (argument, value) in cases {
        for declare in [Declare::Create, Declare::Check] {
            let options = RabbitOptions { declare, ..options(url) };
            if declare == Declare::Check {
                let maker = connect(&RabbitOptions { declare: Declare::Create, ..options.clone() });
                wait_until_connected(&maker).await.unwrap();
                maker.close().await;
                client.delete_queue(&options.queue).await;
            }
            let queue = options.queue.as_str().into();
            let table = changed(&options, argument, value.as_ref());
            client.channel().queue_declare(queue, durable(), table).await.unwrap();
            let bus = connect(&options);
            let error = wait_until_connected(&bus).await.unwrap_err();
            let StartError::Differs { what, name, argument: named, .. } = &error else {
                panic!("{error}");
            };
            assert_eq!((what.as_str(), name, named.as_str()), ("queue", &options.queue, argument));
            says(&bus, argument).await;
            bus.close().await;
        }
    }
}

/// The type explains every other difference, and the broker compares it last. An empty value can be told from none.
#[tokio::test]
async fn a_classic_queue_is_reported_by_its_type() {
    let url = Broker::shared();
    let client = Client::connect(url).await;
    let text = |text: &str| AMQPValue::LongString(text.into());
    let classic = [("x-max-length", AMQPValue::LongInt(5)), ("x-dead-letter-exchange", text("elsewhere"))];
    for arguments in [&[], classic.as_slice()] {
        let options = options(url);
        let mut table = FieldTable::default();
        for (name, value) in arguments {
            table.insert((*name).into(), value.clone());
        }
        client.channel().queue_declare(options.queue.as_str().into(), durable(), table).await.unwrap();
        let bus = connect(&options);
        let error = wait_until_connected(&bus).await.unwrap_err().to_string();
        assert!(error.contains("with another x-queue-type: expected \"quorum\", found "), "{error}");
        bus.close().await;
    }
    let options = options(url);
    let mut table = FieldTable::default();
    table.insert("x-queue-type".into(), text("quorum"));
    table.insert("x-delivery-limit".into(), AMQPValue::LongInt(20));
    client.channel().queue_declare(options.queue.as_str().into(), durable(), table).await.unwrap();
    let bus = connect(&options);
    let error = wait_until_connected(&bus).await.unwrap_err().to_string();
    assert!(error.contains("with another x-dead-letter-exchange: expected \"\", found none"), "{error}");
    bus.close().await;
}

#[tokio::test]
async fn an_exchange_that_differs_is_named_too() {
    let url = Broker::shared();
    let options = options(url);
    let client = Client::connect(url).await;
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let name = options.outcomes_exchange.as_str().into();
    client.channel().exchange_declare(name, ExchangeKind::Direct, durable, FieldTable::default()).await.unwrap();
    let bus = connect(&options);
    let error = wait_until_connected(&bus).await.unwrap_err().to_string();
    assert!(error.contains(&options.outcomes_exchange), "{error}");
    assert!(error.contains("type") && error.contains("topic") && error.contains("direct"), "{error}");
    bus.close().await;
}

/// OpenCX's exchanges are its own: the worker only requires that they are durable topics.
#[tokio::test]
async fn an_exchange_may_have_other_arguments() {
    let url = Broker::shared();
    let client = Client::connect(url).await;
    let mut unrouted = FieldTable::default();
    unrouted.insert("alternate-exchange".into(), AMQPValue::LongString("amq.fanout".into()));
    for declare in [Declare::Create, Declare::Check] {
        let options = RabbitOptions { declare, ..options(url) };
        let maker = connect(&RabbitOptions { declare: Declare::Create, ..options.clone() });
        wait_until_connected(&maker).await.unwrap();
        maker.close().await;
        for name in [&options.events_exchange, &options.outcomes_exchange] {
            let of_its_own = ExchangeDeclareOptions { durable: true, auto_delete: true, ..Default::default() };
            let gone = ExchangeDeleteOptions::default();
            client.channel().exchange_delete(name.as_str().into(), gone).await.unwrap();
            let name = name.as_str().into();
            client.channel().exchange_declare(name, ExchangeKind::Topic, of_its_own, unrouted.clone()).await.unwrap();
        }
        let bus = connect(&options);
        wait_until_connected(&bus).await.unwrap();
        bus.close().await;

        let transient = ExchangeDeclareOptions::default();
        let name = || options.outcomes_exchange.as_str().into();
        client.channel().exchange_delete(name(), ExchangeDeleteOptions::default()).await.unwrap();
        client.channel().exchange_declare(name(), ExchangeKind::Topic, transient, unrouted.clone()).await.unwrap();
        let bus = connect(&options);
        let error = wait_until_connected(&bus).await.unwrap_err().to_string();
        assert!(error.contains(&options.outcomes_exchange) && error.contains("durable"), "{error}");
        bus.close().await;
    }
}

#[tokio::test]
async fn a_delay_that_the_broker_can_not_take_is_an_error() {
    let mut options = options(Broker::shared());
    options.delays = vec![("4000d".into(), Duration::from_secs(4000 * 86_400))];
    let bus = connect(&options);
    let error = wait_until_connected(&bus).await.unwrap_err();
    assert!(matches!(error, StartError::Refused { .. }), "{error}");
    assert!(error.to_string().contains(&options.retry_queue(0)), "{error}");
    bus.close().await;
}

/// `declare = false`: the worker waits for everything that is missing, and names all of it.
#[tokio::test]
async fn a_worker_that_only_checks_waits_for_what_is_missing() {
    let url = Broker::shared();
    let checks = RabbitOptions { declare: Declare::Check, ..options(url) };
    let bus = connect(&checks);
    let RabbitOptions { events_exchange, outcomes_exchange, dead_letter_queue, queue, .. } = &checks;
    let (soon, late) = (checks.retry_queue(0), checks.retry_queue(1));
    let all = format!(
        "missing: the exchange `{events_exchange}`, the exchange `{outcomes_exchange}`, the queue `{dead_letter_queue}`, \
         the queue `{soon}`, the queue `{late}`, the queue `{queue}`; create what is missing"
    );
    says(&bus, &all).await;
    let maker = connect(&RabbitOptions { declare: Declare::Create, ..checks.clone() });
    wait_until_connected(&maker).await.unwrap();
    maker.close().await;
    wait_until_connected(&bus).await.unwrap();
    bus.serve(rabbit::OrganizationSet::default());
    let _inbox = bus.inbox().await;
    eventually("readiness", async || bus.unready().is_empty()).await;
    bus.close().await;
    // One missing queue less, one name less.
    let client = Client::connect(url).await;
    client.delete_queue(&checks.retry_queue(1)).await;
    let bus = connect(&checks);
    says(&bus, &format!("missing: the queue `{}`; create what is missing", checks.retry_queue(1))).await;
    bus.close().await;
}

/// More names than a connection has channel numbers; each missing name uses one up.
#[tokio::test]
async fn thousands_of_missing_names_are_all_found() {
    let delays = (1..=2500).map(|step| (format!("{step}ms"), Duration::from_millis(step))).collect();
    let checks = RabbitOptions { declare: Declare::Check, delays, ..options(Broker::shared()) };
    let bus = connect(&checks);
    says(&bus, &checks.queue).await;
    let reasons = bus.unready().join(" ");
    for rung in 0..2500 {
        assert!(reasons.contains(&format!("`{}`", checks.retry_queue(rung))), "{rung}");
    }
    bus.close().await;
}

/// Nodes of a cluster: one of them is stopped, one is frozen.
#[tokio::test]
async fn another_node_is_used_if_one_is_stopped_or_frozen() {
    let broker = Broker::shared();
    let frozen = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = frozen.local_addr().unwrap().port();
    let urls = [
        "amqp://guest:guest@127.0.0.1:1/%2f".into(),
        format!("amqp://guest:guest@localhost:{port}/%2f"),
        broker.into(),
    ];
    let options = RabbitOptions { urls: urls.map(Into::into).to_vec(), ..options(broker) };
    let bus = connect(&options);
    wait_until_connected(&bus).await.unwrap();
    bus.close().await;
    // Commands use the same list.
    Publisher::connect(&options).await.unwrap().close().await;

    let away = RabbitOptions { urls: options.urls[..2].to_vec(), ..options };
    let bus = connect(&away);
    says(&bus, "127.0.0.1:1 (127.0.0.1): Connection refused").await;
    says(&bus, &format!("localhost:{port} (127.0.0.1): port open, but no AMQP greeting")).await;
    bus.close().await;
}

#[tokio::test]
async fn a_broker_that_refuses_the_login_is_retried_and_reported() {
    let url = Broker::shared();
    let (_, place) = url.split_once('@').unwrap();
    let wrong = options(&format!("amqp://guest:wr0ng@{place}"));
    let bus = connect(&wrong);
    says(&bus, "refuses the user or password").await;
    assert!(!bus.unready().join(" ").contains("wr0ng"));
    bus.close().await;

    let (host, _) = url.rsplit_once('/').unwrap();
    let bus = connect(&options(&format!("{host}/no-such-vhost")));
    says(&bus, "refuses the virtual host").await;
    bus.close().await;
}

#[tokio::test]
async fn an_invalid_url_is_an_error_that_does_not_quote_it() {
    for url in ["mailto:guest:s3cret", "http://guest:s3cret@localhost/", "amqp://guest:s3cret@localhost:port/"] {
        let error = rabbit::connect(options(url), Arc::new(NoMetrics)).err().unwrap();
        assert!(matches!(error, StartError::Url { .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
    }
}
