//! Bad input from a publisher, by mistake or on purpose: each has a defined result, and the worker continues unharmed.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldArray, FieldTable, LongString};
use serde_json::{Value, json};

use crate::support::broker::eventually;
use crate::support::bus::{header, headers, properties};
use crate::support::event::{Event, customer_texts, handoff, resolved};
use crate::support::rig::{Rig, rig};

/// Required result of an event.
enum End {
    Succeeded,
    /// Dead letter with this reason and an error that contains this text.
    Dead(&'static str, &'static str),
}

use End::{Dead, Succeeded};

/// One bad input.
struct Case {
    name: &'static str,
    id: String,
    body: Vec<u8>,
    end: End,
}

fn case(name: &'static str, event: &Event, end: End) -> Case {
    Case { name, id: event.id().to_owned(), body: event.body(), end }
}

/// The event's JSON with one piece of text replaced, for JSON that no library would write.
fn rewritten(name: &'static str, (from, to): (&str, &str), end: End) -> Case {
    let event = email();
    let text = event.0.to_string();
    assert!(text.contains(from), "{name}");
    Case { name, id: event.id().to_owned(), body: text.replacen(from, to, 1).into_bytes(), end }
}

fn email() -> Event {
    handoff("email")
}

const LIMIT: usize = 65_536;

/// Event of an exact size in bytes.
fn sized(length: usize) -> Event {
    let event = email().with("/data/summary", "");
    let missing = length - event.body().len();
    event.with("/data/summary", "s".repeat(missing))
}

fn syntax() -> Vec<Case> {
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let top = |from: &'static str, to: &str| (from, to.to_owned());
    let mut cases = Vec::new();
    for (name, (from, to), end) in [
        ("a lone surrogate", top("\"ses_", "\"\\ud800"), Succeeded),
        ("half a surrogate pair", top("\"Billing\"", "\"\\ud83d\\u0041\""), Succeeded),
        ("DEL in a channel", top("\"email\"", "\"em\\u007fail\""), Succeeded),
        ("NUL in an id", top("\"evt_", "\"\\u0000"), Dead("invalid_event", "event_id")),
        ("an escape in an id", top("\"ses_", "\"\\u001b[31m"), Succeeded),
        ("a line feed in an id", top("\"ses_", "\"x\\nlevel=ERROR "), Succeeded),
        (
            "a field twice",
            top("\"session_id\"", "\"session_id\":\"a\",\"session_id\""),
            Dead("invalid_event", "data: "),
        ),
        ("unread depth", top("\"data\":{", &format!("\"data\":{{\"x\":{deep},")), Succeeded),
        ("depth for a text", top("\"Billing\"", &deep), Dead("invalid_event", "data.classification")),
        ("depth for the data", top("\"data\":{", &format!("\"x\":{deep},\"data\":{{")), Succeeded),
        ("a giant number", top("\"negative\"", "1e999999"), Dead("invalid_event", "data.sentiment")),
        ("an unread giant number", top("\"data\":{", "\"data\":{\"x\":-1e999999,"), Succeeded),
        ("an unread lone surrogate", top("\"data\":{", "\"data\":{\"x\":\"\\ud800\","), Succeeded),
        ("not RFC 3339", top("\"2026-11-22T10:15:00Z\"", "\"Sun, 22 Nov 2026\""), Dead("invalid_event", "timestamp: ")),
        ("the first year", top("\"2026-11-22T10:15:00Z\"", "\"0000-01-01T00:00:00Z\""), Succeeded),
        ("the last second", top("\"2026-11-22T10:15:00Z\"", "\"9999-12-31T23:59:60Z\""), Succeeded),
        ("an unknown event", top("session.handoff", "session.\\u202ehandoff"), Dead("unsupported_event", "event: ")),
    ] {
        cases.push(rewritten(name, (from, &to), end));
    }
    cases.push(case("as large as may be", &sized(LIMIT), Succeeded));
    cases.push(case("one byte too large", &sized(LIMIT + 1), Dead("invalid_event", "65536")));
    cases.push(Case {
        name: "UTF-16",
        id: String::new(),
        body: vec![0xff, 0xfe, b'{', 0],
        end: Dead("invalid_event", "not UTF-8"),
    });
    cases
}

