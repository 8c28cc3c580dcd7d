//! Organizations come, change and go without a restart.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tracing::{error, info, warn};

use super::background::{BackgroundReader, CompletedRead};
use super::herald::Herald;
use super::queues::Queues;
use super::register::Register;
use crate::config::organizations::{self, Change, Loaded, Organization, Snapshot, Update};
use crate::dynamics::{Access, Dynamics, Secret};
use crate::rabbit::Rabbit;
use crate::telemetry::metrics::Metrics;

/// How often the directory is read. Files are few and small; events of the file system are not to be had on
/// every mount (a Kubernetes secret, a network share).
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Longest read of the directory before it is reported: a network mount may hang.
const READ_LIMIT: Duration = Duration::from_secs(5);

/// Who must know which organizations there are.
#[derive(Clone)]
pub(super) struct Parties {
    pub(super) dynamics: Arc<Dynamics>,
    pub(super) broker: Arc<Rabbit>,
    pub(super) queues: Queues,
    pub(super) metrics: Arc<Metrics>,
}

/// Makes exactly these organizations known.
pub(super) fn put_in_force(snapshot: &Snapshot, parties: &Parties) {
    let ids = || snapshot.iter().map(|organization| &organization.settings.organization_id);
    parties.metrics.configured(ids());
    parties.dynamics.set_organizations(snapshot.iter().map(access).collect());
    parties.queues.configured(ids().cloned());
    if snapshot.is_empty() {
        warn!("no organization is configured: every event becomes a dead letter unknown_organization");
    }
}

/// Reads the directory again and again, and at once on SIGHUP.
pub(super) async fn keep_current(register: Arc<Register>, (hangup, herald): (Arc<Notify>, Herald)) {
    let of = register.clone();
    let read = move || organizations::read(&of.config.organizations.directory, &of.config, &of.env);
    let mut reading = BackgroundReader::new("organizations.directory", READ_LIMIT, read);
    loop {
        // A read that was requested while another one was under way begins at once.
        if !reading.is_asked() {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = hangup.notified() => {
                    info!("SIGHUP: the organizations are read again");
                    herald.reloads();
                    reading.ask();
                }
            }
        }
        let asked = reading.is_asked();
        if let Some(read) = reading.next().await {
            take_over(&register, read).await;
        }
        // Also when the read hangs: the service manager must not wait for it.
        if asked {
            herald.has_reloaded();
        }
    }
}

/// Puts in force what a reading of the directory changes.
async fn take_over(register: &Register, read: CompletedRead<Loaded>) {
    let mut roster = register.roster().await;
    let update = if read.asked {
        roster.files.reload(read.result)
    } else {
        // An editor may delete a file and write it again: one look without it does not remove it.
        roster.files.glance(read.result, Instant::now())
    };
    register.take_over(&mut roster, update);
}

/// Says what is wrong with files: once, not at every look.
pub(super) fn report_faults(update: &Update, reported: &mut String) {
    let faults = update.faults.to_string();
    if faults != *reported {
        if !faults.is_empty() {
            error!(
                kept = update.kept.len(),
                "organization files are at fault: the last good version of each stays in force, an organization without one is \
                 blocked: {faults}"
            );
            if !update.snapshot.is_complete() {
                error!(
                    "a file is so broken that its organization can't be told: events of unknown organizations wait in the \
                     retry queues until it is corrected or removed"
                );
            }
        }
        *reported = faults;
    }
}

/// Says what is wrong with saved organizations: once, not at every look.
pub(super) fn report_problems(problems: &[String], reported: &mut String) {
    let problems = problems.join("; ");
    if problems != *reported {
        if !problems.is_empty() {
            error!("saved organizations are at fault, their events wait: {problems}");
        }
        *reported = problems;
    }
}

/// Says what changed.
pub(super) fn report_changes(changes: &[Change]) {
    for change in changes {
        match change {
            Change::Added(id) => info!(organization_id = %id, "an organization was added"),
            Change::Changed(id) => info!(organization_id = %id, "an organization's settings changed"),
            Change::Removed(id) => {
                warn!(organization_id = %id, "an organization was removed: its events become dead letters");
            }
        }
    }
}

/// An organization, in the terms of the room that signs in for it.
pub(super) fn access(organization: &Organization) -> Access {
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
