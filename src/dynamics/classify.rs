//! What happened? One table ([`table::ROWS`]) from operation, status, code, text and headers to a remedy, with advice for
//! a person. When to try again is the machine's business.

mod privilege;
mod table;

use std::time::Duration;

use handoffd_engine::workflow::{Remedy, StepName, between};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use uuid::Uuid;

use super::answer::{Answer, ErrorBody};
use table::{Advice, Means, ROWS};

pub(super) use privilege::lacking;

/// How long a 429 without a usable `Retry-After` asks us to wait: Microsoft's clients wait about this long.
const THROTTLED_UNSAID: Duration = Duration::from_secs(5);
/// The longest wait taken from `Retry-After`: Dataverse's own windows are 300 s; more is a lie or a mistake.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// A duplicate detection rule refused it; can come as a 500, and never goes away by itself.
const DUPLICATE_RULE: &str = "0x80040333";
/// There is no such table.
const NO_TABLE: &[&str] = &["0x8006088a", "0x80060888"];
/// What a missing table is called where the code does not tell.
const NO_SEGMENT: &str = "resource not found for the segment";

/// What to do where live work items have no table.
pub(super) const NO_CHATS: &str = table::NO_CHATS;

/// What an answer means, and what a person can do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Verdict {
    /// What to do about it.
    pub(super) remedy: Remedy,
    /// In plain words; empty when there is nothing to do but wait.
    pub(super) advice: String,
}

/// An answer that is no success, as the table sees it.
struct Seen<'a> {
    step: StepName,
    status: u16,
    /// Dynamics' `error.code` or Entra ID's `error`, lower-cased.
    code: &'a str,
    /// Its words, lower-cased.
    text: &'a str,
    /// What `Retry-After` asks, when it can be read.
    wait: Option<Duration>,
}

/// Classifies an answer that is no success. A second 401 in a row comes here too; the first never does.
///
/// Entra ID's refusal of a token comes with its `error` as the code and its `error_description` as the message.
/// `owner` is the organization's `default_owner_id`, where a record names it: Dynamics checks its privileges too.
pub(super) fn classify(
    step: StepName,
    owner: Option<Uuid>,
    answer: &Answer,
    error: &ErrorBody,
    now: Timestamp,
) -> Verdict {
    let text = error.message.to_lowercase();
    let wait = answer.retry_after.as_deref().and_then(|text| wait(text, now));
    let seen = Seen { step, status: answer.status, code: &error.code, text: &text, wait };
    // The last row fits everything.
    let row = ROWS.iter().find(|row| row.fits(&seen));
    let (means, advice) = row.map_or((Means::Retry, Advice::None), |row| (row.means, row.advice));
    let remedy = match means {
        Means::Wait => {
            let wait = wait.unwrap_or(THROTTLED_UNSAID).min(LONGEST_WAIT);
            Remedy::NotBefore(now.saturating_add(wait).unwrap_or(now))
        }
        Means::Hold => Remedy::Hold,
        Means::Retry => Remedy::Retry,
        Means::GiveUp => Remedy::GiveUp,
    };
    let advice = match advice {
        Advice::None => String::new(),
        Advice::Words(words) => words.to_owned(),
        Advice::Privilege => privilege::advice(&error.message, owner),
        Advice::Role => privilege::no_role(&error.message, owner),
    };
    Verdict { remedy, advice }
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
    NO_TABLE.contains(&error.code.as_str()) || error.says(NO_SEGMENT)
}

/// `Retry-After` in seconds, or as an HTTP date.
fn wait(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse::<f64>() {
        return Duration::try_from_secs_f64(seconds.max(0.0)).ok();
    }
    let date = rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
    Some(between(now, date))
}

#[cfg(test)]
mod tests;
