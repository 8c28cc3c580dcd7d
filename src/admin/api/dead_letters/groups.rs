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
    groups: Vec<DeadLetterGroup>,
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

pub(super) async fn groups(
    State(parts): State<Arc<ApiState>>,
    RawQuery(query): RawQuery,
) -> Result<Json<GroupList>, Problem> {
    let (selection, limit) = listed(query.as_deref().unwrap_or_default())?;
    let DeadLetterSurvey { found, age } = parts.letters.survey(&selection, 0, 0).await?;
    let mut groups = found.groups;
    groups.truncate(limit.unwrap_or(usize::MAX));
    let unread = age.map_or(0, |age| age.total - age.read);
    Ok(Json(GroupList { groups, total: found.total, beyond: found.beyond, as_of: age.map(|age| age.at), unread }))
}
