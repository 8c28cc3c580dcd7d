//! The parameters of a list of outcomes.

use std::str::FromStr;

use jiff::Timestamp;
use url::form_urlencoded;
use uuid::Uuid;

use super::problem::Problem;
use crate::event::{IncidentId, WorkItemId};
use crate::machine::Status;
use crate::store::{Cursor, Filter};

/// Outcomes on a page when nobody says how many.
const DEFAULT_LIMIT: usize = 50;
/// Most outcomes on a page.
const MAX_LIMIT: usize = 500;

const NAMES: &str =
    "session, event_id, incident_id, ticket_number, chat_id, status, organization, after, before, limit, cursor";

/// Which outcomes, from where on, how many.
#[derive(Clone, PartialEq, Debug)]
pub struct Query {
    /// Which.
    pub filter: Filter,
    /// Where the page before ended.
    pub cursor: Option<Cursor>,
    /// How many at most.
    pub limit: usize,
}

impl Query {
    /// Reads a query string. A blank parameter is an absent one; an unknown one is a mistake, for it would
    /// silently list too much.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let mut query = Self { filter: Filter::default(), cursor: None, limit: DEFAULT_LIMIT };
        let mut seen = Vec::new();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            if seen.contains(&name) {
                return Err(Problem::bad_request(format!("{name}: expected once")));
            }
            if !value.trim().is_empty() {
                query.set(&name, value.trim())?;
            } else if !NAMES.split(", ").any(|known| known == name) {
                return Err(unknown(&name));
            }
            seen.push(name);
        }
        Ok(query)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Problem> {
        let filter = &mut self.filter;
        match name {
            "session" => filter.session = Some(value.into()),
            "event_id" => filter.event_id = Some(value.to_owned()),
            "incident_id" => filter.incident = Some(IncidentId(guid(name, value)?)),
            "ticket_number" => filter.ticket_number = Some(value.to_owned()),
            "chat_id" => filter.work_item = Some(WorkItemId(guid(name, value)?)),
            "status" => filter.status = Some(status(value)?),
            "organization" => filter.organization = Some(value.into()),
            "after" => filter.after = Some(time(name, value)?),
            "before" => filter.before = Some(time(name, value)?),
            "limit" => self.limit = limit(value)?,
            "cursor" => self.cursor = Some(Cursor(value.to_owned())),
            _ => return Err(unknown(name)),
        }
        Ok(())
    }
}

fn status(value: &str) -> Result<Status, Problem> {
    let all = [Status::Succeeded, Status::Skipped, Status::Failed];
    let found = all.into_iter().find(|status| status.as_str() == value);
    found.ok_or_else(|| expected("status", value, "succeeded, skipped or failed"))
}

fn guid(name: &str, value: &str) -> Result<Uuid, Problem> {
    Uuid::from_str(value).map_err(|_| expected(name, value, "a GUID"))
}

fn time(name: &str, value: &str) -> Result<Timestamp, Problem> {
    // A `+` that nobody percent-encoded arrives as a space.
    let value = value.replace(' ', "+");
    value.parse().map_err(|_| expected(name, &value, "an RFC 3339 time such as 2026-11-22T10:15:00Z"))
}

fn limit(value: &str) -> Result<usize, Problem> {
    let limit = value.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| expected("limit", value, &format!("a whole number from 1 to {MAX_LIMIT}")))
}

fn unknown(name: &str) -> Problem {
    Problem::bad_request(format!("{name:?} is no parameter: expected {NAMES}"))
}

fn expected(name: &str, value: &str, expected: &str) -> Problem {
    Problem::bad_request(format!("{name}: found {value:?}, expected {expected}"))
}
