//! Workers that lose the broker and keep PostgreSQL.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bench::{HEARTBEAT, OTHERS, carried_once, cut_off_and_replaced, handoffs, listed, owned_by, owns, plan_at};
use crate::support::broker::{Broker, eventually};
use crate::support::network::Network;
use crate::support::postgres::{Postgres, client, new_schema};
use crate::support::rig::Rig;
use crate::support::worker::Worker;

/// Two workers with two of four organizations each, every one of them behind a network of its own.
struct Apart {
    rig: Rig,
    schema: String,
    a: Arc<Worker>,
    b: Arc<Worker>,
    network_a: Network,
    network_b: Network,
}

async fn apart(heartbeat: u64) -> Apart {
    let schema = new_schema(Postgres::shared()).await;
    let mut rig = plan_at(&schema).others(&OTHERS).lay_out().await;
    let (network_a, network_b) = (Network::before(Broker::shared()).await, Network::before(Broker::shared()).await);
    rig.files.set("broker", "url", network_a.url(heartbeat));
    let a = rig.start_worker("a");
    a.ready().await;
    owns(&a, 4).await;
    rig.files.set("broker", "url", network_b.url(heartbeat));
    let b = rig.start_worker("b");
    b.ready().await;
    let apart = Apart { rig, schema, a, b, network_a, network_b };
    apart.share_evenly().await;
    apart
}

impl Apart {
    async fn share_evenly(&self) {
        eventually("two of each in both views", async || {
            owned_by(&self.a, "b").await.len() == 2 && owned_by(&self.b, "a").await.len() == 2
        })
        .await;
    }

    /// Owners of all organizations, with their terms.
    async fn owners(&self) -> Vec<(Vec<u8>, uuid::Uuid, i64)> {
        const OWNERS: &str = "SELECT organization, worker, term FROM handoffd_owners ORDER BY organization";
        let rows = client(&self.schema).await.query(OWNERS, &[]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
    }

    /// Asserts that `a` takes over while the network of `b` is broken, and that `b` has its share again afterwards.
    async fn is_replaced(&self, breaks: impl FnOnce(&Network)) {
        let Self { rig, a, b, network_b, .. } = self;
        // In progress at `b` until after the takeover.
        let mut events = cut_off_and_replaced(rig, a, 20_000, || breaks(network_b)).await;
        assert_eq!(a.metric("handoffd_takeovers_total", "lost").await, 2);
        owns(a, 4).await;
        owns(b, 0).await;
        assert!(b.logged("giving organizations up"), "{}", b.log());
        let joined = |name: &str| (name.to_owned(), "joined".to_owned());
        assert_eq!(listed(a).await, [joined("a"), joined("b")], "it takes part");
        eventually("a fenced event", async || b.metric("handoffd_fenced_total", "").await > 0).await;
        network_b.open();
        b.ready().await;
        self.share_evenly().await;
        assert_eq!(b.metric("handoffd_takeovers_total", "balance").await, 4, "two when it joined, two now");
        let more = handoffs(20);
        rig.bus.publish_all(&more).await;
        events.extend(more);
        carried_once(rig, &events).await;
        rig.nothing_is_left().await;
    }
}

#[tokio::test]
async fn a_worker_whose_connection_to_the_broker_is_cut_is_replaced_and_gets_its_share_back() {
    apart(HEARTBEAT).await.is_replaced(Network::cut).await;
}

#[tokio::test]
async fn a_worker_whose_connection_to_the_broker_freezes_is_replaced_and_gets_its_share_back() {
    apart(HEARTBEAT).await.is_replaced(Network::freeze).await;
}

/// Heartbeats end a silent connection late, and on this side later than at the broker.
#[tokio::test]
async fn a_worker_that_hears_nothing_gives_up_before_its_heartbeats_end() {
    let apart = apart(60).await;
    let Apart { rig, b, network_b, .. } = &apart;
    network_b.freeze();
    let frozen = Instant::now();
    eventually("organizations that are given up", async || b.logged("giving organizations up")).await;
    // Silence is noticed within 7 s, and lasts for 4 s then.
    assert!(frozen.elapsed() < Duration::from_secs(15), "{:?}", frozen.elapsed());
    let events = handoffs(20);
    rig.bus.publish_all(&events).await;
    network_b.open();
    b.ready().await;
    apart.share_evenly().await;
    carried_once(rig, &events).await;
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn nothing_moves_when_a_worker_reconnects_or_the_broker_was_away_for_all() {
    let apart = apart(HEARTBEAT).await;
    let Apart { rig, a, b, network_a, network_b, .. } = &apart;
    let before = apart.owners().await;
    let unready = async |worker: &Worker| {
        eventually("a worker that is not ready", async || !worker.unready().await.is_empty()).await;
    };
    network_b.cut();
    unready(b).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    network_b.open();
    b.ready().await;
    network_a.cut();
    network_b.cut();
    let events = handoffs(20);
    rig.bus.publish_all(&events).await;
    // Longer than a worker may be cut off while another one is not.
    let lost = Instant::now();
    while lost.elapsed() < Duration::from_secs(6) {
        unready(a).await;
        unready(b).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(apart.owners().await, before);
    // One of them is back first.
    network_a.open();
    a.ready().await;
    network_b.open();
    b.ready().await;
    carried_once(rig, &events).await;
    assert_eq!(apart.owners().await, before);
    assert!(!rig.logs().contains("giving organizations up"));
    rig.nothing_is_left().await;
}
