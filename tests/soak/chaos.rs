//! What goes wrong: the worker is killed, the broker restarted, one organization always in trouble.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::crm::{ORGANIZATIONS, Trouble};
use crate::stage::Stage;
use crate::support::worker::Worker;

/// From one end of the worker to the next.
const WORKER: (f64, f64) = (2.0, 9.0);
/// From one end of the broker to the next.
const BROKER: (f64, f64) = (40.0, 100.0);
/// How long the broker is away.
const AWAY: (f64, f64) = (0.5, 6.0);
/// How long one organization's trouble lasts.
const TROUBLE: (f64, f64) = (8.0, 25.0);

/// How long a worker may take to end in good order.
const END_LIMIT: Duration = Duration::from_secs(60);

/// All of it, under way.
pub struct Chaos {
    stage: Arc<Stage>,
    tasks: [JoinHandle<()>; 3],
}

impl Chaos {
    /// Begins; ends with `over`.
    pub fn begin(stage: &Arc<Stage>, seed: u64, over: &CancellationToken) -> Self {
        let dice = |number: u64| SmallRng::seed_from_u64(seed.wrapping_add(number));
        let tasks = [
            tokio::spawn(kill_workers(stage.clone(), dice(1), over.clone())),
            tokio::spawn(restart_brokers(stage.clone(), dice(2), over.clone())),
            tokio::spawn(trouble_organizations(stage.clone(), dice(3), over.clone())),
        ];
        Self { stage: stage.clone(), tasks }
    }

    /// Waits until everything is up and nothing goes wrong any more.
    pub async fn end(self) {
        for task in self.tasks {
            task.await.expect("chaos does not panic");
        }
        self.stage.crm.calm().await;
    }
}

async fn kill_workers(stage: Arc<Stage>, mut dice: SmallRng, over: CancellationToken) {
    while pass(&mut dice, WORKER, &over).await {
        let worker = stage.worker();
        if dice.random_bool(0.8) {
            worker.kill9();
            count(&stage.counts.kills);
        } else {
            worker.terminate();
            end_of(&worker).await;
            count(&stage.counts.stops);
        }
        stage.start_worker();
    }
}

/// It drains for three seconds; a broker that hangs costs it some more.
async fn end_of(worker: &Worker) {
    let told = Instant::now();
    while worker.status().is_none() {
        assert!(told.elapsed() < END_LIMIT, "a worker that was told to stop does not: {}", worker.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn restart_brokers(stage: Arc<Stage>, mut dice: SmallRng, over: CancellationToken) {
    while pass(&mut dice, BROKER, &over).await {
        let broker = stage.broker.clone();
        let killed = dice.random_bool(0.5);
        let away = Duration::from_secs_f64(dice.random_range(AWAY.0..AWAY.1));
        count(if killed { &stage.counts.broker_kills } else { &stage.counts.broker_stops });
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
    }
}

async fn trouble_organizations(stage: Arc<Stage>, mut dice: SmallRng, over: CancellationToken) {
    let kinds = [Trouble::BadSecret, Trouble::NoRoles, Trouble::Hangs, Trouble::Throttled, Trouble::Away];
    for organization in ORGANIZATIONS.iter().cycle() {
        let trouble = *kinds.choose(&mut dice).expect("five kinds");
        stage.crm.put(organization, trouble).await;
        let goes_on = pass(&mut dice, TROUBLE, &over).await;
        stage.crm.put(organization, Trouble::Usual).await;
        if !goes_on {
            return;
        }
    }
}

/// Lets some time pass, somewhere between; false when it is over.
async fn pass(dice: &mut SmallRng, (least, most): (f64, f64), over: &CancellationToken) -> bool {
    let time = Duration::from_secs_f64(dice.random_range(least..most));
    tokio::select! {
        () = tokio::time::sleep(time) => true,
        () = over.cancelled() => false,
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
