//! `GET /api/v1/dead-letters/groups`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use handoffd_engine::dead_letters::DeadLetterGroup;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::DeadLetterSurvey;
use super::parameters::listed;
use crate::admin::api::{ApiState, Problem};

/// Dead letters by reason, organization and error.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLetterGroups")]
pub(super) struct GroupList {
    /// Groups, largest first; at most 1,000.
    groups: Vec<GroupView>,
    /// Number of all matching dead letters.
    total: u64,
    /// Number of those in groups that are not listed.
    beyond: u64,
    /// Time from which this is, if it is older than the request: many dead letters are not read for each.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    as_of: Option<Timestamp>,
    /// Number of dead letters that are not counted, because they are still being read or too many.
    unread: u64,
}

/// Dead letters of one reason, one organization and one error.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLetterGroup")]
struct GroupView {
    /// Handle, for `group` in a selection.
    group: String,
    /// Reason; null for a message of another application.
    reason: Option<String>,
    /// Organization; null if it could not be read.
    organization_id: Option<String>,
    /// Error, with `…` for what differs from event to event.
    error: Option<String>,
    /// Number of dead letters.
    count: u64,
    /// Time of the first one.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    first: Option<Timestamp>,
    /// Time of the most recent one.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    last: Option<Timestamp>,
}

pub(super) async fn groups(
    State(parts): State<Arc<ApiState>>,
    RawQuery(query): RawQuery,
) -> Result<Json<GroupList>, Problem> {
    let (selection, limit) = listed(query.as_deref().unwrap_or_default())?;
    let DeadLetterSurvey { found, age } = parts.letters.survey(&selection, 0, 0).await?;
    let mut groups: Vec<GroupView> = found.groups.into_iter().map(GroupView::from).collect();
    groups.truncate(limit.unwrap_or(usize::MAX));
    let unread = age.map_or(0, |age| age.total - age.read);
    Ok(Json(GroupList { groups, total: found.total, beyond: found.beyond, as_of: age.map(|age| age.at), unread }))
}

impl From<DeadLetterGroup> for GroupView {
    fn from(group: DeadLetterGroup) -> Self {
        let DeadLetterGroup { handle, reason, organization_id, error, count, first, last } = group;
        Self { group: handle, reason, organization_id, error, count, first, last }
    }
}
