//! Present status: the worker's readiness as of now, and its organizations as of the last second.
//!
//! One task reads the organizations; API, page and metrics show what it has read, so that they agree and cost nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::api::ApiState;
use crate::organizations::{OrganizationView, OrganizationsReport};
use crate::status::{StatusMemory, StatusReason, WorkerReadiness, WorkerStatus};
use crate::telemetry::metrics::OrganizationGauges;

/// Interval between two readings.
const EVERY: Duration = Duration::from_secs(1);
/// Longest wait for a reading. It takes milliseconds unless the worker hangs.
const LIMIT: Duration = Duration::from_secs(5);
/// Reason shown while the organizations can't be read.
const SILENT: &str = "the worker does not respond: the state of its organizations can't be read (a store or disk that hangs)";

/// Last reading, and the times from which verdicts hold.
#[derive(Default)]
pub struct StatusBoard(Mutex<BoardEntries>);

#[derive(Default)]
struct BoardEntries {
    memory: StatusMemory,
    /// Troubles of organizations, and faults of files.
    reasons: Vec<StatusReason>,
    unidentified_files: usize,
    is_silent: bool,
}

impl ApiState {
    /// Returns the present status.
    pub fn status(&self) -> WorkerStatus {
        let mut entries = self.board.entries();
        let worker = self.readiness(entries.is_silent);
        let reasons = entries.reasons.clone();
        entries.memory.status(&worker, reasons, Timestamp::now())
    }

    fn readiness(&self, is_silent: bool) -> WorkerReadiness {
        let mut unready = (self.unready)();
        if is_silent {
            unready.push(SILENT.to_owned());
        }
        WorkerReadiness {
            unready,
            broker_connected: self.metrics.counts().broker_connected,
            store_healthy: self.metrics.vitals().is_none_or(|health| health.store_healthy),
        }
    }

    /// Reads the organizations and sets the gauges of the status.
    async fn read_status(&self) {
        let report = timeout(LIMIT, self.organizations.report()).await.ok();
        let organizations = self.board.entries().read(report);
        let status = self.status();
        let unidentified = self.board.entries().unidentified_files;
        self.metrics.set_status(status.verdict, unidentified, organizations.iter().map(gauges));
    }
}

impl StatusBoard {
    /// Reads the status forever.
    pub(super) async fn keep(parts: Arc<ApiState>) {
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            parts.read_status().await;
        }
    }

    fn entries(&self) -> MutexGuard<'_, BoardEntries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BoardEntries {
    /// Replaces the entries, and returns the organizations; none if they could not be read.
    fn read(&mut self, report: Option<OrganizationsReport>) -> Vec<OrganizationView> {
        self.is_silent = report.is_none();
        let Some(OrganizationsReport { mut organizations, faults, unidentified_files }) = report else {
            return Vec::new();
        };
        let troubles = organizations.iter_mut().flat_map(|view| std::mem::take(&mut view.troubles));
        self.reasons = faults.into_iter().chain(troubles).collect();
        self.unidentified_files = unidentified_files;
        organizations
    }
}

fn gauges(view: &OrganizationView) -> OrganizationGauges<'_> {
    OrganizationGauges {
        organization: &view.organization_id,
        state: view.state.as_str(),
        oldest_seconds: view.oldest_seconds,
    }
}