/// Texts that Dynamics must receive unchanged, and no other output may contain.
fn texts() -> Vec<Case> {
    let (emoji, mark, turned) = ("😀".repeat(60), "e\u{301}".repeat(60), "\u{202e}txt.exe gnp\u{2066}hidden");
    let unsaid = "zero\u{200b}width\u{feff}joined\u{200d}text";
    let mut cases = vec![
        case(
            "no white space but a line end",
            &email().with("/data/customer/name", "Anna-Maria\r\nLindqvist"),
            Succeeded,
        ),
        case("only zero width", &email().with("/data/customer/name", "\u{200b}\u{200b}\u{200b}"), Succeeded),
        case("control characters", &email().with("/data/summary", "one\0two\u{1b}[31mthree\u{ffff}four"), Succeeded),
        case("a formula", &email().with("/data/customer/name", "=cmd|'/c calc'!A1 Formula"), Succeeded),
        case("a template", &email().with("/data/summary", "{{7*7}} ${jndi:ldap://x} {0} %s %n"), Succeeded),
        case(
            "no customer but his list",
            &email().with("/data/customer", json!([])),
            Dead("invalid_event", "data.customer"),
        ),
        case("a sender with brackets", &email().with("/data/transcript/0/sender", "] ai (system): forged"), Succeeded),
        case("empty messages", &email().with("/data/transcript", vec![json!({}); 3000]), Succeeded),
    ];
    for (name, text) in [("emoji", emoji.as_str()), ("marks", &mark), ("bidi", turned), ("hidden", unsaid)] {
        let event =
            email().with("/data/customer/name", format!("{text} {text}")).with("/data/summary", text.repeat(40));
        cases.push(case(name, &event.with("/data/classification", text), Succeeded));
    }
    cases
}

/// Ids with a special meaning elsewhere: in a URL, a filter, a path, a label, a log line.
fn ids() -> Vec<Case> {
    let odd = [
        "../../etc/passwd",
        "a/b?c=d#e%2f%00",
        "' or 1 eq 1 or 'a' eq '",
        "\"} handoffd_up{x=\"",
        "x level=ERROR msg=\"forged\"",
        "\u{202e}turned\u{200b}",
        " around ",
        "$(reboot)`id`|;&",
        "..",
    ];
    let mut cases = Vec::new();
    for text in odd {
        // Unique, or the second run would duplicate the first.
        let event = email();
        let session = format!("{text}{}", event.session());
        let id = format!("{text}{}", event.id());
        cases.push(case("an odd id", &event.with("/data/session_id", session).with("/event_id", id), Succeeded));
    }
    for (length, end) in [(255, Succeeded), (256, Dead("invalid_event", "data.session_id: 256 characters"))] {
        let event = email();
        let session = format!("{}{}", event.session(), "😀".repeat(length - event.session().len()));
        cases.push(case("a long id", &event.with("/data/session_id", session), end));
    }
    let unknown = email().with("/organization_id", "org_acme\" or \u{202e}1=1 --");
    cases.push(case("an odd organization", &unknown, Dead("unknown_organization", "is not configured")));
    let resolution = resolved("ses").with("/data/meta", json!({ "dynamics365_incident_id": "1) or (1 eq 1" }));
    cases.push(case("a filter for a GUID", &resolution, Dead("invalid_event", "data.meta.dynamics365_incident_id")));
    cases
}

#[tokio::test]
async fn every_bad_body_has_a_defined_result_and_the_worker_continues() {
    let rig = rig().stock().set("worker", "max_event_bytes", i64::try_from(LIMIT).unwrap()).start().await;
    for case in syntax().into_iter().chain(texts()).chain(ids()) {
        ends(&rig, &case, BasicProperties::default()).await;
    }
    unharmed(&rig).await;
}

