use bytes::Bytes;
use serde_json::json;

use super::{LIMITS, envelope, event, event_in, handoff, rejection, rejection_in, resolved, text, with};
use crate::event::{Decoded, EventId, Kind, Limits, OrganizationId, RejectionReason, SessionId, decode};

#[test]
fn names_the_missing_required_field() {
    for (body, pointer, path) in [
        (handoff(), "/event", "event"),
        (handoff(), "/event_id", "event_id"),
        (handoff(), "/organization_id", "organization_id"),
        (handoff(), "/timestamp", "timestamp"),
        (handoff(), "/data", "data"),
        (handoff(), "/data/session_id", "data.session_id"),
        (handoff(), "/data/channel", "data.channel"),
        (resolved(), "/timestamp", "timestamp"),
        (resolved(), "/data", "data"),
        (resolved(), "/data/session_id", "data.session_id"),
    ] {
        for nothing in [None, Some(json!(null)), Some(json!("")), Some(json!("  "))] {
            let rejection = rejection(&with(body.clone(), pointer, nothing));
            assert_eq!(rejection.reason, RejectionReason::InvalidEvent);
            assert_eq!(rejection.path.as_deref(), Some(path), "{rejection:?}");
        }
    }
}

#[test]
fn names_the_field_of_a_wrong_type_and_not_its_value() {
    let (text, object, array) = ("expected a string", "expected an object", "expected an array");
    for (pointer, value, path, expected, found) in [
        ("/event", json!(5), "event", text, "a number"),
        ("/event_id", json!(5), "event_id", text, "a number"),
        ("/organization_id", json!(["x"]), "organization_id", text, "an array"),
        ("/timestamp", json!(1_763_806_500), "timestamp", text, "a number"),
        ("/data", json!("secret"), "data", object, "a string"),
        ("/data", json!([1]), "data", object, "an array"),
        ("/data/session_id", json!(7.5), "data.session_id", text, "a number"),
        ("/data/channel", json!({}), "data.channel", text, "an object"),
        ("/data/summary", json!(5), "data.summary", text, "a number"),
        ("/data/customer", json!("secret"), "data.customer", object, "a string"),
        ("/data/customer/name", json!(true), "data.customer.name", text, "a boolean"),
        ("/data/transcript", json!({}), "data.transcript", array, "an object"),
        ("/data/transcript/1", json!("secret"), "data.transcript[1]", object, "a string"),
        ("/data/transcript/1/text", json!(-1), "data.transcript[1].text", text, "a number"),
    ] {
        let rejection = rejection(&with(handoff(), pointer, Some(value)));
        assert_eq!(rejection.path.as_deref(), Some(path), "{pointer}");
        assert_eq!(rejection.problem, format!("{expected}, found {found}"), "{pointer}");
    }
}

#[test]
fn counts_ids_in_characters() {
    for pointer in ["/event_id", "/organization_id", "/data/session_id"] {
        let path = pointer.trim_start_matches('/').replace('/', ".");
        event(&with(handoff(), pointer, Some(json!("é".repeat(255)))));
        let long = rejection(&with(handoff(), pointer, Some(json!("é".repeat(256)))));
        assert_eq!(long.path.as_deref(), Some(path.as_str()));
        assert!(long.problem.starts_with("256 characters, expected at most 255"));
        let control = rejection(&with(handoff(), pointer, Some(json!("a\0b"))));
        assert_eq!(control.path.as_deref(), Some(path.as_str()));
        assert!(control.problem.contains("U+0000: \"a\\u{0}b\""));
    }
    event(&with(handoff(), "/data/channel", Some(json!("c".repeat(255)))));
    let long = rejection(&with(handoff(), "/data/channel", Some(json!("c".repeat(256)))));
    assert_eq!(long.path.as_deref(), Some("data.channel"));
}

#[test]
fn ids_are_not_trimmed() {
    let body = with(handoff(), "/event_id", Some(json!(" e ")));
    assert_eq!(event(&body).key.event_id.as_str(), " e ");
}

#[test]
fn the_message_id_replaces_a_missing_event_id() {
    let without = with(handoff(), "/event_id", None);
    let event = event_in(&envelope(Some("msg-1")), &without);
    assert_eq!(event.key.event_id.as_str(), "msg-1");
    let both = event_in(&envelope(Some("msg-1")), &handoff());
    assert_eq!(both.key.event_id.as_str(), "evt_01JDA7");
    let neither = rejection_in(&envelope(Some(" ")), &without);
    assert_eq!(neither.path.as_deref(), Some("event_id"));
}

#[test]
fn refuses_a_timestamp_without_an_offset() {
    for text in ["2026-11-22", "2026-11-22 10:15", "2026-11-22T10:15:00", "x"] {
        let rejection = rejection(&with(handoff(), "/timestamp", Some(json!(text))));
        assert_eq!(rejection.path.as_deref(), Some("timestamp"), "{text}");
    }
}

