//! Injected failures of several workers: killed, stopped, suspended, and without PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rand::rngs::SmallRng;
use tokio_util::sync::CancellationToken;

use crate::chaos::{count, end_of, pass};
use crate::owner_watch::LossKind;
use crate::stage::{Stage, name};

/// Seconds between two ends of a worker.
const END: (f64, f64) = (6.0, 14.0);
/// Seconds between an end and the next start of a worker.
const DOWN: (f64, f64) = (0.0, 3.0);
/// Seconds between two suspensions.
const SUSPENSION: (f64, f64) = (10.0, 25.0);
/// Seconds for which a worker is suspended: longer than a takeover takes.
const SUSPENDED: (f64, f64) = (20.0, 32.0);
/// Seconds between two ends of PostgreSQL.
const POSTGRES: (f64, f64) = (50.0, 110.0);
/// Seconds for which PostgreSQL is down: sometimes longer than the lease.
const AWAY: (f64, f64) = (0.5, 9.0);

/// Ends a worker every few seconds.
pub async fn end_workers(stage: Arc<Stage>, mut dice: SmallRng, over: CancellationToken) {
    while pass(&mut dice, END, &over).await {
        let Some(place) = stage.owners.reserve(&mut dice, stage.places()) else { continue };
        let worker = stage.worker(place);
        if dice.random_bool(0.75) {
            worker.kill9();
            stage.owners.lost(&name(place), LossKind::Killed);
            count(&stage.counts.kills);
        } else {
            worker.terminate();
            stage.owners.lost(&name(place), LossKind::Stopped);
            end_of(&worker).await;
            count(&stage.counts.stops);
        }
        // Cut short by the end of the run; the worker starts all the same.
        pass(&mut dice, DOWN, &over).await;
        stage.start_worker(place);
        stage.owners.started(&name(place), stage.places());
        stage.owners.free(place);
    }
}

/// Suspends one worker at a time.
pub async fn suspend_workers(stage: Arc<Stage>, mut dice: SmallRng, over: CancellationToken) {
    while pass(&mut dice, SUSPENSION, &over).await {
        let Some(place) = stage.owners.reserve(&mut dice, stage.places()) else { continue };
        let worker = stage.worker(place);
        worker.suspend();
        stage.owners.lost(&name(place), LossKind::Suspended);
        count(&stage.counts.freezes);
        pass(&mut dice, SUSPENDED, &over).await;
        worker.wake();
        stage.owners.woken();
        stage.owners.free(place);
    }
}

/// Restarts and kills PostgreSQL.
pub async fn restart_postgres(stage: Arc<Stage>, mut dice: SmallRng, over: CancellationToken) {
    let Some(postgres) = &stage.postgres else { return };
    while pass(&mut dice, POSTGRES, &over).await {
        let (postgres, killed) = (postgres.clone(), dice.random_bool(0.5));
        let away = Duration::from_secs_f64(dice.random_range(AWAY.0..AWAY.1));
        count(if killed { &stage.counts.postgres_kills } else { &stage.counts.postgres_stops });
        let outage = stage.owners.outage();
        let restart = move || {
            if killed {
                postgres.kill9();
            } else {
                postgres.stop();
            }
            std::thread::sleep(away);
            postgres.restart();
        };
        tokio::task::spawn_blocking(restart).await.expect("PostgreSQL comes back");
        drop(outage);
    }
}