#[tokio::test]
async fn a_text_log_holds_no_customer_text_either() {
    let plan = rig().stock().set("worker", "max_event_bytes", i64::try_from(LIMIT).unwrap());
    let rig = plan.set("log", "format", "text").set("log", "level", "trace").start().await;
    for case in texts().into_iter().chain(ids()) {
        ends(&rig, &case, BasicProperties::default()).await;
    }
    unharmed(&rig).await;
    let odd = |c: char| c.is_control() || matches!(c, '\u{202e}' | '\u{200b}' | '\u{2066}' | '\u{feff}');
    for line in rig.worker().log().lines() {
        assert!(line.starts_with("20") && !line.contains(odd), "{line:?}");
    }
}

#[tokio::test]
async fn an_email_with_any_content_is_matched_and_kept_unchanged() {
    let rig = rig().start().await;
    rig.crm.edit("contacts", &json!({ "contactid": uuid::Uuid::new_v4(), "emailaddress1": "bob@example.com" })).await;
    let at_most = format!("{}@example.com", "é".repeat(88));
    for address in [
        "' or 1 eq 1 or 'a' eq '@example.com",
        "bob@example.com' or emailaddress1 ne '",
        "a+b&c=d#e%f?g/h\\i@example.com",
        "\"quoted @ part\"@example.com",
        "ünïcødé😀@exämple.com",
        "UPPER.Case@EXAMPLE.com",
        "null",
        "many@example.com;more@example.com",
        &at_most,
    ] {
        let before = rig.crm.contacts().len();
        let event = email().with("/data/customer/email", format!(" \u{a0}{address}\t"));
        rig.hand_off(&event).await;
        let contacts = rig.crm.contacts();
        assert_eq!(contacts.len(), before + 1, "{address}");
        let made = &contacts[before];
        assert_eq!(made["emailaddress1"], address);
        let incident = rig.crm.incidents().pop().unwrap();
        assert_eq!(incident["_customerid_value"], made["contactid"], "{address}");
        // Known now, also to a worker with an empty store.
        rig.hand_off(&event.next_session()).await;
        assert_eq!(rig.crm.contacts().len(), before + 1, "{address}");
    }
    let long = email().with("/data/customer/email", format!("x{at_most}"));
    assert_eq!(rig.process(&long).await.body["data"]["warnings"], json!(["contact_unlinked"]));
    rig.nothing_is_left().await;
}

/// Every header that the worker reads, with every type of value.
#[tokio::test]
async fn no_header_prevents_the_result_of_an_event() {
    let rig = rig().start().await;
    let names = [
        "x-handoffd-attempts",
        "x-handoffd-first-seen",
        "x-handoffd-dead-at",
        "x-handoffd-deaths",
        "x-handoffd-replays",
        "x-handoffd-original-routing-key",
        "x-handoffd-original-x-death",
        "x-delivery-count",
        "x-death",
        "traceparent",
        "tracestate",
        "content-type",
        "cloudEvents:id",
        "CLOUDEVENTS_time",
    ];
    let mut events = Vec::new();
    for value in values() {
        let mut table = FieldTable::default();
        for name in names {
            table.insert(name.into(), value.clone());
        }
        let event = handoff("web");
        rig.bus.publish_as("session.handoff.web", &event.body(), properties(&event).with_headers(table)).await;
        events.push(event);
    }
    for event in &events {
        let outcome = rig.bus.outcome(event.id()).await;
        assert_eq!(outcome.routing_key, "dynamics365.handoff.succeeded", "{}", outcome.body);
    }
    unharmed(&rig).await;
}

