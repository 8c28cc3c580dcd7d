//! Workers that lose PostgreSQL and keep the broker.

use super::bench::{HEARTBEAT, OTHERS, carried_once, cut_off_and_replaced, handoffs, owned_by, owns, plan_at};
use crate::support::broker::{Broker, eventually};
use crate::support::network::Network;
use crate::support::postgres::{Postgres, new_schema};

/// Its commits are awaited for as long as they take, and its connection to the broker is well.
#[tokio::test]
async fn a_worker_whose_postgres_freezes_with_an_event_in_progress_is_replaced() {
    let schema = new_schema(Postgres::shared()).await;
    let mut rig = plan_at(&schema).others(&OTHERS).lay_out().await;
    let network = Network::before(&schema).await;
    let mut url = url::Url::parse(&schema).unwrap();
    url.set_port(Some(network.address().port())).unwrap();
    rig.files.set("broker", "url", format!("{}?heartbeat={HEARTBEAT}", Broker::shared()));
    let a = rig.start_worker("a");
    a.ready().await;
    owns(&a, 4).await;
    rig.files.set("store", "url", url.as_str());
    let b = rig.start_worker("b");
    b.ready().await;
    eventually("two of each", async || owned_by(&a, "b").await.len() == 2).await;

    let mut events = cut_off_and_replaced(&rig, &a, 1000, || network.freeze()).await;
    owns(&a, 4).await;
    assert!(b.unready().await.iter().any(|reason| reason.contains("PostgreSQL")), "{:?}", b.unready().await);

    network.open();
    b.ready().await;
    eventually("two of each", async || owned_by(&a, "b").await.len() == 2).await;
    let more = handoffs(20);
    rig.bus.publish_all(&more).await;
    events.extend(more);
    carried_once(&rig, &events).await;
    rig.nothing_is_left().await;
}
