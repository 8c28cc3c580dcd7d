//! `GET /api/v1/queues` and `GET /api/v1/version`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use schemars::JsonSchema;
use serde::Serialize;

use super::Parts;
use super::route::{Answer, MOMENT, Route, Verb, schema};
use crate::telemetry::metrics::Ends;

pub(super) const ROUTES: [Route; 2] = [
    Route {
        verb: Verb::Get,
        path: "/api/v1/queues",
        name: "listQueues",
        summary: "How many messages are ready in each queue, and how fast events end.",
        parameters: &[],
        body: None,
        answers: &[Answer::new(200, "The queues, as the broker told some seconds ago.", schema::<Queues>)],
        problems: &[],
        within: MOMENT,
        handler: |verb| on(verb, list),
    },
    Route {
        verb: Verb::Get,
        path: "/api/v1/version",
        name: "version",
        summary: "What runs.",
        parameters: &[],
        body: None,
        answers: &[Answer::new(200, "Its name and version.", schema::<Version>)],
        problems: &[],
        within: MOMENT,
        handler: |verb| on(verb, async || Json(version())),
    },
];

/// How much there is to do, and how fast it is done.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct Queues {
    /// Whether the broker is there; if not, the numbers are those of before.
    pub broker_connected: bool,
    /// The inbox, the retry queues and the dead-letter queue.
    pub queues: Vec<Queue>,
    /// Events that this worker has in hand.
    pub in_flight: i64,
    /// How fast events end.
    pub rates: Rates,
}

/// One queue.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct Queue {
    /// Its name.
    pub queue: String,
    /// Messages ready in it; those in hand are not.
    pub messages: u64,
}

/// How fast events end at this worker, by its own counting.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct Rates {
    /// The time that was looked at; less than a minute after a start.
    pub over_seconds: f64,
    /// Events a second, by how they ended: for good, or (`retried`) for now.
    pub per_second: Ends<f64>,
}

/// What runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Version {
    /// `handoffd`
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
}

async fn list(State(parts): State<Arc<Parts>>) -> Json<Queues> {
    Json(queues(&parts))
}

/// What `GET /api/v1/queues` answers.
pub fn queues(parts: &Parts) -> Queues {
    let counts = parts.metrics.counts();
    let mut queues: Vec<_> = counts.queues.into_iter().map(|(queue, messages)| Queue { queue, messages }).collect();
    queues.sort_by(|one, other| one.queue.cmp(&other.queue));
    Queues {
        broker_connected: counts.broker_connected,
        queues,
        in_flight: counts.in_flight,
        rates: parts.recent.rates(counts.ends),
    }
}

/// What `GET /api/v1/version` answers.
pub fn version() -> Version {
    Version { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") }
}
