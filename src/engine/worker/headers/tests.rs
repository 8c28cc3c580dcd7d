use super::super::new_dead_letter;
use super::*;
use crate::event::samples::email;
use crate::event::{Kind, Rejection, RejectionReason, Seen};
use crate::workflow::samples::at;
use crate::workflow::{Fault, Progress, Reason, Remedy, StepName};

const SEEN: &str = "2026-11-22T10:15:00Z";
const DEAD: &str = "2026-11-22T10:16:01.5Z";
const NOW: &str = "2026-11-24T08:00:00Z";

fn envelope(headers: &[(&str, &str)]) -> Envelope {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Envelope { headers, ..Envelope::default() }
}

fn refused() -> NewDeadLetter {
    let fault = Fault {
        remedy: Remedy::GiveUp,
        step: StepName::PostIncident,
        status: Some(400),
        code: Some("0x80044331".to_owned()),
        message: "A validation error occurred.".to_owned(),
        advice: "Lower description_limit.".to_owned(),
        request_id: None,
    };
    new_dead_letter::given_up(
        &email(),
        Reason::RejectedByDynamics,
        fault,
        (&Progress::default(), 3),
        (at(SEEN), at(DEAD)),
    )
}

fn sorted(mut headers: CopyHeaders) -> CopyHeaders {
    headers.sort();
    headers
}

#[test]
fn a_dead_letter_has_every_header_of_the_contract() {
    let expected = [
        ("x-handoffd-attempts", "3"),
        ("x-handoffd-dead-at", DEAD),
        ("x-handoffd-error", "0x80044331: A validation error occurred."),
        ("x-handoffd-event-id", "evt_01JDA7"),
        ("x-handoffd-first-seen", SEEN),
        ("x-handoffd-organization-id", "org_acme"),
        ("x-handoffd-original-routing-key", "session.handoff.email"),
        ("x-handoffd-reason", "rejected_by_dynamics"),
        ("x-handoffd-session-id", "ses_9f2c"),
        ("x-handoffd-step", "post_incident"),
    ];
    let headers = sorted(for_dead_letter(&refused(), "session.handoff.email"));
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(headers, expected);
}

#[test]
fn unreadable_fields_of_a_dead_letter_have_no_header() {
    let rejection = Rejection {
        reason: RejectionReason::InvalidEvent,
        path: Some("data.session_id".to_owned()),
        problem: "required, but absent".to_owned(),
        seen: Seen::default(),
    };
    let headers = for_dead_letter(&new_dead_letter::rejected(rejection, at(SEEN), at(DEAD)), "");
    let value = |wanted: &str| headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str());
    for absent in ["x-handoffd-event-id", "x-handoffd-organization-id", "x-handoffd-session-id"] {
        assert_eq!(value(absent), None, "{absent}");
    }
    assert_eq!(value("x-handoffd-error"), Some("data.session_id: required, but absent"));
    assert_eq!(value("x-handoffd-reason"), Some("invalid_event"));
    assert_eq!(value("x-handoffd-step"), Some("decode"));
}

#[test]
fn each_id_that_could_be_read_has_its_header() {
    for (organization, event) in [(Some("org_acme"), None), (None, Some("evt_1"))] {
        let rejection = Rejection {
            reason: RejectionReason::InvalidEvent,
            path: None,
            problem: "required, but absent".to_owned(),
            seen: Seen {
                organization_id: organization.map(Into::into),
                event_id: event.map(Into::into),
                ..Seen::default()
            },
        };
        let headers = for_dead_letter(&new_dead_letter::rejected(rejection, at(SEEN), at(DEAD)), "");
        let value = |wanted: &str| headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str());
        assert_eq!(value("x-handoffd-organization-id"), organization);
        assert_eq!(value("x-handoffd-event-id"), event);
    }
}

#[test]
fn no_header_of_a_dead_letter_holds_customer_text() {
    for (name, value) in for_dead_letter(&refused(), "session.handoff.email") {
        for text in ["Ann", "O'Brien", "example.com", "4155550100", "charged"] {
            assert!(!value.contains(text), "{name}: {value}");
        }
    }
}

fn postponed() -> Postponed {
    let (kind, first_seen) = (Kind::Handoff, at(DEAD));
    Postponed { rung: 0, kind, attempts: 4, first_seen, age: None, refusals: 0, announced: false, why: "transient" }
}

fn read_back(headers: &CopyHeaders) -> MessageHistory {
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    message_history(&envelope(&headers), at(NOW))
}

