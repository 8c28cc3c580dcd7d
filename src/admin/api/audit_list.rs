//! `/api/v1/audit`: actions of operators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::routing::on;
use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::json_object::JsonObject;
use super::problem::Problem;
use super::requester::audit;
use super::route::{AnswerSpec, ApiRoute, DEFAULT_TIMEOUT, HttpVerb, schema};
use super::state::ApiState;
use crate::admin::audit::{AuditAction, AuditEntry};

/// Highest count of a reported action.
const MOST: f64 = 1e9;

pub(super) const ROUTES: [ApiRoute; 2] = [
    ApiRoute {
        verb: HttpVerb::Get,
        path: "/api/v1/audit",
        name: "listAudit",
        summary: "Lists the last 1,000 actions of operators, newest first.",
        parameters: &[],
        body: None,
        answers: &[AnswerSpec::new(200, "Actions at every worker, also before a restart.", schema::<AuditList>)],
        problems: &[],
        within: DEFAULT_TIMEOUT,
        handler: |verb| on(verb, list),
    },
    ApiRoute {
        verb: HttpVerb::Post,
        path: "/api/v1/audit",
        name: "reportAction",
        summary: "Records an action that a command carried out without the worker.",
        parameters: &[],
        body: Some(schema::<ReportedAction>),
        answers: &[AnswerSpec::empty(204, "Recorded.")],
        problems: &[],
        within: DEFAULT_TIMEOUT,
        handler: |verb| on(verb, report),
    },
];

/// All known actions.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Audit")]
struct AuditList {
    /// Actions, newest first.
    entries: Vec<AuditEntry>,
}

/// Action of a command.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportedAction {
    /// Action.
    pub action: AuditAction,
    /// IDs of what was changed or shown.
    pub subject: String,
    /// Number of things changed or shown.
    #[serde(deserialize_with = "whole")]
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub count: u64,
}

/// Reads a whole number; JSON has one kind of numbers, so `3.0` is one too.
fn whole<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let number = f64::deserialize(from)?;
    let number = if number == 0.0 { 0.0 } else { number };
    let count = Some(number).filter(|number| *number <= MOST).and_then(|number| number.to_string().parse().ok());
    count.ok_or_else(|| D::Error::custom("count: expected a whole number up to 1000000000"))
}

async fn list(State(parts): State<Arc<ApiState>>) -> Result<Json<AuditList>, Problem> {
    let entries = parts.trail.list().await.map_err(|error| Problem::unavailable(error.to_string()))?;
    Ok(Json(AuditList { entries }))
}

async fn report(given: Result<Json<JsonObject<ReportedAction>>, JsonRejection>) -> Result<StatusCode, Problem> {
    let Json(JsonObject(ReportedAction { action, subject, count })) = given?;
    audit(action, subject, count);
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_a_whole_number_within_its_bounds() {
        let read = |count: &str| {
            let text = format!(r#"{{"action":"pause","subject":"","count":{count}}}"#);
            serde_json::from_str::<ReportedAction>(&text).ok().map(|action| action.count)
        };
        for (text, count) in
            [("0", Some(0)), ("-0.0", Some(0)), ("3", Some(3)), ("3.0", Some(3)), ("1e9", Some(1_000_000_000))]
        {
            assert_eq!(read(text), count, "{text}");
        }
        for wrong in ["-1", "1.5", "1000000001", "1e300", "null", "\"3\""] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
