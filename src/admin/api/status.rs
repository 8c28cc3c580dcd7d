//! `GET /api/v1/status`, and the task that reads what it shows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::route::{AnswerSpec, ApiRoute, DEFAULT_TIMEOUT, HttpVerb, schema};
use super::state::ApiState;
use crate::admin::degradation_log::DegradationLog;
use crate::organizations::OrganizationView;
use crate::status::{WorkerReadiness, WorkerStatus};
use crate::telemetry::metrics::EventReach;
use crate::telemetry::metrics::OrganizationGauges;

/// Interval between two readings of the organizations.
const EVERY: Duration = Duration::from_secs(1);
/// Longest wait for a reading. It takes milliseconds unless the worker hangs.
const LIMIT: Duration = Duration::from_secs(5);
/// Longest wait for a reading beside the regular ones.
const REFRESH: Duration = Duration::from_millis(500);
/// Reason shown while the organizations can't be read.
const SILENT: &str =
    "the worker does not respond: the state of its organizations can't be read (a store or a disk hangs)";

pub(super) const ROUTES: [ApiRoute; 1] = [ApiRoute {
    verb: HttpVerb::Get,
    path: "/api/v1/status",
    name: "status",
    summary: "Shows whether events are processed, and every reason why some are not.",
    parameters: &[],
    body: None,
    answers: &[AnswerSpec::new(200, "Verdict with its reasons.", schema::<WorkerStatus>)],
    problems: &[],
    within: DEFAULT_TIMEOUT,
    handler: |verb| on(verb, show),
}];

async fn show(State(parts): State<Arc<ApiState>>) -> Json<WorkerStatus> {
    parts.refresh().await;
    Json(parts.status())
}

/// Reads the organizations and sets the gauges of the status, forever.
pub(super) async fn keep(parts: Arc<ApiState>) {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut degradations = DegradationLog::default();
    loop {
        tick.tick().await;
        let report = timeout(LIMIT, parts.organizations.report()).await.ok();
        let organizations = parts.board.read(report);
        if !organizations.is_empty() {
            parts.organization_history.add(&organizations, Instant::now());
            degradations.read(&organizations, Timestamp::now());
        }
        let status = parts.status();
        parts.journal.read(&status.reasons, &organizations, Timestamp::now());
        let verdict = status.verdict;
        parts.metrics.set_status(verdict, parts.board.unidentified_files(), organizations.iter().map(gauges));
    }
}

impl ApiState {
    /// Reads the organizations now, so that the verdict does not contradict them where both are shown. Returns them;
    /// `None` if that takes too long.
    pub async fn refresh(&self) -> Option<Vec<OrganizationView>> {
        let report = timeout(REFRESH, self.organizations.report()).await.ok()?;
        Some(self.board.read(Some(report)))
    }

    /// Returns the present status.
    pub fn status(&self) -> WorkerStatus {
        let mut unready = (self.unready)();
        if self.board.is_silent() {
            unready.push(SILENT.to_owned());
        }
        let health = self.metrics.vitals();
        let worker = WorkerReadiness {
            unready,
            is_processing: health.is_some_and(|health| health.reach == EventReach::Finished),
            broker_connected: self.metrics.counts().broker_connected,
            store_healthy: health.is_none_or(|health| health.store_healthy),
        };
        self.board.status(&worker, Timestamp::now())
    }
}

fn gauges(view: &OrganizationView) -> OrganizationGauges<'_> {
    OrganizationGauges {
        organization: &view.organization_id,
        state: view.state.as_str(),
        blocked_elsewhere: view.blocked_elsewhere,
        oldest_seconds: view.oldest_seconds,
    }
}
