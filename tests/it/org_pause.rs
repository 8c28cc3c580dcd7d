//! Pausing an organization: its events wait, across restarts and for any time, and flow when it is resumed.

use std::time::Duration;

use serde_json::json;

use crate::support::event::{Event, ORGANIZATION, handoff};
use crate::support::rig::rig;

#[tokio::test]
async fn a_pause_outlives_a_restart_and_loses_nothing() {
    let rig = rig().start().await;
    let (status, view) = rig.worker().api("POST", "/organizations/org_acme/pause", None).await;
    assert_eq!((status, &view["state"]), (200, &json!("paused")), "{view}");
    let since = view["since"].as_str().unwrap().to_owned();
    let events: Vec<Event> = (0..20).map(|n| handoff(["email", "web"][n % 2])).collect();
    rig.bus.publish_all(&events).await;
    // The first one may be taken and not begun for some minutes; it waits too.
    rig.bus.gather(ORGANIZATION, 19).await;
    rig.worker().counts("handoffd_organization_waiting", "org_acme", 20).await;
    assert_eq!(rig.bus.depth(&rig.files.work_queue()).await, 0);
    assert_eq!(rig.worker().metric("handoffd_retries_total", "").await, 0, "waiting is no retry");
    assert_eq!(rig.worker().unready().await, Vec::<String>::new(), "one organization's pause is its own");

    rig.worker().stop().await;
    rig.start_worker("worker").ready().await;
    let stands = rig.worker().stands("org_acme").await;
    assert_eq!((&stands["state"], stands["since"].as_str()), (&json!("paused"), Some(since.as_str())), "{stands}");
    rig.bus.gather(ORGANIZATION, 20).await;
    assert_eq!((rig.crm.operations(), rig.bus.all_outcomes().await.len()), (Vec::new(), 0));
    // Paused already, so nothing happens.
    let (_, again) = rig.worker().api("POST", "/organizations/org_acme/pause", None).await;
    assert_eq!(again["since"].as_str(), Some(since.as_str()));

    let (status, view) = rig.worker().api("POST", "/organizations/org_acme/resume", None).await;
    assert_eq!((status, &view["state"]), (200, &json!("open")), "{view}");
    rig.bus.outcomes_of(&events).await;
    for event in &events {
        let outcome = rig.bus.outcome(event.id()).await.body;
        assert_eq!(outcome["data"]["attempts"], 1, "waiting spends none: {outcome}");
    }
    assert_eq!(rig.worker().api("POST", "/organizations/org_acme/resume", None).await.0, 200, "nothing happens");
    assert_eq!(rig.worker().api("POST", "/organizations/org_nobody/pause", None).await.0, 404);
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn no_event_is_given_up_for_a_pause() {
    let rig = rig().set("retry", "max_age", "1s").start().await;
    rig.worker().api("POST", "/organizations/org_acme/pause", None).await;
    let event = handoff("email");
    rig.bus.publish(&event).await;
    // Longer than retry.max_age.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((rig.bus.dead_letters().await, rig.bus.all_outcomes().await.len()), (0, 0));
    rig.worker().api("POST", "/organizations/org_acme/resume", None).await;
    let outcome = rig.bus.outcome(event.id()).await;
    assert_eq!(outcome.routing_key, "dynamics365.handoff.succeeded");
    rig.nothing_is_left().await;
}
