//! Publications, and events that happen to the broker by itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::broker::Broker;
use super::destination::Destinations;
use super::message::Message;
use super::scene::TROUBLE_ENDS;

/// Publishes the messages of a run.
pub async fn publish(broker: Arc<Broker>, publications: Vec<(Duration, Message)>) {
    for (at, message) in publications {
        sleep(at.saturating_sub(broker.scene.elapsed())).await;
        broker.scene.log(|| format!("published {}", String::from_utf8_lossy(&message.body)));
        broker.publish(message);
    }
}

/// Breaks the connection at random times.
pub async fn breaks(broker: Arc<Broker>) {
    for _ in 0..broker.scene.below(4) {
        broker.scene.sleep_up_to(TROUBLE_ENDS / 3).await;
        broker.disconnect("random outage");
    }
}

/// Kills the broker at random times, mostly while queues are young.
pub fn kills(broker: &Arc<Broker>, cloud: &Destinations) {
    let scene = &broker.scene;
    let mut times: Vec<Duration> = Vec::new();
    if scene.happens(0.2) {
        times.push(Duration::from_secs(5).mul_f64(scene.random()));
    }
    for at in cloud.added.values().filter(|_| scene.happens(0.5)) {
        times.push(*at + Duration::from_secs(5).mul_f64(scene.random()));
    }
    if scene.happens(0.1) {
        times.push(TROUBLE_ENDS.mul_f64(scene.random()));
    }
    for at in times {
        let broker = broker.clone();
        tokio::spawn(async move {
            sleep(at).await;
            broker.kill();
        });
    }
}

/// Adds organizations while the worker runs.
pub fn additions(broker: &Arc<Broker>, cloud: &Destinations) {
    for (organization, at) in cloud.added.clone() {
        let broker = broker.clone();
        tokio::spawn(async move {
            sleep(at).await;
            broker.add(&organization);
        });
    }
}

/// Wakes consumers and publishers at the end of each window of faults, and ends consumers at the start of a pause.
pub fn edges(broker: &Arc<Broker>) {
    let (broker, edges) = (broker.clone(), broker.windows.edges());
    tokio::spawn(async move {
        for at in edges {
            sleep(at.saturating_sub(broker.scene.elapsed())).await;
            if broker.is_paused() {
                broker.look(|state| state.organizations.end_consumers());
            }
            broker.wake();
        }
    });
}
