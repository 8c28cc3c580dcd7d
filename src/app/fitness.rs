//! While the store can't be written to, or what organizations were saved is not known, nothing is consumed: an event stays
//! where it is safe.

use std::sync::Arc;

use tokio::sync::watch;
use tracing::{error, info};

use super::register::Register;
use crate::bus::rabbit::Rabbit;
use crate::store::StoreError;

/// Stops consuming when the store fails, and goes on when it works again. The first look is taken before this returns,
/// so a worker that starts with a full disk takes no event.
pub(super) fn mind(mut health: watch::Receiver<Option<StoreError>>, broker: Arc<Rabbit>, register: Arc<Register>) {
    let mut paused = look(&mut health, &broker, Paused::No);
    if paused == Paused::No && !register.is_loaded() {
        broker.pause("the store fails: saved organizations can't be read".to_owned());
        paused = Paused::Yes;
    }
    tokio::spawn(async move {
        loop {
            let well = health.borrow().is_none();
            if well {
                // An event of a saved organization would be taken for a stranger's.
                register.loaded().await;
            }
            paused = look(&mut health, &broker, paused);
            // It fails when the store is gone: the worker ends.
            if health.changed().await.is_err() {
                return;
            }
        }
    });
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Paused {
    Yes,
    No,
}

fn look(health: &mut watch::Receiver<Option<StoreError>>, broker: &Rabbit, paused: Paused) -> Paused {
    let problem = health.borrow_and_update().clone();
    match (problem, paused) {
        (Some(problem), _) => {
            broker.pause(format!("the store fails: {problem}"));
            if paused == Paused::No {
                error!(
                    error = %problem,
                    "the store can't be written to: no event is consumed until it can (it is tried every second); make room on its disk"
                );
            }
            Paused::Yes
        }
        (None, Paused::Yes) => {
            broker.resume();
            info!("the store can be written to again: consuming goes on");
            Paused::No
        }
        (None, Paused::No) => Paused::No,
    }
}
