//! `GET /api/v1/queues` and `GET /api/v1/version`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use handoffd_engine::ports::metrics::BrokerQueue;
use handoffd_engine::worker::EventStage;
use schemars::JsonSchema;
use serde::Serialize;

use super::route::{AnswerSpec, ApiRoute, DEFAULT_TIMEOUT, HttpVerb, schema};
use super::state::ApiState;
use crate::admin::history::{Rates, Sample};

pub(super) const ROUTES: [ApiRoute; 2] = [
    ApiRoute {
        verb: HttpVerb::Get,
        path: "/api/v1/queues",
        name: "listQueues",
        summary: "Shows the number of ready messages in each queue, and event rates.",
        parameters: &[],
        body: None,
        answers: &[AnswerSpec::new(200, "Queues, as read from the broker some seconds ago.", schema::<QueuesReport>)],
        problems: &[],
        within: DEFAULT_TIMEOUT,
        handler: |verb| on(verb, list),
    },
    ApiRoute {
        verb: HttpVerb::Get,
        path: "/api/v1/version",
        name: "version",
        summary: "Shows the program's name and version.",
        parameters: &[],
        body: None,
        answers: &[AnswerSpec::new(200, "Name and version.", schema::<Version>)],
        problems: &[],
        within: DEFAULT_TIMEOUT,
        handler: |verb| on(verb, async || Json(version())),
    },
];

/// Backlog and throughput.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct QueuesReport {
    /// True while the broker is connected; otherwise the depths are unknown.
    pub broker_connected: bool,
    /// The inbox, the retry queues and the dead-letter queue.
    pub queues: Vec<QueueReport>,
    /// Events that this worker holds, those on hold included.
    pub in_flight: i64,
    /// Events on hold at this worker, begun and waiting until Dynamics accepts requests of their organizations again.
    pub on_hold: u64,
    /// Event rates.
    pub rates: Rates,
}

/// Queue and its depth.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct QueueReport {
    /// Name.
    pub queue: String,
    /// Number of ready messages, without those in progress; null if it is unknown.
    pub messages: Option<u64>,
}

/// Name and version of the program.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Version {
    /// Name: `handoffd`.
    pub name: &'static str,
    /// Version.
    pub version: &'static str,
}

async fn list(State(parts): State<Arc<ApiState>>) -> Json<QueuesReport> {
    Json(queues(&parts))
}

/// Returns the response of `GET /api/v1/queues`.
pub fn queues(parts: &ApiState) -> QueuesReport {
    let counts = parts.metrics.counts();
    let report = |(queue, messages)| match queue {
        BrokerQueue::Inbox(queue) | BrokerQueue::Retry(queue) | BrokerQueue::DeadLetters(queue) => {
            Some(QueueReport { queue, messages })
        }
        // In the entry of its organization.
        BrokerQueue::Organization(_) => None,
    };
    QueuesReport {
        broker_connected: counts.broker_connected,
        queues: parts.metrics.queue_depths().into_iter().filter_map(report).collect(),
        in_flight: counts.in_flight,
        on_hold: parts.on_hold(),
        rates: parts.history.rates(&Sample::of(&parts.metrics)),
    }
}

impl ApiState {
    /// Returns the number of events that this worker has begun and holds until Dynamics accepts requests again.
    pub fn on_hold(&self) -> u64 {
        self.tracker.count(|tracked| matches!(tracked.stage, EventStage::OnHold(_)))
    }
}

/// Returns the response of `GET /api/v1/version`.
pub fn version() -> Version {
    Version { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") }
}
