//! Settings of operators at one worker, in force at all of them.

use serde_json::json;

use super::bench::{carried_once, handoffs, owned_by, owns, pair, plan};
use crate::support::broker::eventually;
use crate::support::event::{ANOTHER_ORGANIZATION, handoff};
use crate::support::simulator::SECRET;

#[tokio::test]
async fn a_pause_holds_everywhere_and_goes_over_to_the_next_owner() {
    let (rig, a, b) = pair(plan().await).await;
    let organization = owned_by(&a, "b").await[0];
    let path = format!("/organizations/{organization}");
    assert_eq!(a.api("POST", &format!("{path}/pause"), None).await.0, 200, "at the worker that does not own it");
    eventually("a pause at the owner", async || b.stands(organization).await["state"] == "paused").await;
    let held = handoff("email").with("/organization_id", organization);
    rig.bus.publish(&held).await;
    let others: Vec<_> = handoffs(8).into_iter().filter(|event| event.0["organization_id"] != organization).collect();
    rig.bus.publish_all(&others).await;
    rig.bus.outcomes_of(&others).await;
    b.kill9();
    owns(&a, 4).await;
    assert_eq!(rig.crm.incidents().len(), others.len(), "the next owner keeps to it");
    assert_eq!(a.stands(organization).await["state"], "paused");
    let c = rig.start_worker("c");
    c.ready().await;
    owns(&c, 2).await;
    assert_eq!(c.stands(organization).await["state"], "paused");
    assert_eq!(c.api("POST", &format!("{path}/resume"), None).await.0, 200);
    rig.bus.outcome(held.id()).await;
    for worker in [&a, &c] {
        eventually("no pause", async || worker.stands(organization).await["state"] == "open").await;
    }
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_saved_organization_is_unknown_to_no_worker_until_it_is_deleted() {
    let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let (rig, a, b) = pair(plan().await.set("organizations", "encryption_key", key)).await;
    let document = json!({
        "environment_url": rig.crm.url(), "tenant_id": "11111111-1111-1111-1111-111111111111",
        "client_id": "22222222-2222-2222-2222-222222222222", "client_secret": SECRET,
    });
    let path = format!("/organizations/{ANOTHER_ORGANIZATION}");
    let (status, report) = a.api("PUT", &path, Some(&document)).await;
    assert_eq!(status, 200, "{report:#}");
    // At once: the other worker takes half of them from the inbox.
    let events: Vec<_> = (0..30).map(|_| handoff("email").with("/organization_id", ANOTHER_ORGANIZATION)).collect();
    rig.bus.publish_all(&events).await;
    carried_once(&rig, &events).await;
    // The other worker reads it with its next renewal, which may come after all events were carried.
    eventually("the organization at the other worker", async || {
        b.stands(ANOTHER_ORGANIZATION).await["source"] == "store"
    })
    .await;
    assert_eq!(b.api("DELETE", &path, None).await.0, 204, "at another worker");
    eventually("no such organization", async || a.api("GET", &path, None).await.0 == 404).await;
    let last = handoff("email").with("/organization_id", ANOTHER_ORGANIZATION);
    let outcome = rig.process(&last).await;
    assert_eq!(outcome.body["data"]["reason"], "unknown_organization");
    rig.bus.dead_letter().await;
    rig.nothing_is_left().await;
}
