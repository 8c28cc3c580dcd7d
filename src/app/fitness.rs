//! While the store can't be used, or an operator has not accepted it, or what organizations were saved is not known, nothing
//! is consumed: an event stays where it is safe.

use std::sync::Arc;

use handoffd_engine::ports::store::StoreError;
use tokio::sync::watch::Receiver;
use tracing::{error, info, warn};

use super::register::Register;
use crate::rabbit::Rabbit;
use crate::sled::{Quarantined, SledStore, Unaccepted};

/// Stops consuming when the store can't be used, and resumes when it can. The first look is taken before this returns,
/// so a worker that starts with a full disk takes no event.
pub(super) fn mind(store: &SledStore, broker: Arc<Rabbit>, register: Arc<Register>) {
    let (health, quarantined, unaccepted) = (store.health(), store.quarantined(), store.unaccepted());
    let mut guard =
        Guard { health, quarantined, unaccepted, broker, register, paused: None, reported: None, stale: false };
    guard.look();
    tokio::spawn(guard.go_on());
}

/// Returns when the store is damaged and is to be left as it is.
pub(super) async fn damaged(mut health: Receiver<Option<StoreError>>) -> StoreError {
    loop {
        if let Some(problem @ StoreError::Damaged { .. }) = &*health.borrow_and_update() {
            return problem.clone();
        }
        // It fails when the store is gone: the worker ends.
        if health.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Reports a store that was set aside, loudly.
pub(super) fn report(aside: &Quarantined, unaccepted: Option<&Unaccepted>) {
    let next = match unaccepted {
        None => "",
        Some(_) => {
            "; NOTHING IS CONSUMED: save organizations that were saved over HTTP again, pause those that were paused, then run \
             `handoffd store accept`"
        }
    };
    error!(
        set_aside = %aside.path.display(),
        problem = %aside.problem,
        "THE STORE WAS DAMAGED: it was set aside and a new one started. Nothing is lost or doubled in Dynamics; outcomes from \
         before are no longer listed{next}"
    );
}

struct Guard {
    health: Receiver<Option<StoreError>>,
    quarantined: Receiver<Option<Quarantined>>,
    unaccepted: Receiver<Option<Unaccepted>>,
    broker: Arc<Rabbit>,
    register: Arc<Register>,
    /// Why nothing is consumed.
    paused: Option<Obstacle>,
    /// The store that was set aside last, as far as it was reported.
    reported: Option<Quarantined>,
    /// The register holds what a store held that was set aside. That stays in force until the new one is accepted.
    stale: bool,
}

/// Why nothing is consumed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Obstacle {
    /// The store fails.
    Failing,
    /// It took the place of a damaged one, and no operator has accepted it.
    Unaccepted,
    /// Saved organizations were not read: an event of one would be taken for a stranger's.
    Unread,
}

impl Guard {
    async fn go_on(mut self) {
        loop {
            let obstacle = self.look();
            let unread = !self.register.is_loaded() && obstacle != Some(Obstacle::Failing);
            if unread || obstacle == Some(Obstacle::Unread) {
                self.register.forget();
                self.register.loaded().await;
                self.stale = false;
                continue;
            }
            let changed = tokio::select! {
                changed = self.health.changed() => changed,
                changed = self.unaccepted.changed() => changed,
                changed = self.quarantined.changed() => changed,
            };
            // It fails when the store is gone: the worker ends.
            if changed.is_err() {
                return;
            }
        }
    }

    /// Pauses or resumes. Returns why nothing is consumed.
    fn look(&mut self) -> Option<Obstacle> {
        let problem = self.health.borrow_and_update().clone();
        let unaccepted = self.unaccepted.borrow_and_update().clone();
        let quarantined = self.quarantined.borrow_and_update().clone();
        if let Some(aside) = &quarantined
            && self.reported != quarantined
        {
            report(aside, unaccepted.as_ref());
            (self.reported, self.stale) = (quarantined, true);
        }
        let obstacle = match (&problem, &unaccepted) {
            (Some(problem), _) => Some((Obstacle::Failing, format!("the store fails: {problem}"))),
            (None, Some(_)) => Some((Obstacle::Unaccepted, StoreError::Unaccepted.to_string())),
            (None, None) if self.stale || !self.register.is_loaded() => {
                Some((Obstacle::Unread, "the store fails: saved organizations can't be read".to_owned()))
            }
            (None, None) => None,
        };
        let (obstacle, why) = obstacle.unzip();
        if let Some(why) = why {
            self.broker.pause(why);
        } else if self.paused.is_some() {
            self.broker.resume();
        }
        if obstacle != self.paused {
            tell(obstacle, self.paused, problem.as_ref());
            self.paused = obstacle;
        }
        obstacle
    }
}

fn tell(obstacle: Option<Obstacle>, before: Option<Obstacle>, problem: Option<&StoreError>) {
    match (obstacle, problem) {
        (Some(Obstacle::Failing), Some(problem @ (StoreError::Suspect { .. } | StoreError::Damaged { .. }))) => {
            warn!(error = %problem, "the store reports damage: no event is consumed while it is examined");
        }
        (Some(Obstacle::Failing), problem) => error!(
            error = problem.map(tracing::field::display),
            "the store can't be written to: no event is consumed until it can (it is tried every second); make room on its disk"
        ),
        (Some(Obstacle::Unaccepted), _) => {
            warn!("the new store is not accepted: no event is consumed until `handoffd store accept`");
        }
        (Some(Obstacle::Unread), _) => {}
        (None, _) if before == Some(Obstacle::Failing) => {
            info!("the store can be written to again: consuming goes on");
        }
        (None, _) => info!("the store is in order: consuming goes on"),
    }
}
