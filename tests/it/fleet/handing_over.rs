//! Organizations that go from one live worker to another.

use serde_json::json;

use super::bench::{carried_once, handoffs, listed, organizations, owned_by, owner, owns, pair, plan};
use crate::support::broker::eventually;
use crate::support::event::{ORGANIZATION, handoff};

#[tokio::test]
async fn organizations_are_spread_evenly_and_each_is_consumed_by_one_worker() {
    let (rig, a, b) = pair(plan().await).await;
    let events = handoffs(40);
    rig.bus.publish_all(&events).await;
    carried_once(&rig, &events).await;
    for organization in organizations() {
        assert_eq!(rig.bus.consumers(organization).await, 1, "{organization}");
        assert_eq!(owner(&a, organization).await, owner(&b, organization).await);
    }
    assert_eq!((owned_by(&a, "a").await.len(), owned_by(&a, "b").await.len()), (2, 2));
    for worker in [&a, &b] {
        assert!(worker.metric("handoffd_forwarded_total", "").await > 0, "every worker moves events from the inbox");
        assert_eq!(worker.metric("handoffd_workers", "").await, 2);
        assert_eq!(worker.metric("handoffd_fenced_total", "").await, 0);
    }
    assert_eq!(b.metric("handoffd_takeovers_total", "balance").await, 2);
    let (_, workers) = a.api("GET", "/workers", None).await;
    let shown = workers["workers"].as_array().unwrap();
    assert_eq!(shown.iter().map(|one| &one["organizations"]).collect::<Vec<_>>(), [2, 2], "{workers}");
    assert_eq!(shown[0]["version"], env!("CARGO_PKG_VERSION"));
    let text = a.command(&["workers", "list"]).await;
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("joined") && text.lines().count() == 3, "{text}");

    let c = rig.start_worker("c");
    c.ready().await;
    owns(&c, 1).await;
    let mut owned = Vec::new();
    eventually("an even spread", async || {
        owned = vec![];
        for name in ["a", "b", "c"] {
            owned.push(owned_by(&a, name).await.len());
        }
        owned.sort_unstable();
        owned == [1, 1, 2]
    })
    .await;
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_stopping_worker_gives_each_organization_back_as_soon_as_it_is_over() {
    let (rig, a, b) = pair(plan().await).await;
    let slow = owned_by(&b, "a").await[0];
    let fault = json!({ "delay_ms": 6000 });
    rig.crm.fault(&json!({ "operation": "incidents.create", "times": 1, "fault": fault }));
    let event = handoff("email").with("/organization_id", slow);
    rig.bus.publish(&event).await;
    eventually("a request", async || rig.crm.fired().await == 1).await;
    a.terminate();
    owns(&b, 3).await;
    assert_eq!(owner(&b, slow).await.as_deref(), Some("a"), "its event is in progress");
    assert!(a.status().is_none());
    assert!(a.exit().await.success());
    owns(&b, 4).await;
    assert_eq!(b.metric("handoffd_takeovers_total", "left").await, 2);
    carried_once(&rig, &[event]).await;
    assert_eq!(rig.crm.count("incidents.create"), 1, "the stopping worker finished it");
    assert_eq!(listed(&b).await, [("b".to_owned(), "joined".to_owned())]);
    rig.nothing_is_left().await;
}

/// A probe is a request of the organization like any other (contract 11): with the next owner's, there would be one too many.
#[tokio::test]
async fn an_organization_that_is_being_probed_is_given_back_after_the_probe() {
    let (rig, a, b) = pair(plan().await).await;
    let blocked = owned_by(&b, "a").await[0];
    rig.crm.fault(&json!({ "operation": "WhoAmI", "times": 1, "fault": { "delay_ms": 6000 } }));
    rig.crm.fault(
        &json!({ "operation": "incidents.create", "times": 1, "fault": { "status": 403, "code": "0x80072560" } }),
    );
    let event = handoff("email").with("/organization_id", blocked);
    rig.bus.publish(&event).await;
    eventually("a probe", async || rig.crm.fired().await == 2).await;
    a.terminate();
    owns(&b, 3).await;
    assert_eq!(owner(&b, blocked).await.as_deref(), Some("a"), "its probe is under way");
    assert!(a.exit().await.success());
    owns(&b, 4).await;
    carried_once(&rig, &[event]).await;
    let times = |operation| rig.crm.requests(operation).iter().map(|entry| entry.time).collect::<Vec<_>>();
    let (probed, created) = (times("WhoAmI")[0], times("incidents.create"));
    assert!(created[1].duration_since(probed) >= jiff::SignedDuration::from_secs(6), "{probed} {created:?}");
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_worker_that_starts_after_another_has_stopped_takes_all_at_once() {
    let rig = plan().await.set("fleet", "lease", "60s").lay_out().await;
    rig.start_worker("first").ready().await;
    rig.hand_off(&handoff("web")).await;
    rig.stop_workers().await;
    let second = rig.start_worker("second");
    second.ready().await;
    rig.hand_off(&handoff("web")).await;
    assert_eq!(owner(&second, ORGANIZATION).await.as_deref(), Some("second"));
    rig.nothing_is_left().await;
}
