//! Reading and writing of the `x-handoffd-*` headers: the past of a message, and the headers of its copies.

use std::time::Duration;

use jiff::Timestamp;

use super::settlement::{NewDeadLetter, Postponed, STORE_FAILED};
use crate::event::Envelope;
use crate::ports::bus::headers::{
    AGE, ANNOUNCED, ATTEMPTS, DEAD_AT, ERROR, EVENT_ID, FIRST_SEEN, ORGANIZATION_ID, ORIGINAL_ROUTING_KEY, REASON,
    REFUSALS, REPLAYED_AT, REPLAYED_BY, SESSION_ID, STEP, WAIT_REASON,
};
use crate::workflow::ReplayMark;

/// Largest number of attempts that is accepted from a header. A higher one was not written by a worker.
const MOST_ATTEMPTS: u32 = 1_000_000;

/// W3C trace context, copied from an event to its outcome.
const TRACE: [&str; 2] = ["traceparent", "tracestate"];
/// Longest accepted value; a longer `tracestate` may be dropped (W3C Trace Context, 3.3.1.5).
const LONGEST_TRACE: usize = 512;
/// Length of a `traceparent` of version 00.
const TRACEPARENT: usize = 55;

/// Headers to set on a copy.
pub(super) type CopyHeaders = Vec<(&'static str, String)>;

/// Past of a message as its headers give it; empty for a new message.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct MessageHistory {
    /// Attempts spent so far.
    pub(super) attempts: u32,
    /// Time a worker first received it.
    pub(super) first_seen: Option<Timestamp>,
    /// Time since its first failed attempt, without the time spent waiting for its organization; `None` before that
    /// attempt.
    pub(super) age: Option<Duration>,
    /// Number of times a destination has refused it since its outcome was decided.
    pub(super) refusals: u32,
    /// True if its failed outcome is announced, and only the dead-letter queue has refused it since.
    pub(super) announced: bool,
    /// True if it last waited because the store failed, which may have interrupted an attempt.
    pub(super) waited_for_store: bool,
}

/// Returns true if a record, first seen at this time, belongs to the event's current run. A replay by an operator
/// begins a new run.
pub(super) fn is_current_run(envelope: &Envelope, first_seen: Timestamp) -> bool {
    let replayed_at = envelope.header(REPLAYED_AT).and_then(|text| text.parse::<Timestamp>().ok());
    replayed_at.is_none_or(|replayed_at| first_seen >= replayed_at)
}

/// Reads the last replay of a message; `None` if it has not been replayed.
pub(super) fn replay(envelope: &Envelope) -> Option<ReplayMark> {
    let at = envelope.header(REPLAYED_AT)?.parse().ok()?;
    Some(ReplayMark { at, by: envelope.header(REPLAYED_BY).map(str::to_owned) })
}

/// Reads a message's past from its headers. A dead letter that was moved back manually has none, and starts over.
pub(super) fn message_history(envelope: &Envelope, now: Timestamp) -> MessageHistory {
    let time = |name| envelope.header(name).and_then(|text| text.parse::<Timestamp>().ok());
    let first_seen = time(FIRST_SEEN);
    // Copies in the retry queues keep the header of an earlier dead-lettering; a later first-seen time begins a new
    // run. A time in the future is not one of a dead-lettering: every try would begin a new run, for ever.
    let dead_at = time(DEAD_AT).filter(|dead_at| *dead_at <= now);
    if dead_at.is_some_and(|dead_at| first_seen.is_none_or(|seen| seen <= dead_at)) {
        return MessageHistory::default();
    }
    let number = |name| envelope.header(name).and_then(|text| text.parse::<u64>().ok());
    let count = |name| u32::try_from(number(name).unwrap_or(0)).unwrap_or(u32::MAX).min(MOST_ATTEMPTS);
    let age = number(AGE).map(Duration::from_millis);
    let waited_for_store = envelope.header(WAIT_REASON) == Some(STORE_FAILED);
    let announced = envelope.header(ANNOUNCED).is_some();
    MessageHistory {
        attempts: count(ATTEMPTS),
        first_seen,
        age,
        refusals: count(REFUSALS),
        announced,
        waited_for_store,
    }
}

/// Returns the headers of a copy in a retry queue.
pub(super) fn for_retry(postponed: &Postponed, routing_key: &str) -> CopyHeaders {
    let mut headers = vec![
        (ATTEMPTS, postponed.attempts.to_string()),
        (FIRST_SEEN, postponed.first_seen.to_string()),
        (ORIGINAL_ROUTING_KEY, routing_key.to_owned()),
        (WAIT_REASON, postponed.why.to_owned()),
    ];
    headers.extend(postponed.age.map(|age| (AGE, age.as_millis().to_string())));
    headers.extend((postponed.refusals > 0).then(|| (REFUSALS, postponed.refusals.to_string())));
    headers.extend(postponed.announced.then(|| (ANNOUNCED, "true".to_owned())));
    headers
}

/// Returns the headers of a dead letter (contract 5).
pub(super) fn for_dead_letter(letter: &NewDeadLetter, routing_key: &str) -> CopyHeaders {
    let outcome = &letter.outcome;
    let mut headers = vec![
        (REASON, letter.reason.as_str().to_owned()),
        (ATTEMPTS, outcome.attempts.to_string()),
        (FIRST_SEEN, letter.first_seen.to_string()),
        (DEAD_AT, outcome.finished_at.to_string()),
        (ORIGINAL_ROUTING_KEY, routing_key.to_owned()),
    ];
    if let Some(error) = &outcome.error {
        let code = error.code.as_deref().map(|code| format!("{code}: ")).unwrap_or_default();
        headers.push((ERROR, format!("{code}{}", error.message)));
        headers.push((STEP, error.step.as_str().to_owned()));
    }
    headers.extend(letter.event_id.as_ref().map(|id| (EVENT_ID, id.to_string())));
    headers.extend(letter.organization_id.as_ref().map(|id| (ORGANIZATION_ID, id.to_string())));
    if let Some(session) = &letter.session_id {
        headers.push((SESSION_ID, session.to_string()));
    }
    headers
}

/// Returns the trace context of an event; values that W3C does not allow are dropped.
pub(super) fn trace(envelope: &Envelope) -> CopyHeaders {
    let fit = |value: &&str| value.len() <= LONGEST_TRACE && value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    TRACE.into_iter().filter_map(|name| Some((name, envelope.header(name).filter(fit)?.to_owned()))).collect()
}

/// Returns the `traceparent` for a log line, but only if it is a well-formed one.
pub(super) fn traceparent(trace: &CopyHeaders) -> Option<&str> {
    let (_, value) = trace.iter().find(|(name, _)| *name == TRACE[0])?;
    let hex = value.len() >= TRACEPARENT && value.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    hex.then_some(value.as_str())
}

#[cfg(test)]
mod tests;
