//! Resolutions that arrive at any time, in both kinds of environment: the stock one closes by the action only, has no
//! queue property and requires a customer.

use dynamics_simulator::Profile;
use serde_json::json;

use crate::support::event::{Event, handoff, resolved};
use crate::support::rig::{Plan, Rig, rig};

const PROFILES: [Profile; 2] = [Profile::OpenCx, Profile::Stock];

fn planned(profile: Profile) -> Plan {
    let delays = vec!["300ms".to_owned()];
    rig().profile(profile).queue().set("worker", "resolution_wait", "5m").set("retry", "delays", delays)
}

#[tokio::test]
async fn before_its_handoff() {
    for profile in PROFILES {
        let rig = planned(profile).start().await;
        let event = handoff("email");
        let resolution = resolved(event.session());
        rig.bus.publish(&resolution).await;
        rig.awaits("handoff_awaited").await;
        rig.hand_off(&event).await;
        closes(&rig, &resolution, 1).await;
        assert_eq!(rig.bus.outcome(resolution.id()).await.body["data"]["attempts"], 1, "waiting spends none");
        assert_eq!(states(&rig), [1]);
        rig.nothing_is_left().await;
    }
}

#[tokio::test]
async fn together_with_its_handoff() {
    for profile in PROFILES {
        let rig = planned(profile).start().await;
        let events: Vec<Event> = (0..10).map(|_| handoff("email")).collect();
        let pairs: Vec<Event> = events.iter().flat_map(|event| [resolved(event.session()), event.clone()]).collect();
        rig.bus.publish_all(&pairs).await;
        rig.bus.outcomes_of(&pairs).await;
        assert_eq!(states(&rig), [1; 10]);
        rig.nothing_is_left().await;
    }
}

#[tokio::test]
async fn while_its_handoff_is_retried() {
    for profile in PROFILES {
        let rig = planned(profile).set("retry", "in_process", 1).set("worker", "resolution_wait", "0s").start().await;
        rig.crm.refuse("incidents.create", 4, 503, "", "");
        let event = handoff("email");
        rig.bus.publish(&event).await;
        rig.awaits("transient").await;
        let resolution = resolved(event.session());
        rig.bus.publish(&resolution).await;
        closes(&rig, &resolution, 1).await;
        assert_eq!(states(&rig), [1]);
        rig.nothing_is_left().await;
    }
}

#[tokio::test]
async fn while_its_handoff_is_in_progress() {
    for profile in PROFILES {
        let rig = planned(profile).set("worker", "resolution_wait", "0s").start().await;
        rig.crm.fault(&json!({ "operation": "incidents.create", "fault": { "delay_ms": 1500 } }));
        let event = handoff("email");
        let resolution = resolved(event.session());
        rig.bus.publish_all(&[event, resolution.clone()]).await;
        closes(&rig, &resolution, 1).await;
        assert_eq!(states(&rig), [1]);
        rig.nothing_is_left().await;
    }
}

#[tokio::test]
async fn while_its_handoff_has_a_case_but_no_note() {
    for profile in PROFILES {
        let rig = planned(profile).set("retry", "in_process", 1).start().await;
        rig.crm.refuse("annotations.create", 3, 503, "", "");
        let long = json!([{ "sender": "customer", "text": "0123456789 ".repeat(300) }]);
        let event = handoff("email").with("/data/transcript", long);
        rig.bus.publish(&event).await;
        rig.awaits("transient").await;
        let resolution = resolved(event.session());
        rig.bus.publish(&resolution).await;
        closes(&rig, &resolution, 1).await;
        let operations = rig.crm.operations();
        let last_note = operations.iter().rposition(|name| name == "annotations.create").unwrap();
        let closing = operations.iter().position(|name| name == "incidents.update" || name == "CloseIncident").unwrap();
        assert!(last_note < closing, "it was closed before it was whole: {operations:?}");
        assert_eq!(states(&rig), [1]);
        rig.nothing_is_left().await;
    }
}

#[tokio::test]
async fn after_its_handoff_was_dead_lettered() {
    for profile in PROFILES {
        let rig = planned(profile).set("worker", "resolution_wait", "1s").start().await;
        rig.crm.refuse("incidents.create", 1, 400, "0x80040265", "no");
        let event = handoff("email");
        assert_eq!(rig.process(&event).await.routing_key, "dynamics365.handoff.failed");
        skips(&rig, &resolved(event.session()), "no_incident").await;

        // Replayed later: it gets a new case, which that resolution has not closed and another one closes.
        let letter = rig.bus.dead_letter().await;
        rig.bus.put(&rig.files.work_queue(), &letter.data, letter.properties).await;
        rig.bus.outcomes(event.id(), 2).await;
        assert_eq!(states(&rig), [0]);
        let resolution = resolved(event.session());
        rig.bus.publish(&resolution).await;
        closes(&rig, &resolution, 1).await;
        assert_eq!(states(&rig), [1]);
        rig.nothing_is_left().await;
    }
}

#[tokio::test]
async fn while_its_dead_handoff_is_replayed() {
    for profile in PROFILES {
        let rig = planned(profile).start().await;
        rig.crm.refuse("incidents.create", 1, 400, "0x80040265", "no");
        let event = handoff("email");
        assert_eq!(rig.process(&event).await.routing_key, "dynamics365.handoff.failed");
        let resolution = resolved(event.session());
        rig.bus.publish(&resolution).await;
        rig.awaits("handoff_awaited").await;
        let letter = rig.bus.dead_letter().await;
        rig.bus.put(&rig.files.work_queue(), &letter.data, letter.properties).await;
        closes(&rig, &resolution, 1).await;
        assert_eq!(states(&rig), [1]);
        rig.nothing_is_left().await;
    }
}

