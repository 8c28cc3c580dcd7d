//! Duplicate events: one record, one outcome.

use serde_json::json;

use crate::support::event::handoff;
use crate::support::rig::rig;

#[tokio::test]
async fn an_event_published_a_hundred_times_is_one_incident() {
    let rig = rig().start().await;
    let event = handoff("email");
    let copies = vec![event.clone(); 100];
    rig.bus.publish_all(&copies).await;
    let outcomes = rig.bus.outcomes(event.id(), 100).await;
    assert_eq!(outcomes.len(), 100);
    for outcome in &outcomes {
        assert_eq!(outcome.bytes, outcomes[0].bytes);
        assert_eq!(outcome.properties.message_id(), outcomes[0].properties.message_id());
    }
    assert_eq!(rig.crm.operations(), ["contacts.query", "contacts.create", "incidents.create"]);
    rig.worker().counts("handoffd_events_total", "outcome=\"duplicate\"", 99).await;
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn of_two_bodies_under_one_key_the_first_one_wins() {
    let rig = rig().start().await;
    let event = handoff("email");
    let first = rig.process(&event).await;
    let other = event.clone().with("/data/channel", "web").with("/data/summary", "Something else altogether.");
    rig.bus.publish(&other).await;
    let both = rig.bus.outcomes(event.id(), 2).await;
    assert_eq!(both[1].bytes, first.bytes);
    assert_eq!(rig.crm.operations().len(), 3);
    assert!(rig.worker().logged("a different body"));
    rig.worker().counts("handoffd_event_body_differs_total", "", 1).await;
}

#[tokio::test]
async fn the_same_event_id_of_another_organization_is_another_event() {
    let rig = rig().lay_out().await;
    rig.files.write_another_organization(rig.folder.path(), "org_globex");
    rig.start_worker("worker").ready().await;
    let event = handoff("email");
    rig.hand_off(&event).await;
    rig.bus.publish(&event.clone().with("/organization_id", "org_globex")).await;
    let both = rig.bus.outcomes(event.id(), 2).await;
    assert_ne!(both[0].body["event_id"], both[1].body["event_id"]);
    assert_eq!(rig.crm.incidents().len(), 2);
}

#[tokio::test]
async fn a_lost_store_creates_no_duplicates() {
    for stock in [false, true] {
        let plan = if stock { rig().stock() } else { rig() };
        let rig = plan.queue().start().await;
        let long = vec![json!({ "sender": "customer", "text": "0123456789 ".repeat(50) }); 10];
        let mut events: Vec<_> = (0..5).map(|_| handoff("email")).collect();
        events.push(handoff("web"));
        events.push(handoff("email").with("/data/transcript", long));
        events.push(events[0].next_session());
        events.push(crate::support::event::anonymous("phone"));
        rig.bus.publish_all(&events).await;
        rig.bus.outcomes_of(&events).await;
        rig.stop_workers().await;
        let tables = ["incidents", "contacts", "annotations", "oc_liveworkitems", "queueitems"];
        let before = tables.map(|table| rig.crm.rows(table));
        std::fs::remove_dir_all(rig.store("worker")).unwrap();

        rig.start_worker("worker").ready().await;
        rig.bus.publish_all(&events).await;
        for event in &events {
            let outcomes = rig.bus.outcomes(event.id(), 2).await;
            let [one, two] = [0, 1].map(|index| &outcomes[index].body);
            assert_eq!(one["data"]["session_meta"], two["data"]["session_meta"]);
            assert_eq!(one["event_id"], two["event_id"]);
        }
        for (table, before) in tables.iter().zip(before) {
            assert_eq!(rig.crm.rows(table).len(), before.len(), "{table}");
        }
        rig.nothing_is_left().await;
    }
}
