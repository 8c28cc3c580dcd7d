//! Taking of organizations that nobody owns.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use handoffd_engine::ports::fleet::Claim;
use handoffd_engine::ports::metrics::Measurement;
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::super::errors::ServerFailure;
use super::assignment::FreeOrganization;
use super::host::FleetHost;
use super::member::PostgresFleet;
use super::statements::FleetTables;
use super::view::Revision;

/// Number of organizations that are taken at once.
const AT_ONCE: usize = 8;
/// Longest wait for an answer of the server.
const LONGEST: Duration = Duration::from_secs(5);

/// Takes organizations. What can't be taken now is tried again with a later renewal.
pub(super) async fn take_all(
    fleet: Arc<PostgresFleet>,
    host: Arc<dyn FleetHost>,
    me: Uuid,
    free: Vec<FreeOrganization>,
) {
    let (fleet, host) = (&fleet, &*host);
    stream::iter(free)
        .for_each_concurrent(AT_ONCE, |free| async move {
            if let Err(failure) = take(fleet, host, me, &free).await {
                warn!(organization_id = %free.organization, error = %failure, "could not take an organization over");
            }
        })
        .await;
}

async fn take(
    fleet: &PostgresFleet,
    host: &dyn FleetHost,
    me: Uuid,
    free: &FreeOrganization,
) -> Result<(), ServerFailure> {
    let FreeOrganization { organization, term, why } = free;
    // Whoever owned it may not know that it is lost: a worker that is suspended still has its consumer, and the broker
    // still sends to it. Heartbeats end that within twice their interval; what still consumes is no worker, and must not
    // hold the organization.
    match host.consumers(organization).await {
        Some(0) => {}
        Some(consumers) if fleet.has_waited_for(organization, host.heartbeat() * 2) => {
            warn!(organization_id = %organization, consumers, "something else consumes the organization's queue; taking the organization over nevertheless");
        }
        consumers => {
            debug!(organization_id = %organization, consumers, "the organization's queue still has a consumer");
            return Ok(());
        }
    }
    let (client, connection) = fleet.link.connection()?;
    let tables = FleetTables { client: &client, limit: LONGEST };
    let Some(term) = tables.take(me, organization, *term).await? else { return Ok(()) };
    // What the last owner wrote, and what operators have set, is read after its term has ended.
    let (state, number) = tokio::try_join!(tables.state(organization), tables.revision())?;
    let revision = Revision { connection, number };
    if !read_changes(fleet, host, revision).await || fleet.lock().life != me {
        return Ok(()); // the row is this worker's, or a lost one's; it is taken again
    }
    host.prepare(organization, state.as_deref());
    let claim = Claim { organization: organization.clone(), worker: me, term };
    fleet.lock().holdings.take(claim, Instant::now());
    fleet.changed();
    info!(organization_id = %organization, term, reason = ?why, "took an organization over");
    if let Some(why) = why {
        fleet.metrics.record(Measurement::TookOver(*why));
    }
    Ok(())
}

/// Reads what operators have set, if this is not the change that was read last. Returns false if the store fails.
pub(super) async fn read_changes(fleet: &PostgresFleet, host: &dyn FleetHost, revision: Revision) -> bool {
    let mut applied = fleet.applied.lock().await;
    if *applied == Some(revision) {
        return true;
    }
    let is_read = host.refresh().await;
    if is_read {
        *applied = Some(revision);
    }
    is_read
}
