//! Verdict on the worker, with its reasons.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

/// Verdict on the worker and its organizations.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkerVerdict {
    /// Events of all organizations are processed.
    Working,
    /// Something needs attention; events of others are processed.
    Degraded,
    /// No event is processed.
    NotWorking,
}

/// Verdict with its reasons.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct WorkerStatus {
    /// Verdict.
    pub verdict: WorkerVerdict,
    /// Time from which the verdict holds.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// Reasons; empty if everything works.
    pub reasons: Vec<StatusReason>,
}

/// Reason of a verdict.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct StatusReason {
    /// Organization in trouble; null if the reason concerns the worker.
    pub organization_id: Option<String>,
    /// Cause.
    pub cause: String,
    /// Recommended action.
    pub advice: String,
    /// Time from which the cause exists.
    #[schemars(with = "String")]
    pub since: Timestamp,
}

/// Readiness of the worker: broker, consumer, store and destinations.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WorkerReadiness {
    /// Reasons for which the worker is not ready; empty if it is.
    pub unready: Vec<String>,
    /// True while events are processed and their outcomes announced, whatever else is out of order.
    pub is_processing: bool,
    /// True while the broker is connected.
    pub broker_connected: bool,
    /// True while the store can be written to.
    pub store_healthy: bool,
}

impl StatusReason {
    /// Creates the reason that an exchange or queue of all organizations refuses messages.
    pub fn refusing_destination(name: &str, since: Timestamp) -> Self {
        Self {
            organization_id: None,
            cause: format!("the broker refuses messages for `{name}`; their events are retried"),
            advice:
                "Check that the queue, or each queue bound to the exchange, has a leader and room (a length limit, a \
                     policy). No events are lost, and none is done again; they wait in retry queues."
                    .to_owned(),
            since,
        }
    }
}

impl WorkerVerdict {
    /// All verdicts.
    pub const ALL: [Self; 3] = [Self::Working, Self::Degraded, Self::NotWorking];

    /// Returns the name in the API and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::Degraded => "degraded",
            Self::NotWorking => "not_working",
        }
    }

    /// Returns the verdict in words, for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Working => "Running normally",
            Self::Degraded => "Degraded",
            Self::NotWorking => "Not processing events",
        }
    }
}

impl WorkerReadiness {
    /// Returns the verdict, given the troubles of organizations and faults of files.
    pub(super) fn verdict(&self, others: &[StatusReason]) -> WorkerVerdict {
        match (self.unready.is_empty(), others.is_empty()) {
            (true, true) => WorkerVerdict::Working,
            (true, false) => WorkerVerdict::Degraded,
            (false, _) if self.is_processing => WorkerVerdict::Degraded,
            (false, _) => WorkerVerdict::NotWorking,
        }
    }

    /// Returns the reasons for which the worker is not ready.
    pub(super) fn reasons(&self, since: Timestamp) -> impl Iterator<Item = StatusReason> {
        self.unready.iter().map(move |cause| StatusReason {
            organization_id: None,
            cause: cause.clone(),
            advice: self.advice(cause).to_owned(),
            since,
        })
    }

    fn advice(&self, cause: &str) -> &'static str {
        if cause.starts_with("the worker is stopping") {
            "Wait until it has stopped; another start continues. Its events wait in the broker."
        } else if cause.starts_with("the store") || !self.store_healthy {
            "Check the store's disk (room, read-only) or PostgreSQL; the worker resumes by itself. No events are lost; they \
             wait in the broker. See HandoffdStoreFailing in docs/OPERATIONS.md."
        } else if !self.broker_connected {
            "Check that RabbitMQ runs and accepts broker.url; the worker reconnects by itself. No events are lost; they wait \
             in the broker. See HandoffdBrokerAway in docs/OPERATIONS.md."
        } else {
            "Fix what the cause names; the worker resumes by itself. No events are lost; they wait in the broker. See \
             HandoffdNotConsuming in docs/OPERATIONS.md."
        }
    }
}
