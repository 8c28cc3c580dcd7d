//! Pauses consuming while the store can't be trusted.
//!
//! No event is consumed while the store fails, while a new store waits for an operator's acceptance, or while saved
//! organizations have not been read. The broker keeps the events safe in the meantime.

use std::sync::Arc;

use handoffd_engine::ports::store::StoreError;
use tokio::sync::watch::Receiver;
use tokio::sync::watch::error::RecvError;
use tracing::{error, info, warn};

use super::opened_store::{OpenedStore, StoreDamage};
use crate::organizations::OrganizationRegistry;
use crate::rabbit::Rabbit;
use crate::sled::{Quarantined, Unaccepted};

/// Starts the task that pauses consuming when the store can't be used and resumes it afterwards. Makes its first check
/// before it returns, so a worker that starts with a full disk takes no event.
pub(super) fn start_guard(store: &OpenedStore, broker: Arc<Rabbit>, registry: Arc<OrganizationRegistry>) {
    let (health, damage) = (store.health.clone(), store.damage.clone());
    let mut guard = Guard { health, damage, broker, registry, paused: None, reported: None, stale: false };
    guard.look();
    tokio::spawn(guard.go_on());
}

/// Completes once the store is damaged and `store.on_corruption` is `"stop"`.
pub(super) async fn damaged(mut health: Receiver<Option<StoreError>>) -> StoreError {
    loop {
        if let Some(problem @ StoreError::Damaged { .. }) = &*health.borrow_and_update() {
            return problem.clone();
        }
        // An error means that the store is gone because the worker is ending.
        if health.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Logs prominently that a damaged store was set aside.
pub(super) fn report(aside: &Quarantined, unaccepted: Option<&Unaccepted>) {
    let next = match unaccepted {
        None => "",
        Some(_) => {
            "; CONSUMING IS PAUSED: save the organizations that were saved over HTTP again, pause those that were paused, then run \
             `handoffd store accept`"
        }
    };
    error!(
        set_aside = %aside.path.display(),
        problem = %aside.problem,
        "THE STORE WAS DAMAGED. It was set aside and replaced by a new one. Nothing is lost or duplicated in Dynamics; earlier \
         outcomes are no longer listed{next}"
    );
}

struct Guard {
    health: Receiver<Option<StoreError>>,
    /// `None` for a store that can't be replaced by a new one.
    damage: Option<StoreDamage>,
    broker: Arc<Rabbit>,
    registry: Arc<OrganizationRegistry>,
    /// Reason that consuming is paused, if it is.
    paused: Option<Obstacle>,
    /// Last store that was set aside and reported.
    reported: Option<Quarantined>,
    /// True if the organizations in memory come from a store that was set aside. They stay in effect until the new
    /// store is accepted.
    stale: bool,
}

/// Reason that consuming is paused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Obstacle {
    /// The store fails.
    Failing,
    /// The store replaced a damaged one, and no operator has accepted it.
    Unaccepted,
    /// Saved organizations have not been read, so their events would be treated as those of an unknown organization.
    Unread,
}

impl Guard {
    async fn go_on(mut self) {
        loop {
            let obstacle = self.look();
            let unread = !self.registry.is_loaded() && obstacle != Some(Obstacle::Failing);
            if unread || obstacle == Some(Obstacle::Unread) {
                self.registry.forget();
                self.registry.loaded().await;
                self.stale = false;
                continue;
            }
            let changed = tokio::select! {
                changed = self.health.changed() => changed,
                changed = damage_changed(&mut self.damage) => changed,
            };
            // An error means that the store is gone because the worker is ending.
            if changed.is_err() {
                return;
            }
        }
    }

    /// Pauses or resumes consuming. Returns the reason if it is paused.
    fn look(&mut self) -> Option<Obstacle> {
        let problem = self.health.borrow_and_update().clone();
        let unaccepted = self.damage.as_mut().and_then(|damage| damage.unaccepted.borrow_and_update().clone());
        let quarantined = self.damage.as_mut().and_then(|damage| damage.quarantined.borrow_and_update().clone());
        if let Some(aside) = &quarantined
            && self.reported != quarantined
        {
            report(aside, unaccepted.as_ref());
            (self.reported, self.stale) = (quarantined, true);
        }
        let obstacle = match (&problem, &unaccepted) {
            (Some(problem), _) => Some((Obstacle::Failing, format!("the store fails: {problem}"))),
            (None, Some(_)) => Some((Obstacle::Unaccepted, StoreError::Unaccepted.to_string())),
            (None, None) if self.stale || !self.registry.is_loaded() => {
                Some((Obstacle::Unread, "the store fails: can't read saved organizations".to_owned()))
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

/// Waits for a change; forever where there can be none.
async fn damage_changed(damage: &mut Option<StoreDamage>) -> Result<(), RecvError> {
    match damage {
        Some(damage) => tokio::select! {
            changed = damage.unaccepted.changed() => changed,
            changed = damage.quarantined.changed() => changed,
        },
        None => std::future::pending().await,
    }
}

fn tell(obstacle: Option<Obstacle>, before: Option<Obstacle>, problem: Option<&StoreError>) {
    match (obstacle, problem) {
        (Some(Obstacle::Failing), Some(problem @ (StoreError::Suspect { .. } | StoreError::Damaged { .. }))) => {
            warn!(error = %problem, "the store reports damage; consuming is paused while it is checked");
        }
        (Some(Obstacle::Failing), Some(problem @ StoreError::Unavailable { .. })) => {
            error!(error = %problem, "the store is unavailable; consuming is paused until it is back");
        }
        (Some(Obstacle::Failing), problem) => error!(
            error = problem.map(tracing::field::display),
            "can't write to the store; consuming is paused and the write retried every second; free space on its disk"
        ),
        (Some(Obstacle::Unaccepted), _) => {
            warn!("the new store is not accepted; consuming is paused; run `handoffd store accept`");
        }
        (Some(Obstacle::Unread), _) => {}
        (None, _) if before == Some(Obstacle::Failing) => {
            info!("the store works again; consuming resumed");
        }
        (None, _) => info!("the store is healthy; consuming resumed"),
    }
}
