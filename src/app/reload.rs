//! Organizations come, change and go without a restart.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tracing::{error, info, warn};

use super::herald::Herald;
use crate::bus::rabbit::Rabbit;
use crate::config::organizations::{self, Change, Snapshot, Update};
use crate::config::{Config, Environment};
use crate::dynamics::{Access, Dynamics};
use crate::ops::metrics::Metrics;

/// How often the directory is read. Files are few and small; events of the file system are not to be had on
/// every mount (a Kubernetes secret, a network share).
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Who must know which organizations there are.
#[derive(Clone)]
pub(super) struct Parties {
    pub(super) dynamics: Arc<Dynamics>,
    pub(super) broker: Arc<Rabbit>,
    pub(super) metrics: Arc<Metrics>,
}

/// Makes exactly these organizations known.
pub(super) fn put_in_force(snapshot: &Snapshot, parties: &Parties) {
    let ids = || snapshot.iter().map(|organization| &organization.settings.organization_id);
    parties.metrics.configured(ids());
    parties.dynamics.set_organizations(snapshot.iter().map(access).collect());
    parties.broker.serve(ids().cloned().collect());
    if snapshot.is_empty() {
        warn!("no organization is configured: every event becomes a dead letter unknown_organization");
    }
}

/// Reads the directory again and again, and at once on SIGHUP.
pub(super) async fn keep_current(
    config: Config,
    env: Environment,
    mut snapshot: Snapshot,
    parties: Parties,
    (hangup, herald): (Arc<Notify>, Herald),
) {
    let mut reported = String::new();
    loop {
        let asked = tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => false,
            () = hangup.notified() => {
                herald.reloads();
                true
            }
        };
        let loaded = organizations::read(&config.organizations.directory, &config, &env);
        let update = if asked {
            info!("SIGHUP: the organizations are read again");
            snapshot.reload(loaded)
        } else {
            // An editor may delete a file and write it again: one look without it does not remove it.
            snapshot.glance(loaded)
        };
        report(&update, &mut reported);
        if !update.changes.is_empty() {
            put_in_force(&update.snapshot, &parties);
        }
        snapshot = update.snapshot;
        if asked {
            herald.has_reloaded();
        }
    }
}

/// Says what changed, and what is wrong: once, not at every look.
fn report(update: &Update, reported: &mut String) {
    let faults = update.faults.to_string();
    if faults != *reported {
        if !faults.is_empty() {
            error!(
                kept = update.kept.len(),
                "organization files are at fault, the last good versions stay in force: {faults}"
            );
        }
        *reported = faults;
    }
    for change in &update.changes {
        match change {
            Change::Added(id) => info!(organization_id = %id, "an organization was added"),
            Change::Changed(id) => info!(organization_id = %id, "an organization's settings changed"),
            Change::Removed(id) => {
                warn!(organization_id = %id, "an organization was removed: its events become dead letters");
            }
        }
    }
}

fn access(organization: &organizations::Organization) -> Access {
    Access {
        settings: Arc::new(organization.settings.clone()),
        tenant_id: organization.credentials.tenant_id.clone(),
        client_id: organization.credentials.client_id.clone(),
        client_secret: organization.credentials.client_secret.clone(),
    }
}
