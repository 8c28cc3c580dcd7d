//! Query parameters for lists of outcomes.

use handoffd_engine::event::{IncidentId, WorkItemId};
use handoffd_engine::ports::store::{Cursor, OutcomeFilter};
use handoffd_engine::workflow::Status;

use super::page_cursor::TimeLimits;
use super::parameter::{Parameter, ParameterType, count, expected, guid, in_query, read};
use super::problem::Problem;

/// Default number of outcomes on a page.
const DEFAULT_LIMIT: usize = 50;
/// Highest number of outcomes on a page.
const MAX_LIMIT: usize = 500;

/// Parameters of the query.
pub(super) const PARAMETERS: &[Parameter] = &[
    in_query("session", ParameterType::Text, "Filter by session."),
    in_query("event_id", ParameterType::Text, "Filter by event."),
    in_query("incident_id", ParameterType::Guid, "Filter by the incident that the event created or closed."),
    in_query("ticket_number", ParameterType::Text, "Filter by the incident's ticket number."),
    in_query("chat_id", ParameterType::Guid, "Filter by the live work item that the event created."),
    in_query("status", ParameterType::Word(&["succeeded", "skipped", "failed"]), "Filter by status."),
    in_query("organization", ParameterType::Text, "Filter by organization."),
    in_query("after", ParameterType::Time, "Only events finished at or after this time."),
    in_query("before", ParameterType::Time, "Only events finished before this time."),
    in_query("limit", ParameterType::Count(MAX_LIMIT), "Maximum number of outcomes; default 50."),
    in_query("cursor", ParameterType::Text, "Position to continue from: `next` of the previous page."),
];

/// Query of a list of outcomes.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct OutcomeQuery {
    /// Filter.
    pub filter: OutcomeFilter,
    /// Position to continue from.
    pub cursor: Option<Cursor>,
    /// Maximum number of outcomes.
    pub limit: usize,
    /// Limits in time, which the next page keeps.
    pub times: TimeLimits,
}

impl OutcomeQuery {
    /// Parses a query string.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let (filter, times) = (OutcomeFilter::default(), TimeLimits::default());
        let mut query = Self { filter, cursor: None, limit: DEFAULT_LIMIT, times };
        let mut cursor = None;
        for (name, value) in read(text, PARAMETERS)? {
            match name {
                "cursor" => cursor = Some(value),
                _ => query.set(name, value)?,
            }
        }
        query.cursor = cursor.map(|cursor| query.times.resume(&cursor)).transpose()?;
        (query.filter.after, query.filter.before) = (query.times.after(), query.times.before());
        Ok(query)
    }

    /// Returns the query without the white space around its ids, if there is any.
    pub(super) fn trimmed(&self) -> Option<Self> {
        let mut query = self.clone();
        let filter = &mut query.filter;
        filter.session = filter.session.take().map(|id| id.as_str().trim().into());
        filter.organization = filter.organization.take().map(|id| id.as_str().trim().into());
        for id in [&mut filter.event_id, &mut filter.ticket_number] {
            *id = id.take().map(|id| id.trim().to_owned());
        }
        (query != *self).then_some(query)
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), Problem> {
        let filter = &mut self.filter;
        match name {
            "session" => filter.session = Some(value.into()),
            "event_id" => filter.event_id = Some(value),
            "incident_id" => filter.incident = Some(IncidentId(guid(name, &value)?)),
            "ticket_number" => filter.ticket_number = Some(value),
            "chat_id" => filter.work_item = Some(WorkItemId(guid(name, &value)?)),
            "status" => filter.status = Some(status(&value)?),
            "organization" => filter.organization = Some(value.into()),
            "after" | "before" => self.times.set(name, &value)?,
            _ => self.limit = count(name, &value, MAX_LIMIT)?,
        }
        Ok(())
    }
}

fn status(value: &str) -> Result<Status, Problem> {
    let all = [Status::Succeeded, Status::Skipped, Status::Failed];
    let found = all.into_iter().find(|status| status.as_str() == value);
    found.ok_or_else(|| expected("status", value, "succeeded, skipped or failed"))
}