#[test]
fn rejects_an_incident_id_that_is_not_a_guid() {
    for (meta, path) in [
        (json!({ "dynamics365_incident_id": "CAS-1" }), "data.meta.dynamics365_incident_id"),
        (json!({ "dynamics365_incident_id": 1 }), "data.meta.dynamics365_incident_id"),
        (json!([]), "data.meta"),
    ] {
        let rejection = rejection(&with(resolved(), "/data/meta", Some(meta)));
        assert_eq!(rejection.path.as_deref(), Some(path));
    }
}

#[test]
fn names_an_unsupported_event() {
    for name in ["session.paused", "session.handoff.email", "Session.Handoff", "x\u{7}"] {
        let rejection = rejection(&with(handoff(), "/event", Some(json!(name))));
        assert_eq!(rejection.reason, RejectionReason::UnsupportedEvent);
        assert_eq!(rejection.path.as_deref(), Some("event"));
        assert!(rejection.problem.contains(&name.replace('\u{7}', "\\u{7}")));
    }
}

#[test]
fn a_rejection_carries_the_readable_ids() {
    let rejection = rejection(&with(handoff(), "/data/transcript", Some(json!(5))));
    assert_eq!(rejection.seen.organization_id, Some(OrganizationId::from("org_acme")));
    assert_eq!(rejection.seen.event_id, Some(EventId::from("evt_01JDA7")));
    assert_eq!(rejection.seen.session_id, Some(SessionId::from("ses_9f2c")));
    assert_eq!(rejection.seen.kind, Some(Kind::Handoff));
}

#[test]
fn keeps_the_message_id_of_a_body_that_is_not_json() {
    for body in [&b"\xff\xfe{"[..], b"", b"{", b"{} {}", b"[1]", b"5", b"\"secret\"", b"null"] {
        let rejection = decode(&envelope(Some("m1")), &Bytes::from_static(body), &LIMITS).expect_err("no event");
        assert_eq!(rejection.reason, RejectionReason::InvalidEvent);
        assert_eq!(rejection.seen.event_id, Some(EventId::from("m1")));
        assert_eq!(rejection.path, None);
        assert!(!rejection.problem.contains("secret"));
    }
}

#[test]
fn reports_the_position_of_a_json_error() {
    let problem = |body: &str| text(body).expect_err("no event").problem;
    assert!(problem("{\n \"a\": x}").contains("not JSON: expected value at line 2 column 7"));
    assert!(problem("[]").contains("expected a JSON object at the top"));
    let rejection = decode(&envelope(None), &Bytes::from_static(b"{\"a\": \"\xff\"}"), &LIMITS).expect_err("no event");
    assert_eq!(rejection.problem, "the body is not UTF-8: first invalid byte at offset 7");
}

#[test]
fn names_size_and_limit() {
    let limits = Limits { max_event_bytes: 10 };
    let rejection = decode(&envelope(None), &Bytes::from_static(b"{\"a\": \"bcd\"}"), &limits).expect_err("too large");
    assert!(rejection.problem.contains("12 bytes") && rejection.problem.contains("(10)"));
    let body = handoff().to_string();
    let rejection = decode(&envelope(None), &body.clone().into(), &limits).expect_err("too large");
    assert_eq!(
        rejection.problem,
        format!("the body is {} bytes, more than worker.max_event_bytes allows (10)", body.len())
    );
    assert_eq!(rejection.path, None);
    assert_eq!(rejection.seen.organization_id, Some(OrganizationId::from("org_acme")));
    assert_eq!(rejection.seen.event_id, Some(EventId::from("evt_01JDA7")));
    assert_eq!(rejection.seen.session_id, Some(SessionId::from("ses_9f2c")));
}

#[test]
fn a_duplicate_field_is_rejected() {
    let body = handoff().to_string();
    let twice = body.replacen('{', "{\"event_id\":\"first\",", 1);
    let rejection = text(&twice).expect_err("ambiguous");
    assert!(rejection.problem.contains("duplicate field `event_id`"));
    assert_eq!(rejection.seen.event_id, Some(EventId::from("evt_01JDA7")));
    let twice = body.replacen("\"session_id\"", "\"session_id\":\"first\",\"session_id\"", 1);
    let rejection = text(&twice).expect_err("ambiguous");
    assert_eq!(rejection.path.as_deref(), Some("data"));
    assert_eq!(rejection.problem, "duplicate field `session_id`");
    let broken = text(&format!("{twice}x")).expect_err("no JSON");
    assert!(broken.problem.contains("not JSON"));
    let unknown = body.replacen('{', "{\"x\":1,\"x\":2,", 1);
    assert!(text(&unknown).is_ok());
}

#[test]
fn a_byte_order_mark_is_accepted() {
    let body = format!("\u{feff}{}", handoff());
    assert!(matches!(text(&body), Ok(Decoded::Event(_))));
}

