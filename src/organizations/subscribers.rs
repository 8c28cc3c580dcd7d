//! Components that depend on the organizations, and what is logged about a change.

use std::sync::Arc;

use tracing::{error, info, warn};

use super::files::{OrganizationChange, Snapshot, Update};
use super::organization::Organization;
use super::queues::OrganizationQueueKeeper;
use crate::dynamics::{Access, Dynamics, Secret};
use crate::rabbit::Rabbit;
use crate::telemetry::metrics::PrometheusMetrics;

/// Components that receive the list of organizations.
#[derive(Clone)]
pub struct Subscribers {
    pub(crate) dynamics: Arc<Dynamics>,
    pub(crate) broker: Arc<Rabbit>,
    pub(crate) queues: OrganizationQueueKeeper,
    pub(crate) metrics: Arc<PrometheusMetrics>,
}

/// Passes exactly these organizations to the components.
pub(super) fn apply(snapshot: &Snapshot, parties: &Subscribers) {
    let ids = || snapshot.iter().map(|organization| &organization.settings.organization_id);
    parties.metrics.configured(ids());
    parties.dynamics.set_organizations(snapshot.iter().map(access).collect());
    parties.queues.configured(ids().cloned());
    if snapshot.is_empty() {
        warn!("no organization is configured; every event will be dead-lettered as unknown_organization");
    }
}

/// Logs the faults of organization files, once per change.
pub(super) fn report_faults(update: &Update, reported: &mut String) {
    let faults = update.faults.to_string();
    if faults != *reported {
        if !faults.is_empty() {
            error!(
                kept = update.kept.len(),
                "invalid organization files; the last valid version of each stays in effect, and an organization without one is \
                 blocked: {faults}"
            );
            if !update.snapshot.is_complete() {
                error!(
                    "an organization file is too broken to identify its organization; events of unknown organizations wait in \
                     retry queues until the file is fixed or removed"
                );
            }
        }
        *reported = faults;
    }
}

/// Logs the problems of saved organizations, once per change.
pub(super) fn report_problems(problems: &[String], reported: &mut String) {
    let problems = problems.join("; ");
    if problems != *reported {
        if !problems.is_empty() {
            error!("invalid saved organizations; their events are on hold: {problems}");
        }
        *reported = problems;
    }
}

/// Logs the changes.
pub(super) fn report_changes(changes: &[OrganizationChange]) {
    for change in changes {
        match change {
            OrganizationChange::Added(id) => info!(organization_id = %id, "organization added"),
            OrganizationChange::Changed(id) => info!(organization_id = %id, "organization settings changed"),
            OrganizationChange::Removed(id) => {
                warn!(organization_id = %id, "organization removed; its events will be dead-lettered");
            }
        }
    }
}

/// Converts an organization into the form that the Dynamics adapter takes.
pub fn access(organization: &Organization) -> Access {
    let secret = match &organization.withheld {
        None => Secret::Known(organization.credentials.client_secret.clone()),
        Some(withheld) => Secret::Withheld { why: withheld.why.clone(), advice: withheld.advice.clone() },
    };
    Access {
        settings: Arc::new(organization.settings.clone()),
        tenant_id: organization.credentials.tenant_id.clone(),
        client_id: organization.credentials.client_id.clone(),
        client_secret: secret,
    }
}
