//! Statements of the fleet. Each is one trip and a transaction of its own, and passes a pooler in any mode.

use std::collections::BTreeMap;
use std::time::Duration;

use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::fleet::Claim;
use handoffd_engine::ports::metrics::TakeoverReason;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::super::errors::{FailureKind, ServerFailure, in_time};
use super::super::statement::Durability;
use super::assignment::released;
use super::host::HostedOrganizations;
use super::view::{OwnerRow, WorkerLists, WorkerRow, WorkerState};

/// Row that a worker writes of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct WorkerEntry<'a> {
    /// Life of the worker.
    pub id: Uuid,
    /// Name for lists and logs.
    pub name: &'a str,
    /// Lease.
    pub lease: Duration,
}

/// State that a worker renews with its lease.
#[derive(Clone, Copy, Debug)]
pub(super) struct WorkerPulse {
    /// True once it stops.
    pub is_leaving: bool,
    /// True if it can consume queues.
    pub able: bool,
    /// Number of events in progress.
    pub in_flight: i64,
}

/// Client with a limit for each answer.
#[derive(Clone, Copy)]
pub(super) struct FleetTables<'a> {
    /// Connection.
    pub client: &'a Client,
    /// Longest wait for an answer.
    pub limit: Duration,
}

/// Parameters of a statement.
pub(super) type Params<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