#[test]
fn the_times_in_headers_are_rfc_3339_and_are_read_back() {
    let headers = for_retry(&postponed(), "session.handoff.email");
    assert_eq!(
        headers,
        [
            ("x-handoffd-attempts", "4".to_owned()),
            ("x-handoffd-first-seen", DEAD.to_owned()),
            ("x-handoffd-original-routing-key", "session.handoff.email".to_owned()),
            ("x-handoffd-wait-reason", "transient".to_owned()),
        ]
    );
    assert_eq!(
        read_back(&headers),
        MessageHistory { attempts: 4, first_seen: Some(at(DEAD)), ..MessageHistory::default() }
    );
}

#[test]
fn age_and_refusals_go_with_a_copy_and_end_at_dead_lettering() {
    let age = Some(Duration::from_millis(90_500));
    let headers = for_retry(&Postponed { age, refusals: 3, ..postponed() }, "session.handoff.email");
    assert_eq!(headers[4..], [(AGE, "90500".to_owned()), (REFUSALS, "3".to_owned())]);
    assert_eq!(
        read_back(&headers),
        MessageHistory {
            attempts: 4,
            first_seen: Some(at(DEAD)),
            age,
            refusals: 3,
            announced: false,
            waited_for_store: false
        }
    );
    let of_store = for_retry(&Postponed { why: STORE_FAILED, ..postponed() }, "session.handoff.email");
    assert!(read_back(&of_store).waited_for_store);
    let dead: CopyHeaders = headers.into_iter().chain([(DEAD_AT, "2026-11-22T10:17:00Z".to_owned())]).collect();
    assert_eq!(read_back(&dead), MessageHistory::default(), "a replayed event starts over");
}

#[test]
fn invalid_headers_are_ignored() {
    for (attempts, first_seen, expected) in [
        ("", "", MessageHistory::default()),
        ("many", "yesterday", MessageHistory::default()),
        ("-1", "1758", MessageHistory::default()),
        (
            "4294967296",
            SEEN,
            MessageHistory { attempts: 1_000_000, first_seen: Some(at(SEEN)), ..MessageHistory::default() },
        ),
        // More attempts are added to it, which must not overflow.
        (
            "4294967295",
            SEEN,
            MessageHistory { attempts: 1_000_000, first_seen: Some(at(SEEN)), ..MessageHistory::default() },
        ),
    ] {
        let envelope = envelope(&[("x-handoffd-attempts", attempts), ("x-handoffd-first-seen", first_seen)]);
        assert_eq!(message_history(&envelope, at(NOW)), expected, "{attempts} {first_seen}");
    }
    assert_eq!(message_history(&Envelope::default(), at(NOW)), MessageHistory::default());
}

#[test]
fn a_dead_lettering_in_the_future_is_none() {
    let headers = [(ATTEMPTS, "2"), (FIRST_SEEN, SEEN), (AGE, "500"), (DEAD_AT, "9999-12-01T00:00:00Z")];
    let age = Some(Duration::from_millis(500));
    let expected = MessageHistory { attempts: 2, first_seen: Some(at(SEEN)), age, ..MessageHistory::default() };
    assert_eq!(message_history(&envelope(&headers), at(NOW)), expected);
}

#[test]
fn a_dead_letter_moved_back_unchanged_starts_over() {
    let headers = for_dead_letter(&refused(), "session.handoff.email");
    let mut headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(message_history(&envelope(&headers), at(NOW)), MessageHistory::default());
    // From a retry queue it returns with the counts since, and still has the headers of the old dead-lettering.
    let since = "2026-11-23T08:00:00Z";
    headers.retain(|(name, _)| !matches!(*name, ATTEMPTS | FIRST_SEEN));
    headers.extend([(ATTEMPTS, "2"), (FIRST_SEEN, since)]);
    assert_eq!(
        message_history(&envelope(&headers), at(NOW)),
        MessageHistory { attempts: 2, first_seen: Some(at(since)), ..MessageHistory::default() }
    );
}

#[test]
fn only_the_trace_context_is_passed_on() {
    let given = envelope(&[("traceparent", "00-a-b-01"), ("tracestate", "x=1"), ("x-other", "y")]);
    assert_eq!(trace(&given), [("traceparent", "00-a-b-01".to_owned()), ("tracestate", "x=1".to_owned())]);
    assert_eq!(trace(&Envelope::default()), []);
    for invalid in ["a\nb", "é", &"x".repeat(513)] {
        assert_eq!(trace(&envelope(&[("traceparent", invalid), ("tracestate", invalid)])), [], "{invalid:?}");
    }
}

#[test]
fn only_a_valid_traceparent_is_logged() {
    let valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (name, value, expected) in [
        ("traceparent", valid, Some(valid)),
        ("tracestate", valid, None),
        ("traceparent", "Ann O'Brien, ann@example.com, and more of what a customer wrote", None),
        ("traceparent", "00-4bf92f35", None),
    ] {
        assert_eq!(traceparent(&trace(&envelope(&[(name, value)]))), expected, "{name} {value}");
    }
}
