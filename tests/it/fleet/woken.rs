//! Suspended owner that wakes after its successor has done its work, and a person has changed it since.

use dynamics_simulator::RepScript;
use serde_json::json;

use super::bench::{is_listed, owns, plan};
use crate::support::broker::{Broker, eventually};
use crate::support::event::{handoff, resolved};

/// The owner has stored its intent to close the case, and its request is lost; it is suspended while it waits for the
/// answer. When it wakes, it neither repeats the request nor announces anything.
#[tokio::test]
async fn a_woken_owner_does_not_close_a_case_that_was_closed_and_reopened() {
    for (close_with, operation) in [("patch", "incidents.update"), ("close_incident", "CloseIncident")] {
        let plan = plan().await.organize("close_with", close_with);
        let broker = format!("{}?heartbeat=2", Broker::shared());
        let rig = plan.set("broker", "url", broker).set("dynamics", "request_timeout", "3s").lay_out().await;
        let a = rig.start_worker("a");
        a.ready().await;
        owns(&a, 1).await;
        let event = handoff("email");
        rig.hand_off(&event).await;
        rig.crm.fault(&json!({ "operation": operation, "fault": "hang" }));
        let closing = resolved(event.session());
        rig.bus.publish(&closing).await;
        eventually("a request", async || rig.crm.fired().await == 1).await;
        a.suspend();
        let rep = json!({ "operation": operation, "does": "reopen" });
        rig.crm.environment().add_rep_script(serde_json::from_value::<RepScript>(rep).unwrap());
        let b = rig.start_worker("b");
        b.ready().await;
        owns(&b, 1).await;
        let outcome = rig.bus.outcome(closing.id()).await;
        assert_eq!(outcome.routing_key, "dynamics365.resolution.succeeded", "{}", outcome.body);
        assert_eq!(rig.crm.incidents()[0]["statecode"], 0, "the rep has reopened it");
        a.wake();
        is_listed(&b, "a", "joined").await;
        a.ready().await;
        a.counts("handoffd_in_flight", "", 0).await;
        assert_eq!(rig.crm.incidents()[0]["statecode"], 0, "{operation}: it stays open");
        let asked = rig.crm.operations().into_iter().filter(|asked| asked == operation).count();
        assert_eq!(asked, 2, "{operation}: the one that was lost, and the successor's");
        assert_eq!(rig.bus.outcomes(closing.id(), 1).await.len(), 1);
        rig.nothing_is_left().await;
    }
}