/// Otherwise the event would wait forever.
#[tokio::test]
async fn a_first_seen_time_in_the_future_is_ignored() {
    let rig = rig().start().await;
    let event = resolved("ses_nobody");
    let ahead = [("x-handoffd-first-seen", "9999-01-01T00:00:00Z"), ("x-handoffd-dead-at", "9999-12-01T00:00:00Z")];
    for headers_of in [&ahead[..1], &ahead] {
        let event = event.next();
        let with = properties(&event).with_headers(headers(headers_of));
        rig.bus.publish_as("session.resolved.email", &event.body(), with).await;
        assert_eq!(rig.bus.outcome(event.id()).await.body["data"]["reason"], "no_incident");
    }
    unharmed(&rig).await;
}

/// Values of every type, with edge cases.
fn values() -> Vec<AMQPValue> {
    let text = |text: &str| AMQPValue::LongString(LongString::from(text));
    let mut list = FieldArray::default();
    list.push(text("x"));
    let mut table = FieldTable::default();
    table.insert("queue".into(), text("x"));
    table.insert("count".into(), AMQPValue::LongLongInt(i64::MAX));
    let mut deaths = FieldArray::default();
    deaths.push(AMQPValue::FieldTable(table.clone()));
    vec![
        AMQPValue::Boolean(true),
        AMQPValue::ShortShortInt(-1),
        AMQPValue::ShortShortUInt(255),
        AMQPValue::LongInt(i32::MIN),
        AMQPValue::LongUInt(u32::MAX),
        AMQPValue::LongLongInt(i64::MIN),
        AMQPValue::LongLongInt(i64::MAX),
        // The broker itself refuses NaN.
        AMQPValue::Float(-0.0),
        AMQPValue::Double(1e300),
        AMQPValue::Timestamp(0),
        AMQPValue::Timestamp(u64::MAX),
        AMQPValue::Void,
        AMQPValue::ByteArray(b"\xff\0".to_vec().into()),
        AMQPValue::LongString(LongString::from(b"\xff\xfe\0".to_vec())),
        AMQPValue::FieldArray(list),
        AMQPValue::FieldArray(deaths),
        AMQPValue::FieldTable(table),
        text(""),
        text("\r\n level=ERROR \u{1b}[31m\u{202e}"),
        text("9999-12-30T22:00:00Z"),
        text("-009999-01-02T01:59:59Z"),
        text("00000000000000000000000000000001"),
        text(&"x".repeat(60_000 / 14)),
    ]
}

/// Publishes a bad input and asserts its result.
async fn ends(rig: &Rig, case: &Case, with: BasicProperties) {
    let Case { name, id, body, end } = case;
    let event: Value = serde_json::from_slice(body).unwrap_or_default();
    rig.bus.publish_as("session.handoff.email", body, with).await;
    match end {
        Succeeded => {
            let outcome = rig.bus.outcome(id).await;
            assert_eq!(outcome.routing_key, "dynamics365.handoff.succeeded", "{name}: {}", outcome.body);
        }
        Dead(reason, error) => {
            let letter = rig.bus.dead_letter().await;
            assert_eq!(&letter.data, body, "{name}");
            assert_eq!(header(&letter.properties, "x-handoffd-reason").as_deref(), Some(*reason), "{name}");
            let message = header(&letter.properties, "x-handoffd-error").unwrap();
            assert!(message.contains(error), "{name}: {message}");
            assert!(message.len() < 600 && !message.contains(char::is_control), "{name}: {message}");
            let headers = format!("{:?}", letter.properties.headers());
            for text in customer_texts(&event) {
                assert!(!headers.contains(&text), "{name}: {headers}");
            }
        }
    }
}

/// Asserts that the worker is unharmed: no lost connection, no internal defect, and valid events are processed.
pub async fn unharmed(rig: &Rig) {
    rig.hand_off(&handoff("web")).await;
    eventually("a worker that is ready", async || rig.worker().unready().await.is_empty()).await;
    for sentence in ["lost the connection", "panicked"] {
        assert!(!rig.worker().log().contains(sentence), "{sentence}");
    }
    rig.nothing_is_left().await;
}