#[test]
fn deep_nesting_in_an_unknown_field_is_harmless() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let body = handoff().to_string();
    for at in ["{", "\"data\":{"] {
        let body = body.replacen(at, &format!("{at}\"x\":{deep},"), 1);
        assert!(matches!(text(&body), Ok(Decoded::Event(_))));
    }
    let body = with(handoff(), "/data/summary", Some(json!("DEEP"))).to_string();
    let rejection = text(&body.replacen("\"DEEP\"", &deep, 1)).expect_err("no string");
    assert_eq!(rejection.path.as_deref(), Some("data.summary"));
}

#[test]
fn a_lone_surrogate_reads_as_the_replacement_character() {
    for (from, pointer) in [
        ("ses_9f2c", "/data/session_id"),
        ("Billing", "/data/classification"),
        ("evt_01JDA7", "/event_id"),
        ("I was charged twice.", "/data/transcript/0/text"),
    ] {
        let body = handoff().to_string().replacen(from, "\\ud83d", 1);
        let expected = event(&with(handoff(), pointer, Some(json!("\u{fffd}"))));
        assert_eq!(text(&body), Ok(Decoded::Event(expected)), "{pointer}");
    }
    // A lone surrogate in the name of an ignored field.
    for at in ["{", "\"data\":{"] {
        let body = handoff().to_string().replacen(at, &format!("{at}\"\\udead\":1,"), 1);
        assert_eq!(text(&body), Ok(Decoded::Event(event(&handoff()))));
    }
    let broken = with(handoff(), "/data/summary", Some(json!(5))).to_string();
    let rejection = text(&broken.replacen("ses_9f2c", "\\ud83d", 1)).expect_err("a number");
    assert_eq!(rejection.path.as_deref(), Some("data.summary"));
    assert_eq!(rejection.seen.session_id, Some(SessionId::from("\u{fffd}")));
}

#[test]
fn an_amqp_1_0_section_is_named_in_the_error() {
    let json = handoff().to_string();
    for (code, name) in [(0x77, "value"), (0x76, "sequence"), (0x75, "data")] {
        let length = u32::try_from(json.len()).expect("short").to_be_bytes();
        let body = [&[0, 0x53, code, 0xb1][..], &length, json.as_bytes()].concat();
        let rejection = decode(&envelope(Some("m1")), &body.into(), &LIMITS).expect_err("no JSON");
        assert_eq!(rejection.reason, RejectionReason::InvalidEvent);
        assert!(rejection.problem.starts_with(&format!("the body is an AMQP 1.0 {name} section")), "{rejection:?}");
        assert_eq!(rejection.seen.event_id, Some(EventId::from("m1")));
    }
}

#[test]
fn ids_and_channel_may_have_control_characters_but_no_nul() {
    for (body, pointer) in [
        (handoff(), "/event_id"),
        (handoff(), "/organization_id"),
        (handoff(), "/data/session_id"),
        (handoff(), "/data/channel"),
        (resolved(), "/data/channel"),
    ] {
        let rejection = rejection(&with(body.clone(), pointer, Some(json!("a\0b"))));
        assert_eq!(rejection.reason, RejectionReason::InvalidEvent);
        assert_eq!(rejection.path.as_deref(), Some(pointer[1..].replace('/', ".").as_str()));
        assert!(rejection.problem.ends_with("must not contain U+0000: \"a\\u{0}b\""), "{rejection:?}");
        for control in ('\u{1}'..='\u{1f}').chain('\u{7f}'..='\u{9f}') {
            event(&with(body.clone(), pointer, Some(json!(format!("a{control}b")))));
        }
    }
    assert_eq!(event(&with(handoff(), "/data/channel", Some(json!("\tEmail\n")))), event(&handoff()));
}

#[test]
fn no_problem_contains_customer_text() {
    let secret = "Ann's-IBAN";
    for pointer in [
        "/timestamp",
        "/data",
        "/data/channel",
        "/data/summary",
        "/data/classification",
        "/data/sentiment",
        "/data/customer",
        "/data/customer/name",
        "/data/customer/email",
        "/data/customer/phone",
        "/data/transcript",
        "/data/transcript/0",
        "/data/transcript/0/timestamp",
        "/data/transcript/0/sender",
        "/data/transcript/0/name",
        "/data/transcript/0/text",
    ] {
        let mut refused = 0;
        for value in [
            json!(secret),
            json!(secret.repeat(100)),
            json!([secret]),
            json!({ secret: secret }),
            json!([{ secret: [secret] }]),
        ] {
            let body = with(handoff(), pointer, Some(value)).to_string();
            if let Err(rejection) = text(&body) {
                refused += 1;
                assert!(!rejection.text().contains("IBAN"), "{rejection:?}");
            }
        }
        assert!(refused > 1, "{pointer}");
    }
}
