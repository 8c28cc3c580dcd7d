//! What happened? One table from an answer's status, code and text to a remedy, with advice for a person.
//! When to try again is the machine's business.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;

use super::answer::{Answer, ErrorBody};
use crate::machine::{Remedy, StepName};

/// How long a 429 without a usable `Retry-After` asks us to wait: Microsoft's clients wait about this long.
const THROTTLED_UNSAID: Duration = Duration::from_secs(5);
/// The longest wait taken from `Retry-After`: Dataverse's own windows are 300 s; more is a lie or a mistake.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Service protection limits: requests, execution time, concurrency.
const THROTTLED: &[&str] = &["0x80072322", "0x80072321", "0x80072326"];
/// Time-outs and locks of the SQL behind Dataverse.
const TRANSIENT: &[&str] = &["0x80044150", "0x80044151", "0x80073000", "0x80072031"];
/// The application user: a privilege is missing, no role at all, not a member of the organization.
const NOT_ALLOWED: &[&str] = &["0x80040220", "0x80042f09", "0x80072560"];
/// The environment is disabled.
const DISABLED: &str = "0x8004a104";
/// There is no such table.
const NO_TABLE: &[&str] = &["0x8006088a", "0x80060888"];
/// A duplicate detection rule refused it; can come as a 500, and never goes away by itself.
const DUPLICATE_RULE: &str = "0x80040333";

/// What an answer means, and what a person can do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Verdict {
    /// What to do about it.
    pub(super) remedy: Remedy,
    /// In plain words; empty when there is nothing to do but wait.
    pub(super) advice: String,
}

/// Classifies an answer that is no success. A second 401 in a row comes here too; the first never does.
pub(super) fn classify(step: StepName, answer: &Answer, error: &ErrorBody, now: Timestamp) -> Verdict {
    let code = error.code.as_str();
    if let Some(wait) = throttled(answer, code, now) {
        return verdict(Remedy::NotBefore(now.saturating_add(wait).unwrap_or(now)), "");
    }
    if let Some(advice) = setup(step, answer.status, code, error) {
        return Verdict { remedy: Remedy::Hold, advice };
    }
    if TRANSIENT.contains(&code) || is_plugin_time_out(code, error) {
        return verdict(Remedy::Retry, "");
    }
    if code == DUPLICATE_RULE {
        return verdict(
            Remedy::GiveUp,
            "A duplicate detection rule of the environment refuses the record: exempt the application user, or unpublish the rule.",
        );
    }
    match answer.status {
        400 | 404 | 405 | 413 | 422 => Verdict { remedy: Remedy::GiveUp, advice: permanent(step, answer.status, code) },
        403 => verdict(Remedy::Retry, "Look at the environment's IP firewall and at proxies in between."),
        _ => verdict(Remedy::Retry, ""),
    }
}

/// Whether a create was refused because a record with its key is there already.
pub(super) fn is_duplicate_key(answer: &Answer, error: &ErrorBody) -> bool {
    if error.code == DUPLICATE_RULE {
        return false;
    }
    let exists = error.says("already exist") && (error.says("record") || error.says("key"));
    answer.status == 412 || error.code == "0x80040237" || exists || error.says("duplicate key")
}

/// Whether what is missing is a whole table, not a row of one.
pub(super) fn is_missing_table(error: &ErrorBody) -> bool {
    NO_TABLE.contains(&error.code.as_str()) || error.says("resource not found for the segment")
}

/// How long an answer asks to wait, when it does: Dynamics' or the token service's.
pub(super) fn throttled(answer: &Answer, code: &str, now: Timestamp) -> Option<Duration> {
    let said = answer.retry_after.as_deref().and_then(|text| wait(text, now));
    let throttled = answer.status == 429 || THROTTLED.contains(&code) || (answer.status == 503 && said.is_some());
    throttled.then(|| said.unwrap_or(THROTTLED_UNSAID).min(LONGEST_WAIT))
}

