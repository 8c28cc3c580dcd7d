//! Failing exchanges and queues on a real broker: the worker names them, repeats nothing and gives nothing up.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::broker::{Broker, eventually};
use crate::support::bus::Outcome;
use crate::support::event::{Event, handoff};
use crate::support::rig::{Rig, rig_on};

/// Contract: longest time until the worker is unready because of a destination.
const UNREADY_WITHIN: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outcomes_without_write_permission_are_announced_once_it_is_granted_and_nothing_is_asked_again() {
    withdrawn_for(Duration::from_secs(10), "30s").await;
}

/// After four times `confirm_timeout` every outcome has been given up and its event waits in a retry queue, while nothing
/// is consumed: the worker has to find out by itself that the permission is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outcomes_without_write_permission_for_longer_than_they_wait_are_announced_all_the_same() {
    withdrawn_for(Duration::from_secs(20), "2s").await;
}

/// Withdraws the permission to write to the outcomes exchange for a time, under load.
pub async fn withdrawn_for(time: Duration, confirm_timeout: &str) {
    let broker = Broker::start();
    let rig = rig_on(&broker).set("broker", "confirm_timeout", confirm_timeout).start().await;
    let [_, outcomes] = rig.files.exchanges();
    // Nothing was published so far: RabbitMQ caches a channel's write permissions.
    may_write(&broker, &format!("^(?!{}$).*", outcomes.replace('.', "\\.")));
    let withdrawn = Instant::now();
    let events: Vec<Event> = (0..200).map(|number| handoff(["email", "web"][number % 2])).collect();
    rig.bus.publish_all(&events).await;
    is_unready_over(&rig, &outcomes).await;
    let took = withdrawn.elapsed();
    assert!(took <= UNREADY_WITHIN, "unready after {took:?}");
    // The worker takes no more events meanwhile.
    tokio::time::sleep(time.saturating_sub(withdrawn.elapsed())).await;
    assert_eq!((rig.bus.dead_letters().await, rig.bus.all_outcomes().await.len()), (0, 0));

    may_write(&broker, ".*");
    rig.bus.outcomes_of(&events).await;
    rig.worker().ready().await;
    assert_eq!((rig.bus.dead_letters().await, creations(&rig)), (0, 200));
    for outcome in rig.bus.all_outcomes().await {
        assert_eq!(outcome.body["data"]["attempts"], 1, "{}", outcome.body);
    }
    rig.nothing_is_left().await;
}

/// A queue without a leader accepts messages and never confirms them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_queue_without_a_leader_is_named_and_delays_nothing_else() {
    let broker = Broker::start();
    let rig = rig_on(&broker).set("broker", "confirm_timeout", "2s").start().await;
    let hanging = rig.retry_queue("200ms");
    leader(&broker, &hanging, "suspend");
    rig.crm.fault(&json!({ "operation": "incidents.create", "times": null, "fault": { "status": 503 } }));
    let retried: Vec<Event> = (0..30).map(|_| handoff("email")).collect();
    rig.bus.publish_all(&retried).await;
    is_unready_over(&rig, &hanging).await;

    rig.bus.publish(&handoff("email").without("/data/session_id")).await;
    rig.bus.dead_letter().await;
    assert_eq!(rig.process(&handoff("web")).await.body["event"], "dynamics365.handoff.succeeded");
    rig.crm.environment().clear_faults();
    rig.bus.outcomes_of(&retried).await;

    leader(&broker, &hanging, "resume");
    rig.worker().ready().await;
    eventually("empty queues", async || rig.bus.unfinished().await == 0).await;
    let made = rig.crm.incidents().len() + rig.crm.rows("oc_liveworkitems").len();
    assert_eq!((rig.bus.dead_letters().await, made), (0, 31), "copies that came late were answered from the store");
    let failed = |outcome: &&Outcome| outcome.body["event"] == "dynamics365.handoff.failed";
    assert_eq!(rig.bus.all_outcomes().await.iter().filter(failed).count(), 1, "the one without a session");
}

/// Suspends or resumes the process that leads a queue.
fn leader(broker: &Broker, queue: &str, order: &str) {
    let found = format!("{{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, <<\"{queue}\">>))");
    assert_eq!(broker.eval(&format!("{found}, sys:{order}(amqqueue:get_pid(Queue)).")), "ok");
}

/// Sets the worker user's write permission.
fn may_write(broker: &Broker, pattern: &str) {
    broker.set_permissions("/", "guest", [".*", pattern, ".*"]);
}

async fn is_unready_over(rig: &Rig, name: &str) {
    let over = async || rig.worker().unready().await.iter().any(|reason| reason.contains(name));
    eventually(&format!("being unready over {name}"), over).await;
}

fn creations(rig: &Rig) -> u64 {
    rig.crm.count("incidents.create") + rig.crm.count("oc_liveworkitems.create")
}