#[tokio::test]
async fn twice() {
    for profile in PROFILES {
        let rig = planned(profile).start().await;
        let event = handoff("email");
        rig.hand_off(&event).await;
        let resolution = resolved(event.session());
        rig.bus.publish(&resolution).await;
        closes(&rig, &resolution, 1).await;
        let requests = rig.crm.operations().len();
        rig.bus.publish(&resolution).await;
        let both = rig.bus.outcomes(resolution.id(), 2).await;
        assert_eq!(both[0].bytes, both[1].bytes, "the same answer");
        skips(&rig, &resolved(event.session()), "already_closed").await;
        assert_eq!(rig.crm.operations().len(), requests, "neither costs a request");
        rig.nothing_is_left().await;
    }
}

#[tokio::test]
async fn of_a_case_that_was_reopened() {
    for profile in PROFILES {
        let rig = planned(profile).start().await;
        let event = handoff("email");
        let meta = rig.hand_off(&event).await;
        let resolution = resolved(event.session());
        rig.bus.publish(&resolution).await;
        closes(&rig, &resolution, 1).await;
        let id = &meta["dynamics365_incident_id"];
        rig.crm.edit("incidents", &json!({ "incidentid": id, "statecode": 0, "statuscode": 1 })).await;
        rig.bus.publish(&resolution).await;
        rig.bus.outcomes(resolution.id(), 2).await;
        skips(&rig, &resolved(event.session()), "already_closed").await;
        let named = resolved(event.session()).with("/data/meta", json!({ "dynamics365_incident_id": id }));
        skips(&rig, &named, "already_closed").await;
        assert_eq!(states(&rig), [0], "it is the rep's");
        rig.nothing_is_left().await;
    }
}

#[tokio::test]
async fn of_several_incidents_one_of_them_deleted() {
    for profile in PROFILES {
        let rig = planned(profile).start().await;
        let event = handoff("email");
        let gone = rig.hand_off(&event).await;
        for _ in 0..2 {
            rig.hand_off(&event.next()).await;
        }
        rig.crm.delete("incidents", gone["dynamics365_incident_id"].as_str().unwrap()).await;
        let resolution = resolved(event.session());
        rig.bus.publish(&resolution).await;
        closes(&rig, &resolution, 2).await;
        assert_eq!(states(&rig), [1, 1]);
        rig.nothing_is_left().await;
    }
}

#[tokio::test]
async fn of_a_session_handled_by_chat() {
    for profile in PROFILES {
        let rig = planned(profile).start().await;
        let event = handoff("web");
        rig.hand_off(&event).await;
        skips(&rig, &resolved(event.session()), "live_work_item").await;
        // Handed off once more, by another channel: that case is closed.
        let by_mail = handoff("email").with("/data/session_id", event.session());
        rig.hand_off(&by_mail).await;
        let resolution = resolved(event.session());
        rig.bus.publish(&resolution).await;
        closes(&rig, &resolution, 1).await;
        assert_eq!((states(&rig), rig.crm.rows("oc_liveworkitems").len()), (vec![1], 1));
        rig.nothing_is_left().await;
    }
}

#[tokio::test]
async fn that_names_its_incident() {
    for profile in PROFILES {
        let rig = planned(profile).start().await;
        let meta = rig.hand_off(&handoff("email")).await;
        let named = |session: &str| {
            resolved(session).with("/data/meta", json!({ "dynamics365_incident_id": meta["dynamics365_incident_id"] }))
        };
        let resolution = named("ses_before_our_time");
        rig.bus.publish(&resolution).await;
        closes(&rig, &resolution, 1).await;
        skips(&rig, &named("ses_before_our_time"), "already_closed").await;
        let unknown = json!({ "dynamics365_incident_id": "99999999-0000-0000-0000-000000000009" });
        skips(&rig, &resolved("ses_other").with("/data/meta", unknown), "incident_not_found").await;
        assert_eq!(states(&rig), [1]);
        rig.nothing_is_left().await;
    }
}

/// Waits for the outcome of a resolution that closes a number of cases.
async fn closes(rig: &Rig, resolution: &Event, cases: usize) {
    let outcome = rig.bus.outcome(resolution.id()).await;
    assert_eq!(outcome.routing_key, "dynamics365.resolution.succeeded", "{}", outcome.body);
    let meta = &outcome.body["data"]["session_meta"];
    let named = meta["dynamics365_incident_ids"].as_array().map_or(1, Vec::len);
    assert_eq!(named, cases, "{meta}");
}

async fn skips(rig: &Rig, resolution: &Event, reason: &str) {
    let outcome = rig.process(resolution).await;
    assert_eq!(outcome.routing_key, "dynamics365.resolution.skipped", "{}", outcome.body);
    assert_eq!(outcome.body["data"]["reason"], reason);
}

/// The `statecode` of every incident, in order of creation.
fn states(rig: &Rig) -> Vec<i64> {
    rig.crm.incidents().iter().map(|row| row["statecode"].as_i64().unwrap()).collect()
}