impl FleetTables<'_> {
    /// Joins with a new life.
    pub(super) async fn join(&self, entry: WorkerEntry<'_>) -> Result<(), ServerFailure> {
        const TEXT: &str = "INSERT INTO handoffd_workers \
             (id, name, version, lease, state, able, in_flight, lists, configured, former) \
             VALUES ($1, $2, $3, make_interval(secs => $4), 'joined', false, 0, 0, '{}', '{}')";
        let (version, lease) = (env!("CARGO_PKG_VERSION"), entry.lease.as_secs_f64());
        let params: Params<'_> =
            &[(&entry.id, Type::UUID), (&entry.name, Type::TEXT), (&version, Type::TEXT), (&lease, Type::FLOAT8)];
        self.query(TEXT, params).await.map(drop)
    }

    /// Renews the lease. Returns false if the life is over.
    pub(super) async fn renew(&self, id: Uuid, pulse: WorkerPulse) -> Result<bool, ServerFailure> {
        let text = format!(
            "UPDATE handoffd_workers SET seen_at = clock_timestamp(), state = $2, able = $3, in_flight = $4 \
             WHERE id = $1 AND state <> 'lost' RETURNING {}",
            Durability::MayBeLost.setting()
        );
        let state = if pulse.is_leaving { "leaving" } else { "joined" };
        let params: Params<'_> =
            &[(&id, Type::UUID), (&state, Type::TEXT), (&pulse.able, Type::BOOL), (&pulse.in_flight, Type::INT8)];
        Ok(!self.query(&text, params).await?.is_empty())
    }

    /// Writes the worker's organizations.
    pub(super) async fn list(&self, id: Uuid, hosted: &HostedOrganizations) -> Result<(), ServerFailure> {
        const TEXT: &str = "UPDATE handoffd_workers SET configured = $2, former = $3, lists = lists + 1 WHERE id = $1";
        let (configured, former) = (names(&hosted.configured), names(&hosted.former));
        let params: Params<'_> = &[(&id, Type::UUID), (&configured, Type::BYTEA_ARRAY), (&former, Type::BYTEA_ARRAY)];
        self.query(TEXT, params).await.map(drop)
    }

    /// Reads all workers.
    pub(super) async fn workers(&self) -> Result<BTreeMap<Uuid, WorkerRow>, ServerFailure> {
        const TEXT: &str = "SELECT id, name, state, seen_at + lease < clock_timestamp(), able, lists \
             FROM handoffd_workers";
        let row = |row: &Row| {
            let found = WorkerRow {
                name: row.try_get(1)?,
                state: WorkerState::read(row.try_get(2)?),
                is_expired: row.try_get(3)?,
                able: row.try_get(4)?,
                lists: row.try_get(5)?,
            };
            Ok((row.try_get(0)?, found))
        };
        self.query(TEXT, &[]).await?.iter().map(row).collect()
    }

    /// Reads the organizations of these workers.
    pub(super) async fn lists(&self, workers: &[Uuid]) -> Result<Vec<(Uuid, WorkerLists)>, ServerFailure> {
        const TEXT: &str = "SELECT id, lists, configured, former FROM handoffd_workers WHERE id = ANY($1)";
        let organizations = |row: &Row, column| -> Result<_, ServerFailure> {
            let names: Vec<&[u8]> = row.try_get(column)?;
            names.into_iter().map(organization).collect()
        };
        let row = |row: &Row| {
            let lists = WorkerLists {
                number: row.try_get(1)?,
                configured: organizations(row, 2)?,
                former: organizations(row, 3)?,
            };
            Ok((row.try_get(0)?, lists))
        };
        self.query(TEXT, &[(&workers, Type::UUID_ARRAY)]).await?.iter().map(row).collect()
    }

    /// Reads the owners of all organizations.
    pub(super) async fn owners(&self) -> Result<BTreeMap<OrganizationId, OwnerRow>, ServerFailure> {
        const TEXT: &str = "SELECT organization, worker, term, released FROM handoffd_owners";
        let row = |row: &Row| {
            let found = OwnerRow { worker: row.try_get(1)?, term: row.try_get(2)?, released: row.try_get(3)? };
            Ok((organization(row.try_get(0)?)?, found))
        };
        self.query(TEXT, &[]).await?.iter().map(row).collect()
    }

    /// Reads the number of changes of what operators have set.
    pub(super) async fn revision(&self) -> Result<i64, ServerFailure> {
        let rows = self.query("SELECT revision FROM handoffd_revision", &[]).await?;
        Ok(rows.first().map_or(Ok(0), |row| row.try_get(0))?)
    }

    /// Declares workers lost whose lease is over, and returns their names. Forgets those that were lost long ago.
    pub(super) async fn declare_lost(&self) -> Result<Vec<String>, ServerFailure> {
        const LOST: &str = "UPDATE handoffd_workers SET state = 'lost' \
             WHERE state <> 'lost' AND seen_at + lease < clock_timestamp() RETURNING name";
        const FORGET: &str = "DELETE FROM handoffd_workers w WHERE state = 'lost' \
             AND seen_at < clock_timestamp() - interval '1 hour' \
             AND NOT EXISTS (SELECT 1 FROM handoffd_owners o WHERE o.worker = w.id)";
        let rows = self.query(LOST, &[]).await?;
        self.query(FORGET, &[]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Takes an organization whose row has this term, unless another worker that is not lost owns it. Returns the new
    /// term.
    pub(super) async fn take(
        &self,
        me: Uuid,
        organization: &OrganizationId,
        term: i64,
    ) -> Result<Option<i64>, ServerFailure> {
        let text = format!(
            "INSERT INTO handoffd_owners AS o (organization, worker, term) SELECT $1, $2, 1 \
             WHERE EXISTS (SELECT 1 FROM handoffd_workers WHERE id = $2 AND state = 'joined') \
             ON CONFLICT (organization) DO UPDATE \
             SET worker = $2, term = o.term + 1, since = clock_timestamp(), released = NULL \
             WHERE o.term = $3 AND (o.worker IS NULL OR o.worker = $2 OR NOT EXISTS \
             (SELECT 1 FROM handoffd_workers w WHERE w.id = o.worker AND w.state <> 'lost')) \
             RETURNING o.term, {}",
            Durability::Durable.setting()
        );
        let name = organization.as_str().as_bytes();
        let params: Params<'_> = &[(&name, Type::BYTEA), (&me, Type::UUID), (&term, Type::INT8)];
        let rows = self.query(&text, params).await?;
        Ok(rows.first().map(|row| row.try_get(0)).transpose()?)
    }

    /// Reads what the last owner of an organization knew.
    pub(super) async fn state(&self, organization: &OrganizationId) -> Result<Option<String>, ServerFailure> {
        const TEXT: &str = "SELECT state FROM handoffd_organization_state WHERE organization = $1";
        let name = organization.as_str().as_bytes();
        let rows = self.query(TEXT, &[(&name, Type::BYTEA)]).await?;
        Ok(rows.first().map(|row| row.try_get(0)).transpose()?)
    }

    /// Writes what the next owner of an organization has to know, while the claim is the present one.
    pub(super) async fn keep_state(&self, claim: &Claim, state: &str) -> Result<(), ServerFailure> {
        const TEXT: &str = "INSERT INTO handoffd_organization_state (organization, state) \
             SELECT organization, $4 FROM handoffd_owners \
             WHERE organization = $1 AND worker = $2 AND term = $3 FOR SHARE \
             ON CONFLICT (organization) DO UPDATE SET state = excluded.state";
        let name = claim.organization.as_str().as_bytes();
        let params: Params<'_> =
            &[(&name, Type::BYTEA), (&claim.worker, Type::UUID), (&claim.term, Type::INT8), (&state, Type::TEXT)];
        self.query(TEXT, params).await.map(drop)
    }

    /// Gives an organization back.
    pub(super) async fn release(&self, claim: &Claim, why: TakeoverReason) -> Result<(), ServerFailure> {
        let text = format!(
            "UPDATE handoffd_owners SET worker = NULL, since = clock_timestamp(), released = $4 \
             WHERE organization = $1 AND worker = $2 AND term = $3 RETURNING {}",
            Durability::Durable.setting()
        );
        let (name, why) = (claim.organization.as_str().as_bytes(), released(why));
        let params: Params<'_> =
            &[(&name, Type::BYTEA), (&claim.worker, Type::UUID), (&claim.term, Type::INT8), (&why, Type::TEXT)];
        self.query(&text, params).await.map(drop)
    }

    /// Gives everything back, and ends the life.
    pub(super) async fn leave(&self, me: Uuid) -> Result<(), ServerFailure> {
        const RELEASE: &str = "UPDATE handoffd_owners SET worker = NULL, since = clock_timestamp(), released = $2 \
             WHERE worker = $1";
        self.query(RELEASE, &[(&me, Type::UUID), (&released(TakeoverReason::Left), Type::TEXT)]).await?;
        self.query("DELETE FROM handoffd_workers WHERE id = $1", &[(&me, Type::UUID)]).await.map(drop)
    }

    /// Returns true if a live worker has the organization configured, or it is saved in the store.
    pub(super) async fn is_configured(&self, me: Uuid, organization: &OrganizationId) -> Result<bool, ServerFailure> {
        const TEXT: &str = "SELECT EXISTS (SELECT 1 FROM handoffd_organizations WHERE organization = $1) \
             OR EXISTS (SELECT 1 FROM handoffd_workers WHERE id <> $2 AND state <> 'lost' AND $1 = ANY(configured))";
        let name = organization.as_str().as_bytes();
        let rows = self.query(TEXT, &[(&name, Type::BYTEA), (&me, Type::UUID)]).await?;
        Ok(rows.first().map_or(Ok(false), |row| row.try_get(0))?)
    }

    pub(super) async fn query(&self, text: &str, params: Params<'_>) -> Result<Vec<Row>, ServerFailure> {
        in_time(self.limit, self.client.query_typed(text, params)).await
    }
}

/// Returns the organizations as they are stored.
pub(super) fn names(organizations: &[OrganizationId]) -> Vec<Vec<u8>> {
    organizations.iter().map(|id| id.as_str().as_bytes().to_vec()).collect()
}

/// Reads a stored organization.
pub(super) fn organization(name: &[u8]) -> Result<OrganizationId, ServerFailure> {
    let text = std::str::from_utf8(name)
        .map_err(|_| ServerFailure::new(FailureKind::Data, "an organization's name is no UTF-8"))?;
    Ok(text.into())
}
