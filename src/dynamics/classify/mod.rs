//! Classification of failed answers.
//!
//! One table ([`table::ROWS`]) maps operation, status, code, text and headers to a remedy, with advice for operators. The
//! workflow, not the table, decides the time of a retry.

mod assertions;
mod privilege;
mod refusal;
mod table;
mod words;

use std::time::Duration;

use handoffd_engine::workflow::{Remedy, StepName, elapsed};
use jiff::Timestamp;
use uuid::Uuid;

use super::answer::{Answer, ErrorBody, http_date};
use table::{Advice, Means, ROWS, SeenAnswer};

pub(super) use privilege::lacking;
pub(super) use refusal::{is_duplicate_key, is_missing_row};

/// Wait after a 429 without a usable `Retry-After`. Microsoft's own clients wait about this long.
const THROTTLED_UNSAID: Duration = Duration::from_secs(5);
/// Shortest wait while throttled. A `Retry-After` of zero or in the past would otherwise repeat the request without a pause.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
/// Longest wait accepted from `Retry-After`. Dataverse's own windows are 300 s, so one of days is an error.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);
/// Advice for an environment without a table for live work items.
pub(super) const NO_CHATS: &str = words::NO_CHATS;

/// Classification of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Classified {
    /// Reaction of the workflow.
    pub(super) remedy: Remedy,
    /// Advice for operators. Empty if no action is needed.
    pub(super) advice: String,
}

/// Classifies a failed answer. Callers handle the first 401 themselves by renewing the token and pass only the second one.
///
/// For Entra ID, `error` is the code and `error_description` the message.
/// `owner` is the organization's `default_owner_id`, where a record names it: Dynamics checks the owner's privileges too.
pub(super) fn classify(
    step: StepName,
    owner: Option<Uuid>,
    answer: &Answer,
    error: &ErrorBody,
    now: Timestamp,
) -> Classified {
    let text = error.message.to_lowercase();
    let wait = answer.retry_after.as_deref().and_then(|text| wait(text, answer.sent_at().unwrap_or(now)));
    let seen = SeenAnswer { step, status: answer.status, code: &error.code, text: &text, wait };
    // The last row matches everything.
    let row = ROWS.iter().find(|row| row.fits(&seen));
    let (means, advice) = row.map_or((Means::Retry, Advice::None), |row| (row.means, row.advice));
    let remedy = match means {
        Means::Wait => {
            let wait = wait.unwrap_or(THROTTLED_UNSAID).clamp(SHORTEST_WAIT, LONGEST_WAIT);
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
    Classified { remedy, advice }
}

/// Parses `Retry-After`, which is a number of seconds or an HTTP date in the clock of the server.
fn wait(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse::<f64>() {
        // A number beyond the range is a long wait all the same.
        let is_number = text.trim().bytes().all(|byte| byte.is_ascii_digit());
        return Duration::try_from_secs_f64(seconds.max(0.0)).ok().or(is_number.then_some(LONGEST_WAIT));
    }
    Some(elapsed(now, http_date(text)?))
}

#[cfg(test)]
mod tests;
