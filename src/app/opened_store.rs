//! Open store of either kind.

use std::sync::Arc;

use handoffd_engine::ports::store::operators::OperatorStore;
use handoffd_engine::ports::store::{Store, StoreError};
use tokio::sync::watch;

use super::fleet::FleetMembership;
use crate::admin::deps::StoreAcceptance;
use crate::sled::{Quarantined, Unaccepted};

/// Store of the worker, with what is watched of it.
pub(super) struct OpenedStore {
    /// Store itself.
    pub(super) store: Arc<dyn Store>,
    /// The same store, for what operators do.
    pub(super) operators: Arc<dyn OperatorStore>,
    /// Acceptance of a store that replaced a damaged one.
    pub(super) acceptance: Arc<dyn StoreAcceptance>,
    /// Reason why the store can't be used.
    pub(super) health: watch::Receiver<Option<StoreError>>,
    /// Damage, which only an embedded store can have.
    pub(super) damage: Option<StoreDamage>,
    /// Membership among the workers that share the store.
    pub(super) membership: FleetMembership,
}

/// Damage of an embedded store.
#[derive(Clone)]
pub(super) struct StoreDamage {
    /// Store that was last set aside.
    pub(super) quarantined: watch::Receiver<Option<Quarantined>>,
    /// New store that is not accepted yet.
    pub(super) unaccepted: watch::Receiver<Option<Unaccepted>>,
}
