//! Organizations whose queues the worker uses: the configured ones, and the former ones that the store remembers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::store::{Change, Store};
use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tracing::{info, warn};

use crate::rabbit::{OrganizationSet, Rabbit};

/// Pause before the store is tried again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Keeps the store's and the broker's lists of queues up to date.
#[derive(Clone)]
pub(super) struct OrganizationQueueKeeper {
    wanted: watch::Sender<Option<BTreeSet<OrganizationId>>>,
    stale: Arc<Notify>,
}

impl OrganizationQueueKeeper {
    /// Starts the task that does so. Needs a tokio runtime.
    pub(super) fn keep(store: Arc<dyn Store>, broker: Arc<Rabbit>) -> Self {
        let (wanted, receiver) = watch::channel(None);
        let stale = Arc::new(Notify::new());
        tokio::spawn(keep(store, broker, receiver, stale.clone()));
        Self { wanted, stale }
    }

    /// Reads again which queues other workers have declared.
    pub(super) fn reread(&self) {
        self.stale.notify_one();
    }

    /// Sets the configured organizations.
    pub(super) fn configured(&self, organizations: impl Iterator<Item = OrganizationId>) {
        self.wanted.send_replace(Some(organizations.collect()));
    }
}

async fn keep(
    store: Arc<dyn Store>,
    broker: Arc<Rabbit>,
    mut wanted: watch::Receiver<Option<BTreeSet<OrganizationId>>>,
    stale: Arc<Notify>,
) {
    let mut remembered = remembered(&*store).await;
    let mut failures = 0_u64;
    loop {
        let configured = wanted.borrow_and_update().clone();
        let kept = match configured {
            Some(configured) => {
                let kept = remember(&*store, &configured, &mut remembered).await;
                broker.serve(served(&configured, &remembered));
                kept
            }
            None => true,
        };
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return },
            () = sleep(ASK_AGAIN), if !kept => {}
            () = stale.notified() => match store.organization_queues().await {
                Ok(queues) => {
                    remembered.extend(queues);
                    if failures > 0 {
                        info!(failures = std::mem::take(&mut failures), "read which organizations have queues again");
                    }
                }
                Err(problem) => {
                    if failures == 0 {
                        warn!(error = %problem, "can't read which organizations have queues; trying again");
                    }
                    failures += 1;
                }
            },
        }
    }
}

/// Reads the queues that the store remembers. Retries until the store can be read; nothing is consumed before.
async fn remembered(store: &dyn Store) -> BTreeMap<OrganizationId, Timestamp> {
    let mut is_news = true;
    loop {
        match store.organization_queues().await {
            Ok(queues) => return queues.into_iter().collect(),
            Err(problem) if is_news => {
                warn!(error = %problem, "can't read which organizations have queues; retrying");
                is_news = false;
            }
            Err(_) => {}
        }
        sleep(ASK_AGAIN).await;
    }
}

/// Stores the new organizations and returns false if the store fails.
///
/// This must be durable before a queue is declared: a worker that starts within seconds must not trust the queue yet,
/// and after its organization is removed, its events must still be found.
async fn remember(
    store: &dyn Store,
    configured: &BTreeSet<OrganizationId>,
    remembered: &mut BTreeMap<OrganizationId, Timestamp>,
) -> bool {
    let now = Timestamp::now();
    let new: Vec<_> = configured.iter().filter(|id| !remembered.contains_key(id)).cloned().collect();
    if new.is_empty() {
        return true;
    }
    let changes = new.iter().map(|id| Change::OrganizationQueue(id.clone(), now)).collect();
    if let Err(problem) = store.persist(changes).await {
        warn!(error = %problem, "can't store which organizations have queues; retrying");
        return false;
    }
    remembered.extend(new.into_iter().map(|id| (id, now)));
    true
}

fn served(configured: &BTreeSet<OrganizationId>, remembered: &BTreeMap<OrganizationId, Timestamp>) -> OrganizationSet {
    OrganizationSet {
        configured: configured.iter().map(|id| (id.clone(), remembered.get(id).copied())).collect(),
        former: remembered.keys().filter(|id| !configured.contains(id)).cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use handoffd_engine::memory_store::MemoryStore;

    fn ids(all: &[&str]) -> BTreeSet<OrganizationId> {
        all.iter().map(|id| OrganizationId::from(*id)).collect()
    }

    #[tokio::test]
    async fn a_removed_organization_is_remembered_as_a_former_one() {
        let store = MemoryStore::new();
        let mut known = remembered(&store).await;
        assert!(known.is_empty());
        remember(&store, &ids(&["org_a", "org_b"]), &mut known).await;
        // A later process, after one organization was removed.
        let mut known = remembered(&store).await;
        remember(&store, &ids(&["org_b", "org_c"]), &mut known).await;
        let served = served(&ids(&["org_b", "org_c"]), &known);
        assert_eq!(served.configured.keys().cloned().collect::<BTreeSet<_>>(), ids(&["org_b", "org_c"]));
        assert_eq!(served.former, ids(&["org_a"]));
        assert!(served.configured.values().all(Option::is_some), "the time of declaration is stored");
    }
}
