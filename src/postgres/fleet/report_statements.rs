//! Statements of the exchange of reports.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use handoffd_engine::event::OrganizationId;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::super::errors::ServerFailure;
use super::super::statement::Durability;
use super::shared_reports::ReportRow;
use super::statements::{FleetTables, Params, names, organization};

impl FleetTables<'_> {
    /// Writes the reports of a worker, each while it owns the organization for that term. Returns the others.
    ///
    /// No row of an owner is locked: a report that is written just after its term has ended says so itself.
    pub(super) async fn write_reports(
        &self,
        me: Uuid,
        rows: &[ReportRow],
    ) -> Result<HashSet<OrganizationId>, ServerFailure> {
        let text = format!(
            "WITH new AS (SELECT * FROM UNNEST($2::bytea[], $3::int8[], $4::text[]) AS n (organization, term, report)), \
             written AS (INSERT INTO handoffd_reports AS r (organization, worker, term, at, report) \
             SELECT n.organization, $1, n.term, clock_timestamp(), n.report FROM new n \
             JOIN handoffd_owners o ON o.organization = n.organization AND o.worker = $1 AND o.term = n.term \
             ORDER BY n.organization \
             ON CONFLICT (organization) DO UPDATE SET worker = excluded.worker, term = excluded.term, at = excluded.at, \
             report = excluded.report WHERE r.term <= excluded.term RETURNING organization) \
             SELECT ARRAY(SELECT n.organization FROM new n \
             WHERE NOT EXISTS (SELECT 1 FROM written w WHERE w.organization = n.organization)), {}",
            Durability::MayBeLost.setting()
        );
        let organizations: Vec<OrganizationId> = rows.iter().map(|row| row.organization.clone()).collect();
        let terms: Vec<i64> = rows.iter().map(|row| row.term).collect();
        let reports: Vec<&str> = rows.iter().map(|row| &*row.report).collect();
        let organizations = names(&organizations);
        let params: Params<'_> = &[
            (&me, Type::UUID),
            (&organizations, Type::BYTEA_ARRAY),
            (&terms, Type::INT8_ARRAY),
            (&reports, Type::TEXT_ARRAY),
        ];
        let answer = self.query(&text, params).await?;
        let fenced: Vec<&[u8]> = answer.first().map_or(Ok(Vec::new()), |row| row.try_get(0))?;
        fenced.into_iter().map(organization).collect()
    }

    /// Records that all reports of a worker are up to date.
    pub(super) async fn mark_reported(&self, me: Uuid) -> Result<(), ServerFailure> {
        let text = format!(
            "UPDATE handoffd_workers SET reported_at = clock_timestamp() WHERE id = $1 AND state <> 'lost' RETURNING {}",
            Durability::MayBeLost.setting()
        );
        self.query(&text, &[(&me, Type::UUID)]).await.map(drop)
    }

    /// Reads the reports written in this time; all of them without one.
    pub(super) async fn reports(&self, since: Option<Duration>) -> Result<Vec<ReportRow>, ServerFailure> {
        const TEXT: &str = "SELECT organization, worker, term, report FROM handoffd_reports \
             WHERE $1::float8 IS NULL OR at > clock_timestamp() - make_interval(secs => $1)";
        let row = |row: &Row| {
            Ok(ReportRow {
                organization: organization(row.try_get(0)?)?,
                worker: row.try_get(1)?,
                term: row.try_get(2)?,
                report: row.try_get::<_, &str>(3)?.into(),
            })
        };
        let since = since.map(|since| since.as_secs_f64());
        self.query(TEXT, &[(&since, Type::FLOAT8)]).await?.iter().map(row).collect()
    }

    /// Reads how long ago the reports of each worker were up to date.
    pub(super) async fn reporters(&self) -> Result<HashMap<Uuid, Duration>, ServerFailure> {
        const TEXT: &str = "SELECT id, extract(epoch FROM clock_timestamp() - reported_at)::float8 \
             FROM handoffd_workers WHERE reported_at IS NOT NULL";
        let row = |row: &Row| {
            let age: f64 = row.try_get(1)?;
            Ok((row.try_get(0)?, Duration::try_from_secs_f64(age).unwrap_or_default()))
        };
        self.query(TEXT, &[]).await?.iter().map(row).collect()
    }
}