/// `Retry-After` in seconds, or as an HTTP date.
fn wait(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse::<f64>() {
        return Duration::try_from_secs_f64(seconds.max(0.0)).ok();
    }
    let date = rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
    Some(Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO))
}

/// The organization's setup is wrong, whatever the event: contract 5's blocked organizations.
fn setup(step: StepName, status: u16, code: &str, error: &ErrorBody) -> Option<String> {
    if NOT_ALLOWED.contains(&code) || (status == 403 && (error.says("privilege") || error.says("role"))) {
        return Some(not_allowed(error));
    }
    if code == DISABLED {
        return Some("The environment is disabled: enable it in the Power Platform admin center.".to_owned());
    }
    if status == 401 {
        return Some(
            "Dynamics does not know the application: Power Platform admin center → environment → Settings → Application \
             users → New app user, with this organization's client_id."
                .to_owned(),
        );
    }
    if status == 404 && is_missing_table(error) {
        return Some(missing_table(step));
    }
    let nobody_home = status == 404 && code.is_empty() && error.message.is_empty();
    nobody_home.then(|| {
        "Nothing answers there as Dynamics does: check environment_url, and that the environment still exists."
            .to_owned()
    })
}

fn missing_table(step: StepName) -> String {
    match step {
        StepName::PostLiveWorkItem => {
            "The environment has no such table for live work items: install Omnichannel, or set \
             dynamics.live_work_item_entity_set to the name of its entity set."
        }
        _ => "The environment has no such table: install Dynamics 365 Customer Service in it, or correct environment_url.",
    }
    .to_owned()
}

/// "… is missing prvCreateIncident privilege …" becomes "Create on incident".
fn not_allowed(error: &ErrorBody) -> String {
    const WHERE: &str =
        "Power Platform admin center → environment → Settings → Users + permissions → Application users → Manage roles";
    let named = error.message.split(|c: char| !c.is_ascii_alphanumeric()).find_map(|word| {
        let rest = word.strip_prefix("prv")?;
        let at = rest.char_indices().skip(1).find(|(_, c)| c.is_ascii_uppercase())?.0;
        let (verb, table) =
            if let Some(table) = rest.strip_prefix("AppendTo") { ("AppendTo", table) } else { rest.split_at(at) };
        Some(format!("{verb} on {table}"))
    });
    match named {
        Some(privilege) => format!("The application user lacks {privilege}: {WHERE}."),
        None => format!("The application user has no security role that allows this: {WHERE}."),
    }
}

fn is_plugin_time_out(code: &str, error: &ErrorBody) -> bool {
    code == "0x80040265" && (error.says("time-out") || error.says("timeout") || error.says("timed out"))
}

fn permanent(step: StepName, status: u16, code: &str) -> String {
    match (code, status) {
        ("0x80048d19" | "0x0", 400) => {
            "Dynamics does not know a property of the record: correct ticket_properties, queue_field or the owner in the \
             organization's file, then replay."
        }
        ("0x80044331", _) => "A value is too long: lower description_limit or correct ticket_properties, then replay.",
        ("0x8004431a", _) => {
            "A choice is not one of the column's: correct default_priority or ticket_properties, then replay."
        }
        ("0x80040265", _) => "A plug-in of the environment refused it: see its trace log, then replay.",
        ("0x80044410", _) => "The environment wants another customer: correct fallback_customer, then replay.",
        (_, 404) if step == StepName::AssignQueue => "The queue is not there: correct default_queue_id, then replay.",
        (_, 404) => {
            "A row that the record names is not there: correct default_owner_id, default_queue_id, fallback_customer or \
             ticket_properties, then replay."
        }
        (_, 413) => "The record is too large for Dynamics: see what the transcript holds, then replay a shorter one.",
        _ => "Dynamics refuses this record: correct the organization's file or the event as its message says, then replay.",
    }
    .to_owned()
}

fn verdict(remedy: Remedy, advice: &str) -> Verdict {
    Verdict { remedy, advice: advice.to_owned() }
}

#[cfg(test)]
mod tests;
