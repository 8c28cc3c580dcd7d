//! History of an event as operators see it: its whole life in one list, requests and milestones by time.

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::life::{LeftOut, Milestone, MilestoneKind};
use super::outcome::{Outcome, Reason, Status};
use super::record::{HistoryEntry, Record};

/// Entry of a history. Every entry has a time and a step; the rest depends on the step.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct HistoryItem {
    /// Time of the entry; of a request the time at which its answer arrived.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// Step: that of a request, or `received`, `moved` (to the organization's queue), `waiting` (in a retry queue),
    /// `dead`, `replayed`, `discarded`, `succeeded`, `skipped`, `left_out` (entries that were not kept).
    pub step: String,
    /// Number of the attempt, of a request. A replay begins anew at 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Time at which the request was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub started_at: Option<Timestamp>,
    /// Duration of the request in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u64>,
    /// HTTP status of the answer; absent if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Error code from Dynamics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Error in one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// `x-ms-service-request-id`, which Microsoft's support asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Reason of a wait, a death or a skip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// End of a wait in a retry queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub next_attempt: Option<Timestamp>,
    /// Operator who replayed or discarded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Number of entries that were not kept, of `left_out`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
}

/// Returns the whole life of an event, oldest entry first.
pub fn history(record: &Record) -> Vec<HistoryItem> {
    let life = &record.life;
    let mut items: Vec<HistoryItem> = Vec::with_capacity(life.milestones.len() + record.history.len() + 3);
    if life.last(MilestoneKind::Received).is_none() && life.last(MilestoneKind::Replayed).is_none() {
        items.push(HistoryItem::bare(record.first_seen, "received"));
    }
    items.extend(life.milestones.iter().map(HistoryItem::of_milestone));
    items.extend(life.left_out.map(HistoryItem::of_left_out));
    items.extend(record.history.iter().map(HistoryItem::of_request));
    items.extend(record.outcome().map(HistoryItem::of_outcome));
    items.sort_by_key(|item| (item.at.as_millisecond(), rank(&item.step)));
    items
}

/// Returns the order of entries of the same millisecond, which is the precision of the worker's own times.
fn rank(step: &str) -> u8 {
    match step {
        "replayed" => 0,
        "received" => 1,
        "moved" => 2,
        "waiting" | "dead" | "succeeded" | "skipped" => 4,
        "discarded" => 5,
        _ => 3,
    }
}

impl HistoryItem {
    /// Creates an entry with a time and a step only.
    pub fn bare(at: Timestamp, step: &str) -> Self {
        Self {
            at,
            step: step.to_owned(),
            attempt: None,
            started_at: None,
            elapsed_ms: None,
            status: None,
            code: None,
            error: None,
            request_id: None,
            reason: None,
            next_attempt: None,
            by: None,
            count: None,
        }
    }

    fn of_request(request: &HistoryEntry) -> Self {
        Self {
            attempt: Some(request.attempt),
            started_at: request.at.saturating_sub(Duration::from_millis(request.elapsed_ms)).ok(),
            elapsed_ms: Some(request.elapsed_ms),
            status: request.status,
            code: request.code.clone(),
            error: request.error.clone(),
            request_id: request.request_id.clone(),
            ..Self::bare(request.at, request.step.as_str())
        }
    }

    fn of_milestone(milestone: &Milestone) -> Self {
        let Milestone { at, what, by, reason, error, until } = milestone.clone();
        Self { reason, error, next_attempt: until, by, ..Self::bare(at, what.as_str()) }
    }

    fn of_left_out(left_out: LeftOut) -> Self {
        Self { count: Some(left_out.count), ..Self::bare(left_out.until, "left_out") }
    }

    fn of_outcome(outcome: &Outcome) -> Self {
        let step = match outcome.status {
            Status::Succeeded => "succeeded",
            Status::Skipped => "skipped",
            Status::Failed => "dead",
        };
        let reason = outcome.reason.map(Reason::as_str).map(str::to_owned);
        let error = outcome.error.as_ref().map(|error| error.message.clone());
        Self { error, reason, ..Self::bare(outcome.finished_at, step) }
    }
}

impl MilestoneKind {
    /// Returns the step of its entry in a history.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Moved => "moved",
            Self::Waiting => "waiting",
            Self::Dead => "dead",
            Self::Replayed => "replayed",
            Self::Discarded => "discarded",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Kind;
    use crate::workflow::samples::{self, at};
    use crate::workflow::{Life, Phase, StepName};

    fn request(time: &str, elapsed_ms: u64) -> HistoryEntry {
        HistoryEntry {
            at: at(time),
            attempt: 1,
            step: StepName::PostIncident,
            elapsed_ms,
            status: Some(201),
            code: None,
            error: None,
            request_id: None,
        }
    }

    #[test]
    fn entries_of_one_millisecond_are_in_the_order_in_which_they_happen() {
        let outcome = Outcome::bare(Kind::Handoff, Status::Succeeded, 1, at("2026-11-22T10:15:00.005Z"));
        let milestones = [MilestoneKind::Received, MilestoneKind::Moved];
        let record = Record {
            first_seen: at("2026-11-22T10:15:00.001Z"),
            settled: true,
            history: vec![request("2026-11-22T10:15:00.005900Z", 4)],
            life: Life {
                milestones: milestones.map(|what| Milestone::bare(at("2026-11-22T10:15:00.001Z"), what)).into(),
                left_out: Some(LeftOut { count: 3, until: at("2026-11-22T10:15:00.002Z") }),
            },
            ..samples::record(Phase::Finished(outcome))
        };
        let items = history(&record);
        let steps: Vec<&str> = items.iter().map(|item| item.step.as_str()).collect();
        assert_eq!(steps, ["received", "moved", "left_out", "post_incident", "succeeded"]);
        assert_eq!(items[3].started_at, Some(at("2026-11-22T10:15:00.001900Z")));
        assert_eq!(items[2].count, Some(3));
        let before = history(&Record { life: Life::default(), ..record });
        assert_eq!((before[0].step.as_str(), before[0].at), ("received", at("2026-11-22T10:15:00.001Z")));
    }
}
