//! Injected failures: workers are killed, the broker restarted, and some organizations always in trouble.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::crm::{Trouble, organizations};
use crate::fleet_chaos;
use crate::stage::Stage;
use crate::support::worker::Worker;

/// Seconds between two ends of the worker.
const WORKER: (f64, f64) = (2.0, 9.0);
/// Seconds between two ends of the broker.
const BROKER: (f64, f64) = (40.0, 100.0);
/// Seconds for which the broker is down.
const AWAY: (f64, f64) = (0.5, 6.0);
/// Seconds for which one organization's trouble lasts.
const TROUBLE: (f64, f64) = (8.0, 25.0);

/// Organizations of which one is always in trouble.
const TROUBLED_OF: usize = 10;

/// Longest time in which a worker must exit cleanly.
const END_LIMIT: Duration = Duration::from_secs(60);

/// Running failure injection.
pub struct Chaos {
    stage: Arc<Stage>,
    tasks: Vec<JoinHandle<()>>,
}

impl Chaos {
    /// Starts; ends with `over`.
    pub fn begin(stage: &Arc<Stage>, seed: u64, over: &CancellationToken) -> Self {
        let dice = |number: u64| SmallRng::seed_from_u64(seed.wrapping_add(number));
        let mut tasks = vec![tokio::spawn(restart_brokers(stage.clone(), dice(2), over.clone()))];
        if stage.places() == 1 {
            tasks.push(tokio::spawn(kill_workers(stage.clone(), dice(1), over.clone())));
        } else {
            tasks.push(tokio::spawn(fleet_chaos::end_workers(stage.clone(), dice(1), over.clone())));
            tasks.push(tokio::spawn(fleet_chaos::suspend_workers(stage.clone(), dice(4), over.clone())));
            tasks.push(tokio::spawn(fleet_chaos::restart_postgres(stage.clone(), dice(5), over.clone())));
        }
        for (nth, group) in (10..).zip(organizations().chunks(TROUBLED_OF)) {
            tasks.push(tokio::spawn(trouble_organizations(stage.clone(), group, dice(nth), over.clone())));
        }
        Self { stage: stage.clone(), tasks }
    }

    /// Waits until everything is running and no failure remains.
    pub async fn end(self) {
        for task in self.tasks {
            task.await.expect("chaos does not panic");
        }
        self.stage.crm.calm().await;
    }
}

async fn kill_workers(stage: Arc<Stage>, mut dice: SmallRng, over: CancellationToken) {
    while pass(&mut dice, WORKER, &over).await {
        let worker = stage.worker(0);
        if dice.random_bool(0.8) {
            worker.kill9();
            count(&stage.counts.kills);
        } else {
            worker.terminate();
            end_of(&worker).await;
            count(&stage.counts.stops);
        }
        stage.start_worker(0);
    }
}

/// Stops the worker. It drains for three seconds; a broker that hangs adds to that.
pub async fn end_of(worker: &Worker) {
    let signalled = Instant::now();
    while worker.status().is_none() {
        assert!(signalled.elapsed() < END_LIMIT, "the worker did not stop within the limit: {}", worker.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn restart_brokers(stage: Arc<Stage>, mut dice: SmallRng, over: CancellationToken) {
    while pass(&mut dice, BROKER, &over).await {
        let broker = stage.broker.clone();
        let killed = dice.random_bool(0.5);
        let away = Duration::from_secs_f64(dice.random_range(AWAY.0..AWAY.1));
        count(if killed { &stage.counts.broker_kills } else { &stage.counts.broker_stops });
        let outage = stage.owners.outage();
        let restart = move || {
            if killed {
                broker.kill9()
            } else {
                broker.stop()
            }
            std::thread::sleep(away);
            broker.restart();
        };
        tokio::task::spawn_blocking(restart).await.expect("the broker comes back");
        drop(outage);
    }
}

async fn trouble_organizations(
    stage: Arc<Stage>,
    group: &'static [String],
    mut dice: SmallRng,
    over: CancellationToken,
) {
    let kinds = [Trouble::BadSecret, Trouble::NoRoles, Trouble::Hangs, Trouble::Throttled, Trouble::Away];
    for organization in group.iter().cycle() {
        let trouble = *kinds.choose(&mut dice).expect("five kinds");
        stage.owners.troubled(organization, trouble == Trouble::Throttled);
        stage.crm.put(organization, trouble).await;
        let goes_on = pass(&mut dice, TROUBLE, &over).await;
        stage.crm.put(organization, Trouble::Usual).await;
        stage.owners.troubled(organization, false);
        if !goes_on {
            return;
        }
    }
}

/// Waits for a random time within the range; returns false when the run is over.
pub async fn pass(dice: &mut SmallRng, (least, most): (f64, f64), over: &CancellationToken) -> bool {
    let time = Duration::from_secs_f64(dice.random_range(least..most));
    tokio::select! {
        () = tokio::time::sleep(time) => true,
        () = over.cancelled() => false,
    }
}

pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
