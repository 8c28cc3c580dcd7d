//! Exchange of reports on organizations: each owner writes what it sees, and reads what the others have written.
//!
//! It has rows and a rhythm of its own: no renewal of the lease waits for a report, and a failure only makes reports old.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use handoffd_engine::event::OrganizationId;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};
use uuid::Uuid;

use super::super::errors::{FailureKind, ServerFailure};
use super::holdings::HoldingStage;
use super::host::FleetHost;
use super::member::PostgresFleet;
use super::shared_reports::ReportRow;
use super::statements::FleetTables;

/// Interval between two exchanges.
const EVERY: Duration = Duration::from_secs(2);
/// Longest wait for an answer of the server.
const LONGEST: Duration = Duration::from_secs(5);
/// Longest time that a row may be invisible after it was written.
const OVERLAP: Duration = Duration::from_secs(30);

/// Exchanges reports until the fleet is left.
pub(super) async fn exchange_reports(fleet: Arc<PostgresFleet>, host: Arc<dyn FleetHost>) {
    let closing = fleet.closing.clone();
    let mut exchange = ReportExchange { fleet, host, life: Uuid::nil(), written: HashMap::new(), read: None };
    let mut reported = false;
    let mut link = exchange.fleet.link.clone();
    let exchanging = async {
        // A failure is met again by the first round.
        _ = link.first_attempt().await;
        loop {
            let round = timeout(LONGEST * 3, exchange.round());
            let silent = || ServerFailure::new(FailureKind::Unavailable, "no answer in time");
            match round.await.unwrap_or_else(|_| Err(silent())) {
                Ok(()) if std::mem::take(&mut reported) => info!("exchanging reports on organizations again"),
                Err(failure) if !std::mem::replace(&mut reported, true) => {
                    warn!(error = %failure, "could not exchange reports on organizations with other workers; trying again");
                }
                Ok(()) | Err(_) => {}
            }
            sleep(EVERY).await;
        }
    };
    closing.run_until_cancelled(exchanging).await;
}

struct ReportExchange {
    fleet: Arc<PostgresFleet>,
    host: Arc<dyn FleetHost>,
    /// Life that wrote the reports.
    life: Uuid,
    /// Reports as written, each for a term.
    written: HashMap<OrganizationId, (i64, String)>,
    /// Start of the last good reading.
    read: Option<Instant>,
}

impl ReportExchange {
    async fn round(&mut self) -> Result<(), ServerFailure> {
        let client = self.fleet.link.client()?;
        let tables = FleetTables { client: &client, limit: LONGEST };
        self.write(&tables).await?;
        let began = Instant::now();
        let since = self.read.map(|last| began.saturating_duration_since(last) + OVERLAP);
        let (rows, complete) = tokio::try_join!(tables.reports(since), tables.reporters())?;
        self.fleet.lock().take_reports(rows, &complete, began);
        self.read = Some(began);
        Ok(())
    }

    /// Writes the reports that have changed, then that all are up to date.
    async fn write(&mut self, tables: &FleetTables<'_>) -> Result<(), ServerFailure> {
        let (life, terms) = self.owned();
        if std::mem::replace(&mut self.life, life) != life {
            self.written.clear();
        }
        self.written.retain(|organization, _| terms.contains_key(organization));
        let owned: Vec<OrganizationId> = terms.keys().cloned().collect();
        let reports = self.host.reports(&owned).await.into_iter();
        let rows = reports.filter_map(|(organization, report)| {
            let term = *terms.get(&organization)?;
            let is_written = self.written.get(&organization).is_some_and(|last| *last == (term, report.clone()));
            (!is_written).then(|| ReportRow { organization, worker: life, term, report: report.into() })
        });
        let rows: Vec<ReportRow> = rows.collect();
        if !rows.is_empty() {
            let fenced = tables.write_reports(life, &rows).await?;
            let accepted = rows.into_iter().filter(|row| !fenced.contains(&row.organization));
            self.written.extend(accepted.map(|row| (row.organization, (row.term, row.report.to_string()))));
        }
        tables.mark_reported(life).await
    }

    /// Returns the life of this worker, and the terms of the organizations that it owns.
    fn owned(&self) -> (Uuid, HashMap<OrganizationId, i64>) {
        let state = self.fleet.lock();
        let held = state.holdings.iter().filter(|(_, held)| held.stage != HoldingStage::Void);
        let held = held.filter(|(_, held)| held.worker == state.life);
        (state.life, held.map(|(id, held)| (id.clone(), held.term)).collect())
    }
}
