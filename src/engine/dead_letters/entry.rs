//! Entry of a dead letter in a list: ids, reason and time, never its body.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::event::{Decoded, Envelope, EventKey, Limits, Seen, SessionId, decode};
use crate::ports::bus::headers::{DEAD_AT, ERROR, EVENT_ID, ORGANIZATION_ID, REASON, SESSION_ID};
use crate::ports::bus::{BrokerDeath, DeadLetter};
use crate::workflow::Reason;

/// Dead letter in a list, with the result of an operation on it (contract 8). A value that could not be read is null.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLetter")]
pub struct DeadLetterEntry {
    /// Id of this dead letter alone, also where it has no event id.
    pub letter_id: String,
    /// Event id.
    pub event_id: Option<String>,
    /// Organization that owns the event.
    pub organization_id: Option<String>,
    /// Id of the conversation.
    pub session_id: Option<String>,
    /// Reason for giving up the event.
    pub reason: Option<String>,
    /// Error in one line.
    pub error: Option<String>,
    /// Time at which the event was given up.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub dead_at: Option<Timestamp>,
    /// Result of the operation; absent in a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<OperationResult>,
    /// Cause of a failed operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Properties, headers and body, which is customer text; absent unless requested.
    #[serde(flatten)]
    #[schemars(skip)]
    pub message: Option<Map<String, Value>>,
}

/// Result of an operation on a dead letter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationResult {
    /// The message is back in the inbox.
    Replayed,
    /// Dry run: the message would go back to the inbox.
    WouldReplay,
    /// The message is deleted.
    Discarded,
    /// Dry run: the message would be deleted.
    WouldDiscard,
    /// The operation failed; the message is still a dead letter.
    Failed,
}

impl OperationResult {
    /// Returns the value used in lists.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replayed => "replayed",
            Self::WouldReplay => "would_replay",
            Self::Discarded => "discarded",
            Self::WouldDiscard => "would_discard",
            Self::Failed => "failed",
        }
    }
}

impl DeadLetterEntry {
    /// Reads the entry from the message's headers, or from its body if only the broker has added headers.
    pub fn of(letter: &DeadLetter, letter_id: String, limits: Limits) -> Self {
        let entry = match letter.broker_death() {
            Some(death) => by_broker(by_body(letter, limits), death),
            None if letter.envelope.header(REASON).is_some() => by_headers(&letter.envelope),
            None => by_body(letter, limits),
        };
        Self { letter_id, ..entry }
    }

    /// Returns true if its letter id, event id or session id begins with `id`, in any case.
    pub fn has_id(&self, id: &str) -> bool {
        one_begins([Some(&self.letter_id), self.event_id.as_deref(), self.session_id.as_deref()], id)
    }

    /// Returns true if an operation has taken it out of the queue.
    pub fn has_left(&self) -> bool {
        matches!(self.result, Some(OperationResult::Replayed | OperationResult::Discarded))
    }

    /// Returns the event that an operation has discarded; `None` if it has not, or if the event could not be read.
    pub fn discarded_event(&self) -> Option<EventKey> {
        let (organization, event) = (self.organization_id.as_deref()?, self.event_id.as_deref()?);
        let key = EventKey { organization_id: organization.into(), event_id: event.into() };
        (self.result == Some(OperationResult::Discarded)).then_some(key)
    }

    /// Returns the entry with the result of an operation.
    #[must_use]
    pub fn with(self, fate: OperationResult) -> Self {
        Self { result: Some(fate), ..self }
    }

    /// Returns the entry as failed, with the cause.
    #[must_use]
    pub fn failed(self, problem: String) -> Self {
        Self { result: Some(OperationResult::Failed), problem: Some(problem), ..self }
    }
}

/// Returns true if one of these texts begins with another one, in any case.
pub(super) fn one_begins(texts: [Option<&str>; 3], with: &str) -> bool {
    let begins = |text: &str| {
        // Without copies of a hundred thousand texts.
        if text.is_ascii() && with.is_ascii() {
            text.get(..with.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(with))
        } else {
            text.to_lowercase().starts_with(&with.to_lowercase())
        }
    };
    texts.into_iter().flatten().any(begins)
}

fn by_headers(envelope: &Envelope) -> DeadLetterEntry {
    let header = |name: &str| envelope.header(name).map(str::to_owned);
    DeadLetterEntry {
        event_id: header(EVENT_ID),
        organization_id: header(ORGANIZATION_ID),
        session_id: header(SESSION_ID),
        reason: header(REASON),
        error: header(ERROR),
        dead_at: header(DEAD_AT).and_then(|text| text.parse().ok()),
        ..DeadLetterEntry::default()
    }
}

fn by_body(letter: &DeadLetter, limits: Limits) -> DeadLetterEntry {
    let (key, session) = match decode(&letter.envelope, &letter.body, &limits) {
        Ok(Decoded::Event(event)) => (Some(event.key.clone()), Some(event.session_id().clone())),
        // A webhook's array has no single event id.
        Ok(Decoded::Split(_)) => (None, None),
        Err(rejection) => return of_seen(&rejection.seen),
    };
    let key = key.map(|EventKey { organization_id, event_id }| (organization_id.to_string(), event_id.to_string()));
    let (organization_id, event_id) = key.unzip();
    DeadLetterEntry {
        event_id,
        organization_id,
        session_id: session.map(|it: SessionId| it.to_string()),
        ..DeadLetterEntry::default()
    }
}

