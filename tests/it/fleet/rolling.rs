//! Rolling upgrade: workers are replaced one by one under load.

use super::bench::{carried_once, handoffs, owned_by, owns, pair, plan};
use crate::support::broker::eventually;

/// The lease is so long that an organization that waits for its end would fail the test.
#[tokio::test]
async fn workers_replaced_one_by_one_hand_over_everything_and_lose_nothing() {
    let plan = plan().await.set("fleet", "lease", "60s").set("broker", "prefetch", 4);
    let (rig, a, b) = pair(plan).await;
    let events = handoffs(400);
    let batches: Vec<_> = events.chunks(100).collect();
    rig.bus.publish_all(batches[0]).await;
    let mut old = vec![a, b];
    for (batch, name) in batches[1..].iter().zip(["c", "d"]) {
        let new = rig.start_worker(name);
        new.ready().await;
        owns(&new, 1).await;
        let leaving = old.remove(0);
        let publishing = async { rig.bus.publish_all(batch).await };
        let stopping = async {
            leaving.terminate();
            assert!(leaving.exit().await.success());
        };
        tokio::join!(publishing, stopping);
        owns(&new, 2).await;
        old.push(new);
    }
    rig.bus.publish_all(batches[3]).await;
    carried_once(&rig, &events).await;
    for (worker, name) in old.iter().zip(["c", "d"]) {
        assert_eq!(
            worker.metric("handoffd_takeovers_total", "reason=\"lost\"").await,
            0,
            "{name}: given back, not lost"
        );
        assert_eq!(worker.metric("handoffd_fenced_total", "").await, 0);
        eventually("an even spread", async || owned_by(worker, name).await.len() == 2).await;
    }
    rig.nothing_is_left().await;
}
