//! An organization's queue that the broker refuses blocks that organization; the connection and all others go on.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use handoffd::rabbit::{self, Declare, RabbitOptions, StartError};
use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::bus::{Bus, Forwarded};
use handoffd_engine::ports::metrics::NoMetrics;
use lapin::BasicProperties;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use tokio::time::timeout;

use crate::rabbit::{Rig, options, served};
use crate::support::broker::{Broker, Client, DEADLINE, eventually};

const OTHER: &str = "org_other";
const BLOCKED: &str = "org_blocked";

fn blocked() -> OrganizationId {
    OrganizationId::from(BLOCKED)
}

/// Declares the queue of the organization with a length limit, which the worker's declaration does not have.
async fn declare_limited(options: &RabbitOptions, client: &Client) -> String {
    let text = |text: &str| AMQPValue::LongString(text.into());
    let mut table = FieldTable::default();
    table.insert("x-queue-type".into(), text("quorum"));
    table.insert("x-dead-letter-exchange".into(), text(""));
    table.insert("x-dead-letter-routing-key".into(), text(&options.dead_letter_queue));
    table.insert("x-dead-letter-strategy".into(), text("at-least-once"));
    table.insert("x-overflow".into(), text("reject-publish"));
    table.insert("x-max-length".into(), AMQPValue::LongInt(1000));
    let queue = options.organization_queue(&blocked());
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    client.channel().queue_declare(queue.as_str().into(), durable, table).await.unwrap();
    queue
}

/// Publishes an event and forwards it to an organization, as often as it waits in a retry queue before.
async fn moves(rig: &mut Rig, organization: &str) {
    rig.publish(organization, BasicProperties::default()).await;
    loop {
        let delivery = rig.next().await;
        let to = OrganizationId::from(std::str::from_utf8(&delivery.body).unwrap());
        if delivery.forward(&to, 0).await.unwrap() == Forwarded::Moved && to.as_str() == organization {
            return;
        }
    }
}

async fn is_blocked_for(rig: &Rig, texts: &[&str]) {
    eventually(&format!("a block: {texts:?}"), async || {
        rig.bus.queue_block(&blocked()).is_some_and(|block| texts.iter().all(|text| block.error.contains(text)))
    })
    .await;
}

/// Asserts that the worker is ready, on its first connection.
fn others_go_on(rig: &Rig) {
    assert_eq!(rig.bus.unready(), Vec::<String>::new());
    assert_eq!(rig.log.count("BrokerConnected(true)"), 1, "reconnected");
}

#[tokio::test]
async fn a_queue_with_another_argument_blocks_only_an_organization_that_is_added_later() {
    let url = Broker::shared();
    for declare in [Declare::Create, Declare::Check] {
        let creator = Rig::serving(options(url), url, served(&[OTHER])).await;
        creator.bus.close().await;
        let mut rig = Rig::serving(RabbitOptions { declare, ..creator.options.clone() }, url, served(&[OTHER])).await;
        let queue = declare_limited(&rig.options, &rig.client).await;
        rig.bus.serve(served(&[OTHER, BLOCKED]));
        is_blocked_for(&rig, &[&queue, "x-max-length: expected none, found \"1000\""]).await;
        rig.publish(BLOCKED, BasicProperties::default()).await;
        assert_eq!(rig.next().await.forward(&blocked(), 0).await.unwrap(), Forwarded::Waits);
        moves(&mut rig, OTHER).await;
        let consumed = timeout(DEADLINE, rig.bus.consume(&OTHER.into(), 5)).await;
        assert!(consumed.is_ok(), "the other organization is consumed");
        others_go_on(&rig);

        rig.client.delete_queue(&queue).await;
        if declare == Declare::Check {
            is_blocked_for(&rig, &[&queue, "is missing"]).await;
            let maker = RabbitOptions { declare: Declare::Create, ..rig.options.clone() };
            Rig::serving(maker, url, served(&[BLOCKED])).await.bus.close().await;
        }
        moves(&mut rig, BLOCKED).await;
        assert_eq!(rig.bus.queue_block(&blocked()), None);
        others_go_on(&rig);
        rig.finish().await;
    }
}

#[tokio::test]
async fn a_queue_with_another_argument_is_an_error_at_the_start() {
    let url = Broker::shared();
    let creator = Rig::serving(options(url), url, served(&[OTHER])).await;
    creator.bus.close().await;
    for declare in [Declare::Create, Declare::Check] {
        let options = RabbitOptions { declare, ..creator.options.clone() };
        let queue = declare_limited(&options, &creator.client).await;
        let bus = rabbit::connect(options, Arc::new(NoMetrics)).unwrap();
        bus.serve(served(&[OTHER, BLOCKED]));
        let error = timeout(DEADLINE, bus.wait_until_connected()).await.unwrap().unwrap_err();
        assert!(
            matches!(&error, StartError::Differs { name, argument, .. } if *name == queue && argument == "x-max-length")
        );
        bus.close().await;
    }
    creator.client.delete_queue(&creator.options.organization_queue(&blocked())).await;
    creator.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_without_read_permission_blocks_only_its_organization() {
    let broker = Broker::start();
    let mut rig = Rig::serving(options(broker.url()), broker.url(), served(&[OTHER, BLOCKED])).await;
    let queue = rig.options.organization_queue(&blocked());
    let may_read = |pattern: &str| broker.set_permissions("/", "guest", [".*", ".*", pattern]);
    may_read(&format!("^(?!{}$).*", queue.replace('.', "\\.")));
    {
        let organization = blocked();
        let mut refused = std::pin::pin!(rig.bus.consume(&organization, 5));
        let texts = ["no read permission", "403", &queue];
        let blocks = is_blocked_for(&rig, &texts);
        tokio::select! {
            _ = &mut refused => panic!("consumes without permission"),
            () = blocks => {}
        }
    }
    assert_eq!(rig.bus.queue_block(&blocked()), None, "nobody tries any more");
    let organization = blocked();
    moves(&mut rig, BLOCKED).await;
    moves(&mut rig, OTHER).await;
    {
        let mut consuming = std::pin::pin!(rig.bus.consume(&organization, 5));
        let others = async {
            is_blocked_for(&rig, &["no read permission", &queue]).await;
            assert!(timeout(DEADLINE, rig.bus.consume(&OTHER.into(), 5)).await.is_ok(), "the other is consumed");
            tokio::time::sleep(Duration::from_secs(3)).await;
            others_go_on(&rig);
            may_read(".*");
        };
        let mut consumption = tokio::select! {
            _ = &mut consuming => panic!("consumes without permission"),
            () = others => timeout(DEADLINE, consuming).await.expect("tried again"),
        };
        let delivery = timeout(DEADLINE, consumption.deliveries.next()).await;
        assert_eq!(delivery.unwrap().unwrap().body, BLOCKED.as_bytes());
        assert_eq!(rig.bus.queue_block(&blocked()), None);
    }
    others_go_on(&rig);
    rig.bus.close().await;
}
