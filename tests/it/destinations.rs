//! An exchange that fails the worker on a real broker: it says which, and nothing is done twice or given up.

use std::time::{Duration, Instant};

use crate::support::broker::{Broker, eventually};
use crate::support::event::{Event, handoff};
use crate::support::rig::{Rig, rig_on};

/// Contract: so soon the worker is unready over a destination.
const UNREADY_WITHIN: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outcomes_that_may_not_be_written_are_announced_once_they_may_and_nothing_is_asked_again() {
    let broker = Broker::start();
    let rig = rig_on(&broker).start().await;
    let [_, outcomes] = rig.files.exchanges();
    // Nothing was published so far: RabbitMQ keeps in mind for a channel what it may write to.
    may_write(&broker, &format!("^(?!{}$).*", outcomes.replace('.', "\\.")));
    let withdrawn = Instant::now();
    let events: Vec<Event> = (0..200).map(|number| handoff(["email", "web"][number % 2])).collect();
    rig.bus.publish_all(&events).await;
    is_unready_over(&rig, &outcomes).await;
    let took = withdrawn.elapsed();
    assert!(took <= UNREADY_WITHIN, "unready after {took:?}");
    // It takes no more meanwhile.
    tokio::time::sleep(Duration::from_secs(10)).await;
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

/// What the worker's user may write to.
fn may_write(broker: &Broker, pattern: &str) {
    broker.ctl(&["set_permissions", "guest", ".*", pattern, ".*"]);
}

async fn is_unready_over(rig: &Rig, name: &str) {
    let over = async || rig.worker().unready().await.iter().any(|reason| reason.contains(name));
    eventually(&format!("being unready over {name}"), over).await;
}

fn creations(rig: &Rig) -> u64 {
    rig.crm.count("incidents.create") + rig.crm.count("oc_liveworkitems.create")
}
