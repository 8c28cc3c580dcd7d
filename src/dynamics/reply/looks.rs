//! Interpretation of reads: contacts with an email, a case that may have been closed.

use handoffd_engine::event::{ContactId, IncidentId};
use handoffd_engine::workflow::Receipt;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use uuid::Uuid;

use super::meaning::ReplyMeaning;
use crate::dynamics::answer::Answer;
use crate::dynamics::request::read_survivor;

/// Difference from which on clocks count as different, as `Date` has whole seconds.
const SAME_CLOCK: SignedDuration = SignedDuration::from_secs(2);

pub(super) fn rows(body: &Value) -> Option<&Vec<Value>> {
    body.get("value")?.as_array()
}

/// Selects the first active contact. If all are deactivated, reads those that they were merged into, one of which may be
/// active.
pub(super) fn looked_up(body: &Value) -> Option<ReplyMeaning> {
    let rows = rows(body)?;
    if let Some(row) = rows.iter().find(|row| is_active(row)) {
        return Some(ReplyMeaning::Receipt(Receipt::ContactFound(ContactId(guid(row, "contactid")?))));
    }
    Some(survivor(body, 0))
}

/// Reads the contact that one of the found ones was merged into; of several the one with this number. After the last, the
/// customer has no contact.
pub(super) fn survivor(found: &Value, number: usize) -> ReplyMeaning {
    let mut survivors: Vec<Uuid> = Vec::new();
    for id in rows(found).into_iter().flatten().filter_map(|row| guid(row, "_masterid_value")) {
        if !survivors.contains(&id) {
            survivors.push(id);
        }
    }
    match survivors.get(number) {
        Some(id) => ReplyMeaning::LookBack(read_survivor(ContactId(*id))),
        None => ReplyMeaning::Receipt(Receipt::ContactAbsent),
    }
}

/// Returns the key in a column of a row.
pub(super) fn guid(row: &Value, field: &str) -> Option<Uuid> {
    row.get(field)?.as_str()?.parse().ok()
}

/// Returns true for an active row, or for one without a state.
pub(super) fn is_active(row: &Value) -> bool {
    row.get("statecode").is_none_or(|state| state.is_null() || state == 0)
}

/// Interprets the read of a case that may have been closed since `since`. Its version is in the row, else in the header
/// `ETag`.
pub(super) fn seen(body: &Value, etag: Option<&str>, incident: IncidentId, since: Timestamp) -> Option<Receipt> {
    // A number that is written with decimals is whole all the same; anything else is no state.
    let state = body.get("statecode")?.as_f64()?;
    if state != 0.0 {
        return Some(Receipt::IncidentClosed(incident));
    }
    let modified: Option<Timestamp> = body.get("modifiedon").and_then(|time| time.as_str()?.parse().ok());
    if modified.is_some_and(|modified| modified > since) {
        return Some(Receipt::IncidentTouched(incident));
    }
    let etag = body.get("@odata.etag").and_then(Value::as_str).or(etag)?;
    Some(Receipt::IncidentUnchanged { etag: etag.to_owned(), since })
}

/// Converts a time of the worker's clock to Dynamics' clock, which answers carry in whole seconds.
pub(super) fn in_their_clock(time: Timestamp, answer: &Answer, now: Timestamp) -> Timestamp {
    let ahead = answer.sent_at().map(|date| date.duration_since(now)).filter(|ahead| ahead.abs() >= SAME_CLOCK);
    ahead.and_then(|ahead| time.checked_add(ahead).ok()).unwrap_or(time)
}