fn of_seen(seen: &Seen) -> DeadLetterEntry {
    DeadLetterEntry {
        event_id: seen.event_id.as_ref().map(ToString::to_string),
        organization_id: seen.organization_id.as_ref().map(ToString::to_string),
        session_id: seen.session_id.as_ref().map(ToString::to_string),
        ..DeadLetterEntry::default()
    }
}

fn by_broker(entry: DeadLetterEntry, death: BrokerDeath) -> DeadLetterEntry {
    let error = match death.reason {
        Reason::Expired => {
            "message expired in the broker before a worker consumed it (publisher's expiration or a policy)"
        }
        _ => "redelivered up to the broker's delivery limit without being settled; the worker may have crashed on it",
    };
    let reason = Some(death.reason.as_str().to_owned());
    DeadLetterEntry { reason, error: Some(error.to_owned()), dead_at: death.at, ..entry }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::*;

    const LIMITS: Limits = Limits { max_event_bytes: 1 << 20 };

    fn read(headers: &[(&str, &str)], limit: Option<&str>, body: &Value) -> Value {
        read_dead_of(Reason::DeliveryLimit, headers, limit, body)
    }

    fn read_dead_of(reason: Reason, headers: &[(&str, &str)], at: Option<&str>, body: &Value) -> Value {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let death = at.map(|at| BrokerDeath { reason, at: at.parse().ok() });
        let envelope = Envelope { headers, ..Envelope::default() };
        let letter = DeadLetter::sample(envelope, Bytes::from(body.to_string()), death);
        serde_json::to_value(DeadLetterEntry::of(&letter, "dl_1".to_owned(), LIMITS)).unwrap()
    }

    fn event() -> Value {
        json!({
            "event": "session.handoff", "event_id": "evt_1", "organization_id": "org_acme",
            "timestamp": "2026-11-22T10:15:00Z", "data": { "session_id": "ses_1", "channel": "web" },
        })
    }

    #[test]
    fn an_id_is_found_by_its_beginning_in_any_case() {
        let texts = [Some("dl_1"), Some("Évt_Ä1"), None];
        for (with, begins) in [
            ("DL_", true),
            ("dl_1", true),
            ("dl_12", false),
            ("l_1", false),
            ("évt_ä", true),
            ("évt_b", false),
            ("", true),
        ] {
            assert_eq!(one_begins(texts, with), begins, "{with:?}");
        }
    }

    #[test]
    fn missing_headers_are_null() {
        let headers = [
            ("x-handoffd-reason", "invalid_event"),
            ("x-handoffd-error", "the body is not JSON"),
            ("x-handoffd-dead-at", "2026-11-22T10:16:00Z"),
        ];
        let expected = json!({
            "letter_id": "dl_1", "event_id": null, "organization_id": null, "session_id": null, "reason": "invalid_event",
            "error": "the body is not JSON", "dead_at": "2026-11-22T10:16:00Z",
        });
        assert_eq!(read(&headers, None, &event()), expected);
    }

    #[test]
    fn a_copy_with_broker_headers_only_has_reason_delivery_limit() {
        let entry = read(&[], Some("2026-11-22T10:17:00Z"), &event());
        assert_eq!(
            (&entry["event_id"], &entry["organization_id"], &entry["session_id"]),
            (&json!("evt_1"), &json!("org_acme"), &json!("ses_1"))
        );
        assert_eq!((&entry["reason"], &entry["dead_at"]), (&json!("delivery_limit"), &json!("2026-11-22T10:17:00Z")));
        assert!(entry["error"].is_string());
        let broken = read(&[], Some("2026-11-22T10:17:00Z"), &json!({ "event_id": "evt_2" }));
        assert_eq!((&broken["event_id"], &broken["session_id"]), (&json!("evt_2"), &Value::Null));
    }

    #[test]
    fn an_expired_message_is_read_from_its_body() {
        let entry = read_dead_of(Reason::Expired, &[], Some("2026-11-22T10:17:00Z"), &event());
        assert_eq!((&entry["event_id"], &entry["reason"]), (&json!("evt_1"), &json!("expired")));
        assert_eq!(entry["dead_at"], "2026-11-22T10:17:00Z");
        assert!(entry["error"].as_str().is_some_and(|error| error.contains("expired")), "{entry}");
    }

    #[test]
    fn the_later_death_counts() {
        let headers = [("x-handoffd-reason", "retries_exhausted"), ("x-handoffd-dead-at", "2026-11-22T10:16:00Z")];
        let reason = |at| read(&headers, Some(at), &event())["reason"].clone();
        assert_eq!(reason("2026-11-22T10:15:00Z"), "retries_exhausted");
        assert_eq!(reason("2026-11-22T10:17:00Z"), "delivery_limit");
    }

    #[test]
    fn a_message_of_unknown_origin_has_no_reason() {
        let entry = read(&[], None, &event());
        assert_eq!(
            (&entry["event_id"], &entry["reason"], &entry["dead_at"]),
            (&json!("evt_1"), &Value::Null, &Value::Null)
        );
    }
}
