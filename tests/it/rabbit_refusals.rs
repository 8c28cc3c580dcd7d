//! Exchanges and queues that refuse messages (nack) on a real broker: named while they do, and used again afterwards.

use std::time::Duration;

use futures_util::future::join_all;
use handoffd_engine::ports::bus::{Bus, BusError};
use lapin::options::{QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::rabbit::{Rig as BusRig, announcement, options};
use crate::support::broker::{Broker, Client, eventually};
use crate::support::event::{Event, handoff};
use crate::support::interface::Api;
use crate::support::rig::{Rig, rig_on};

/// Declares a queue for all outcomes that an operator could have bound.
async fn bind_outcomes(client: &Client, exchange: &str, queue: &str) {
    let mut table = FieldTable::default();
    table.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    client.channel().queue_declare(queue.into(), durable, table).await.unwrap();
    let options = QueueBindOptions::default();
    client
        .channel()
        .queue_bind(queue.into(), exchange.into(), "#".into(), options, FieldTable::default())
        .await
        .unwrap();
}

/// Sets a policy with which a queue refuses messages beyond this number.
fn limit(broker: &Broker, queue: &str, messages: u32) {
    let pattern = format!("^{}$", queue.replace('.', "\\."));
    let definition = json!({ "max-length": messages, "overflow": "reject-publish" }).to_string();
    broker.ctl(&["set_policy", "limit", &pattern, &definition, "--apply-to", "queues"]);
}

fn lift(broker: &Broker) {
    broker.ctl(&["clear_policy", "limit"]);
}

/// RabbitMQ (3.10.8) keeps refusing on a channel on which it has refused once, whatever becomes of the policy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_has_refused_is_published_to_again_once_it_accepts() {
    let broker = Broker::start();
    let rig = BusRig::start(options(broker.url()), broker.url()).await;
    let (exchange, queue) = (&rig.options.outcomes_exchange, "limited");
    bind_outcomes(&rig.client, exchange, queue).await;
    limit(&broker, queue, 1);
    let batch = async || join_all((0..30).map(|n| rig.bus.announce(announcement("a", &n.to_string())))).await;
    let mut refused = 0;
    eventually("refusals", async || {
        for answer in batch().await {
            match answer {
                Ok(_) => {}
                Err(BusError::Refused { .. }) => refused += 1,
                Err(other) => panic!("{other}"),
            }
        }
        refused > 100
    })
    .await;
    assert_eq!(rig.bus.refusing().len(), 1, "{:?}", rig.bus.refusing());
    assert_eq!((&rig.bus.refusing()[0].0, rig.bus.unready()), (exchange, Vec::new()));
    lift(&broker);
    eventually("an accepted message", async || {
        sleep(Duration::from_millis(50)).await;
        batch().await.iter().all(Result::is_ok)
    })
    .await;
    assert_eq!(rig.bus.refusing(), []);
    assert_eq!(rig.log.count("BrokerConnected(true)"), 1, "on the same connection");
    rig.bus.close().await;
}

/// Returns true if the status names a destination that refuses messages, and the worker is degraded for it.
async fn is_named(rig: &Rig, organization: Option<&str>, name: &str) -> bool {
    let status = Api::of(rig).get("/api/v1/status").await;
    let cause = format!("refuses messages for {}`{name}`", if organization.is_some() { "its queue " } else { "" });
    let is_it = |reason: &Value| {
        reason["organization_id"].as_str() == organization && reason["cause"].as_str().unwrap().contains(&cause)
    };
    status["reasons"].as_array().unwrap().iter().any(is_it) && status["verdict"] == "degraded"
}

/// Makes a queue refuse what events need of it until that is named, then lets it accept messages again. Returns the
/// events. The broker applies a policy some time after it was set.
async fn refuses(
    (rig, broker): (&Rig, &Broker),
    (queue, name): (&str, &str),
    organization: Option<&str>,
    event: impl Fn() -> Event,
) -> Vec<Event> {
    limit(broker, queue, 0);
    let mut events = Vec::new();
    eventually(&format!("refusals of {name}"), async || {
        events.push(event());
        rig.bus.publish(&events[events.len() - 1]).await;
        sleep(Duration::from_secs(1)).await;
        is_named(rig, organization, name).await
    })
    .await;
    assert_eq!(rig.worker().unready().await, Vec::<String>::new(), "events wait on the ladder");
    lift(broker);
    eventually(&format!("messages accepted by {name}"), async || !is_named(rig, organization, name).await).await;
    events
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_refuses_is_named_until_it_accepts() {
    let broker = Broker::start();
    let rig = rig_on(&broker).set("retry", "delays", vec!["200ms".to_owned()]).start().await;
    let client = Client::connect(broker.url()).await;
    let [_, exchange] = rig.files.exchanges();
    bind_outcomes(&client, &exchange, "limited").await;
    let events = refuses((&rig, &broker), ("limited", &exchange), None, || handoff("web")).await;
    rig.bus.outcomes_of(&events).await;
}
