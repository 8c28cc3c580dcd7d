//! In: the membership of this worker in the fleet of workers that share a broker and a store.
//! Out: the organizations that this worker processes, and its permission to send requests for them.
//! Absent: the agreement between the workers, which is the adapter's.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use uuid::Uuid;

use crate::event::OrganizationId;

/// Term of an organization's owner: the proof that goes with each change of what is stored about its events.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Claim {
    /// Organization that is owned.
    pub organization: OrganizationId,
    /// Life of the worker that owns it.
    pub worker: Uuid,
    /// Number of the term. Grows with each owner.
    pub term: i64,
}

/// Relation of this worker to an organization.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OwnershipState {
    /// Another worker, or none, owns the organization; or this worker is giving it back.
    None,
    /// This worker is the only one there is.
    Sole,
    /// This worker owns the organization for a term.
    Term(Claim),
}

/// State of an organization as its owner reports it to the other workers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SharedReport {
    /// This worker owns the organization: it knows the state itself.
    Own,
    /// Another worker owns the organization and has written this lately, in the format of [`Fleet`]'s user.
    Recent(Arc<str>),
    /// No worker has reported the state lately.
    Unknown,
}

/// Fleet of workers. An organization is owned by one of them at a time, which alone consumes its queue.
#[async_trait]
pub trait Fleet: Send + Sync + 'static {
    /// Subscribes to changes of [`Fleet::ownership`] and [`Fleet::may_act`].
    fn changes(&self) -> watch::Receiver<()>;

    /// Returns the right to consume the organization's queue.
    fn ownership(&self, organization: &OrganizationId) -> OwnershipState;

    /// Records that the organization's queue is going to be consumed. Returns false if the claim is not valid any more.
    fn begin(&self, claim: &Claim) -> bool;

    /// Returns true if a request for the organization may begin now.
    fn may_act(&self, organization: &OrganizationId) -> bool;

    /// Returns false once the claim is certainly void: nothing of its events may be announced or acknowledged.
    fn holds(&self, claim: &Claim) -> bool;

    /// Reports that nothing of the organization is in progress any more, and nothing is consumed.
    fn released(&self, claim: &Claim);

    /// Reports a change of what the next owner has to know: a throttling, a block.
    fn state_changed(&self, organization: &OrganizationId);

    /// Returns true if another live worker is known to have the organization configured.
    fn is_configured_elsewhere(&self, organization: &OrganizationId) -> bool;

    /// Asks the other workers whether one of them has the organization configured. Returns true if they can't be asked:
    /// the organization may be configured after all.
    async fn may_be_configured_elsewhere(&self, organization: &OrganizationId) -> bool;

    /// Returns the name of the organization's owner.
    fn owner(&self, organization: &OrganizationId) -> Option<String>;

    /// Returns what the organization's owner has reported of its state.
    fn report(&self, _organization: &OrganizationId) -> SharedReport {
        SharedReport::Own
    }

    /// Returns the state of the fleet as this worker sees it.
    fn status(&self) -> FleetStatus;
}

/// State of the fleet as one worker sees it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct FleetStatus {
    /// Number of live workers.
    pub workers: usize,
    /// Number of organizations that this worker owns; `None` if it owns all there are.
    pub owned: Option<usize>,
    /// Seconds since this worker's lease was last renewed.
    pub lease_age_seconds: f64,
}

/// Fleet of one worker, which owns every organization.
pub struct SoloFleet(watch::Sender<()>);

impl SoloFleet {
    /// Creates the fleet.
    pub fn new() -> Self {
        Self(watch::Sender::new(()))
    }
}

impl Default for SoloFleet {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Fleet for SoloFleet {
    fn changes(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }

    fn ownership(&self, _: &OrganizationId) -> OwnershipState {
        OwnershipState::Sole
    }

    fn begin(&self, _: &Claim) -> bool {
        true
    }

    fn may_act(&self, _: &OrganizationId) -> bool {
        true
    }

    fn holds(&self, _: &Claim) -> bool {
        true
    }

    fn released(&self, _: &Claim) {}

    fn state_changed(&self, _: &OrganizationId) {}

    fn is_configured_elsewhere(&self, _: &OrganizationId) -> bool {
        false
    }

    async fn may_be_configured_elsewhere(&self, _: &OrganizationId) -> bool {
        false
    }

    fn owner(&self, _: &OrganizationId) -> Option<String> {
        None
    }

    fn status(&self) -> FleetStatus {
        FleetStatus { workers: 1, owned: None, lease_age_seconds: 0.0 }
    }
}
