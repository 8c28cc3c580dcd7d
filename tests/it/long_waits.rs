//! Organizations that wait for a long time. Run manually: `make long-waits`.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::destinations::withdrawn_for;
use crate::support::broker::Broker;
use crate::support::event::{Event, ORGANIZATION, handoff};
use crate::support::rig::{Rig, rig_on};

const PAUSED: &str = "org_paused";
const MINUTE: Duration = Duration::from_secs(60);
/// Consumer timeout of RabbitMQ here: less than its default of 30 minutes, more than the worker's 10.
const CONSUMER_TIMEOUT: Duration = Duration::from_secs(12 * 60);
/// More events than an organization's consumer takes at once.
const EVENTS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes 41 minutes: make long-waits"]
async fn forty_minutes_of_throttling_and_fifteen_of_a_pause_give_nothing_up_and_disturb_nothing() {
    let broker = Broker::start();
    broker.ctl(&["eval", &format!("application:set_env(rabbit, consumer_timeout, {}).", CONSUMER_TIMEOUT.as_millis())]);
    let rig = rig_on(&broker).lay_out().await;
    rig.files.write_another_organization(rig.folder.path(), PAUSED);
    rig.start_worker("worker").ready().await;

    let throttled: Vec<Event> = (0..EVENTS).map(|_| handoff("email")).collect();
    let answer = json!({ "status": 429, "code": "0x80072322", "message": "Too many.", "retry_after": 60 });
    rig.crm.fault(&json!({ "operation": "incidents.*", "times": null, "fault": answer }));
    rig.bus.publish_all(&throttled).await;

    rig.worker().api("POST", &format!("/organizations/{PAUSED}/pause"), None).await;
    let paused: Vec<Event> = (0..EVENTS).map(|_| handoff("web").with("/organization_id", PAUSED)).collect();
    rig.bus.publish_all(&paused).await;

    sleep(15 * MINUTE).await;
    assert_eq!(rig.bus.all_outcomes().await.len(), 0, "both wait");
    rig.worker().api("POST", &format!("/organizations/{PAUSED}/resume"), None).await;
    rig.bus.outcomes_of(&paused).await;

    sleep(25 * MINUTE).await;
    assert_eq!(rig.bus.all_outcomes().await.len(), EVENTS, "one waits");
    rig.bus.gather(ORGANIZATION, 1).await;
    rig.crm.environment().clear_faults();
    sleep(MINUTE).await;
    rig.bus.outcomes_of(&throttled).await;

    was_undisturbed(&rig, &broker).await;
    rig.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes more than four minutes: make long-waits"]
async fn minutes_without_permission_to_write_outcomes_costs_nothing() {
    withdrawn_for(MINUTE, "30s").await;
    withdrawn_for(3 * MINUTE, "30s").await;
}

/// Asserts that nothing was given up and no connection or channel was lost.
async fn was_undisturbed(rig: &Rig, broker: &Broker) {
    assert_eq!(rig.bus.dead_letters().await, 0);
    assert!(!rig.worker().logged("reconnecting") && !rig.worker().logged("redeliver"), "{}", rig.logs());
    let log = broker.log();
    assert!(!log.contains("timed out") && !log.contains("delivery acknowledgement"), "{log}");
}
