//! The parameters of a list of outcomes.

use handoffd_engine::event::{IncidentId, WorkItemId};
use handoffd_engine::ports::store::{Cursor, Filter};
use handoffd_engine::workflow::Status;

use super::parameter::{Kind, Parameter, count, expected, guid, in_query, read, time};
use super::problem::Problem;

/// Outcomes on a page when nobody says how many.
const DEFAULT_LIMIT: usize = 50;
/// Most outcomes on a page.
const MAX_LIMIT: usize = 500;

/// What can be asked for.
pub(super) const PARAMETERS: &[Parameter] = &[
    in_query("session", Kind::Text, "Of this conversation."),
    in_query("event_id", Kind::Text, "Of this event."),
    in_query("incident_id", Kind::Guid, "Of the incident that it made or closed."),
    in_query("ticket_number", Kind::Text, "Of the incident with this number."),
    in_query("chat_id", Kind::Guid, "Of the live work item that it made."),
    in_query("status", Kind::Word(&["succeeded", "skipped", "failed"]), "That ended so."),
    in_query("organization", Kind::Text, "Of this organization."),
    in_query("after", Kind::Time, "That ended at this time or later."),
    in_query("before", Kind::Time, "That ended before this time."),
    in_query("limit", Kind::Count(MAX_LIMIT), "So many at most; 50 unless told."),
    in_query("cursor", Kind::Text, "From where the page before ended: its `next`."),
];

/// Which outcomes, from where on, how many.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Query {
    /// Which.
    pub filter: Filter,
    /// Where the page before ended.
    pub cursor: Option<Cursor>,
    /// How many at most.
    pub limit: usize,
}

impl Query {
    /// Reads a query string.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let mut query = Self { filter: Filter::default(), cursor: None, limit: DEFAULT_LIMIT };
        for (name, value) in read(text, PARAMETERS)? {
            query.set(name, value)?;
        }
        Ok(query)
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
            "after" => filter.after = Some(time(name, &value)?),
            "before" => filter.before = Some(time(name, &value)?),
            "limit" => self.limit = count(name, &value, MAX_LIMIT)?,
            _ => self.cursor = Some(Cursor(value)),
        }
        Ok(())
    }
}

fn status(value: &str) -> Result<Status, Problem> {
    let all = [Status::Succeeded, Status::Skipped, Status::Failed];
    let found = all.into_iter().find(|status| status.as_str() == value);
    found.ok_or_else(|| expected("status", value, "succeeded, skipped or failed"))
}
