//! Ids of dead letters, and selection by them.

use lapin::BasicProperties;
use serde_json::{Value, json};

use super::broker_limit::expire;
use super::desk::{Dead, entries, letters, results};
use crate::support::broker::Broker;
use crate::support::event::handoff;
use crate::support::rig::{Rig, rig, rig_on};

/// Dead letters of every kind: twice the same event, the same event id of another customer, an event that the broker gave
/// up, and two foreign messages that do not differ in anything.
async fn of_every_kind(rig: &Rig) -> Vec<String> {
    let event = handoff("email");
    Dead::of(event.clone()).bury(rig).await;
    Dead::of(event.clone()).at("2026-11-22T10:16:00.001Z").bury(rig).await;
    Dead::of(event.with("/organization_id", "org_other")).bury(rig).await;
    expire(rig, &handoff("email")).await;
    for _ in 0..2 {
        rig.bus.put(&rig.files.dead_letter_queue(), b"{ put here by hand", BasicProperties::default()).await;
    }
    let listed = entries(rig, &["list"]).await;
    letters(&listed).into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn every_dead_letter_has_an_id_of_its_own_that_stays() {
    let broker = Broker::start();
    let rig = rig_on(&broker).start().await;
    rig.stop_workers().await;
    let first = of_every_kind(&rig).await;
    let mut distinct = first.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 6, "{first:?}");
    // Each list requeues them, which the broker counts.
    for _ in 0..2 {
        assert_eq!(letters(&entries(&rig, &["list"]).await), first);
    }
    broker.stop();
    broker.restart();
    rig.bus.reconnect().await;
    assert_eq!(letters(&entries(&rig, &["list"]).await), first, "after a restart of the broker");
}

#[tokio::test]
async fn a_letter_is_selected_alone() {
    let rig = rig().start().await;
    rig.stop_workers().await;
    let ids = of_every_kind(&rig).await;
    let shown = entries(&rig, &["show", &ids[2]]).await;
    assert_eq!((letters(&shown), &shown[0]["organization_id"]), (vec![ids[2].as_str()], &json!("org_other")));
    let rehearsed = entries(&rig, &["replay", "--letter", &ids[0], "--letter", &ids[3], "--dry-run"]).await;
    assert_eq!(letters(&rehearsed), [ids[0].as_str(), &ids[3]]);
    let other = ["list", "--letter", &ids[0], "--organization", "org_other"];
    assert_eq!(entries(&rig, &other).await, [Value::Null; 0], "all criteria must match");

    // Of two customers with the same event id, of two deaths of one event, and of two that do not differ: one each.
    let discarded = entries(&rig, &["discard", "--letter", &ids[1], "--letter", &ids[2], "--letter", &ids[5]]).await;
    assert_eq!(letters(&discarded), [ids[1].as_str(), &ids[2], &ids[5]]);
    assert!(discarded.iter().all(|entry| entry["result"] == "discarded"), "{discarded:?}");
    assert_eq!(letters(&entries(&rig, &["list"]).await), [ids[0].as_str(), &ids[3], &ids[4]]);
    assert_eq!(results(&rig, &["replay", "--letter", &ids[1]]).await, (3, vec![]));
}
