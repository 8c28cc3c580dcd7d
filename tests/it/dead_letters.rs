//! Events that can't succeed as they are: kept unchanged, with the reason, and accepted again once the cause is fixed.

use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, ByteArray, DecimalValue, FieldArray, FieldTable, LongString};
use serde_json::{Value, json};

use crate::support::bus::{header, properties};
use crate::support::event::{Event, handoff, resolved};
use crate::support::rig::{Rig, rig};

/// Every header of a dead letter.
const HEADERS: [&str; 10] = [
    "x-handoffd-reason",
    "x-handoffd-error",
    "x-handoffd-step",
    "x-handoffd-attempts",
    "x-handoffd-event-id",
    "x-handoffd-organization-id",
    "x-handoffd-session-id",
    "x-handoffd-first-seen",
    "x-handoffd-dead-at",
    "x-handoffd-original-routing-key",
];

#[tokio::test]
async fn a_refused_event_is_a_complete_dead_letter_at_once() {
    let rig = rig().start().await;
    rig.crm.refuse("incidents.create", 1, 400, "0x80044331", "A validation error occurred: the text is too long.");
    let event = handoff("email");
    let body = format!(" {}\n", serde_json::to_string_pretty(&event.0).unwrap());
    let sent = full(&event);
    rig.bus.publish_as("session.handoff.email", body.as_bytes(), sent.clone()).await;
    let letter = rig.bus.dead_letter().await;
    assert_eq!(String::from_utf8(letter.data.clone()).unwrap(), body);
    whole(&letter.properties, &sent);
    let values = HEADERS.map(|name| header(&letter.properties, name).unwrap_or_else(|| panic!("no {name}")));
    let [reason, error, step, attempts, event_id, organization, session, first_seen, dead_at, key] = values;
    assert_eq!(reason, "rejected_by_dynamics");
    assert!(error.contains("0x80044331") && error.contains("the text is too long"), "{error}");
    assert_eq!((step.as_str(), attempts.as_str()), ("post_incident", "1"));
    assert_eq!((event_id.as_str(), organization.as_str(), session.as_str()), (event.id(), "org_acme", event.session()));
    assert!(first_seen.parse::<Timestamp>().unwrap() <= dead_at.parse::<Timestamp>().unwrap());
    assert_eq!(key, "session.handoff.email");

    let outcome = rig.bus.outcome(event.id()).await;
    assert_eq!(outcome.routing_key, "dynamics365.handoff.failed");
    let data = &outcome.body["data"];
    assert_eq!(
        (&data["reason"], &data["route"], &data["channel"]),
        (&json!("rejected_by_dynamics"), &json!("incident"), &json!("email"))
    );
    let failure = &data["error"];
    assert_eq!(
        (&failure["step"], &failure["status"], &failure["code"]),
        (&json!("post_incident"), &json!(400), &json!("0x80044331"))
    );
    assert!(failure["message"].is_string() && failure["advice"].is_string());
    assert_eq!(rig.crm.count("incidents.create"), 1);
    rig.worker().counts("handoffd_dead_letters_total", "rejected_by_dynamics", 1).await;
}

#[tokio::test]
async fn the_same_event_succeeds_once_its_cause_is_fixed() {
    let rig = rig().queue().organize("queue_assignment", "add_to_queue").start().await;
    rig.crm.refuse("AddToQueue", 1, 400, "0x80040265", "A plug-in does not like it.");
    let event = handoff("email");
    let failed = rig.process(&event).await.body;
    assert_eq!(failed["event"], "dynamics365.handoff.failed");
    let letter = rig.bus.dead_letter().await;
    assert_eq!(header(&letter.properties, "x-handoffd-step").as_deref(), Some("assign_queue"));

    rig.bus.publish(&event).await;
    let both = rig.bus.outcomes(event.id(), 2).await;
    assert_eq!(both[1].routing_key, "dynamics365.handoff.succeeded");
    assert_ne!(both[0].body["event_id"], both[1].body["event_id"], "another result is another id");
    assert_eq!((rig.crm.contacts().len(), rig.crm.incidents().len()), (1, 1));
    assert_eq!(both[1].body["data"]["attempts"], 1, "starts over");
    assert_eq!(rig.requests_for(&event).await, [""; 0], "and is answered from now on");
}

#[tokio::test]
async fn an_event_is_given_up_after_max_age() {
    let rig = rig().set("retry", "max_age", "1s").start().await;
    rig.crm.fault(&json!({ "operation": "incidents.create", "times": null, "fault": { "status": 503 } }));
    let event = handoff("email");
    let outcome = rig.process(&event).await.body;
    assert_eq!(
        (&outcome["event"], &outcome["data"]["reason"]),
        (&json!("dynamics365.handoff.failed"), &json!("retries_exhausted"))
    );
    assert_eq!(outcome["data"]["error"]["status"], 503);
    let letter = rig.bus.dead_letter().await;
    assert_eq!(header(&letter.properties, "x-handoffd-reason").as_deref(), Some("retries_exhausted"));
    let attempts = header(&letter.properties, "x-handoffd-attempts").unwrap();
    assert!(attempts.parse::<u32>().unwrap() >= 4, "{attempts}");
    assert_eq!(attempts, outcome["data"]["attempts"].to_string());

    rig.crm.environment().clear_faults();
    rig.bus.publish(&event).await;
    let both = rig.bus.outcomes(event.id(), 2).await;
    assert_eq!(both[1].routing_key, "dynamics365.handoff.succeeded");
    assert_eq!((rig.crm.contacts().len(), rig.crm.incidents().len()), (1, 1));
}

#[tokio::test]
async fn a_message_that_is_not_an_event_names_the_faulty_field() {
    let rig = rig().set("worker", "max_event_bytes", 4096).start().await;
    let good = handoff("email");
    let cases: [(&str, Vec<u8>, &str); 10] = [
        ("not JSON", b"{ not json".to_vec(), "JSON"),
        ("not UTF-8", b"{\"event\": \"\xff\"}".to_vec(), "UTF-8"),
        ("too large", good.clone().with("/data/summary", "s".repeat(5000)).body(), "4096"),
        ("no session", good.clone().without("/data/session_id").body(), "data.session_id"),
        ("a number", good.clone().with("/data/channel", 7).body(), "data.channel"),
        ("a list", good.clone().with("/data/customer", json!([])).body(), "data.customer"),
        ("inside", good.clone().with("/data/transcript/0/text", 7).body(), "data.transcript[0].text"),
        ("no time", good.clone().without("/timestamp").body(), "timestamp"),
        ("no organization", good.clone().without("/organization_id").body(), "organization_id"),
        ("too long", good.clone().with("/data/session_id", "x".repeat(256)).body(), "data.session_id"),
    ];
    for (name, body, says) in cases {
        rig.bus.publish_as("session.handoff.email", &body, BasicProperties::default()).await;
        let letter = rig.bus.dead_letter().await;
        assert_eq!(letter.data, body, "{name}");
        assert_eq!(header(&letter.properties, "x-handoffd-reason").as_deref(), Some("invalid_event"), "{name}");
        let error = header(&letter.properties, "x-handoffd-error").unwrap();
        assert!(error.contains(says), "{name}: {error}");
    }
    rig.hand_off(&good.next()).await;
    assert_eq!(rig.crm.incidents().len(), 1);
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn an_invalid_event_that_can_be_named_has_a_failed_outcome() {
    let rig = rig().start().await;
    let event = handoff("email").without("/data/channel");
    let outcome = rig.process(&event).await;
    assert_eq!(outcome.routing_key, "dynamics365.handoff.failed");
    let data = &outcome.body["data"];
    assert_eq!(
        (&data["reason"], &data["session_id"], &data["route"]),
        (&json!("invalid_event"), &json!(event.session()), &Value::Null)
    );
    assert!(data["error"]["message"].as_str().unwrap().contains("data.channel"));
}

#[tokio::test]
async fn an_unknown_event_is_unsupported() {
    let rig = rig().start().await;
    let event = handoff("email").with("/event", "session.handoff.requested");
    rig.bus.publish_as("session.handoff.email", &event.body(), properties(&event)).await;
    let letter = rig.bus.dead_letter().await;
    assert_eq!(header(&letter.properties, "x-handoffd-reason").as_deref(), Some("unsupported_event"));
    assert_eq!(rig.bus.outcome(event.id()).await.body["data"]["reason"], "unsupported_event");
}

#[tokio::test]
async fn an_unknown_organization_is_a_dead_letter_until_it_is_configured() {
    let rig = rig().start().await;
    let event = handoff("email").with("/organization_id", "org_globex");
    let outcome = rig.process(&event).await.body;
    assert_eq!(
        (&outcome["event"], &outcome["data"]["reason"]),
        (&json!("dynamics365.handoff.failed"), &json!("unknown_organization"))
    );
    assert_eq!(outcome["organization_id"], "org_globex");
    let letter = rig.bus.dead_letter().await;
    assert_eq!(header(&letter.properties, "x-handoffd-reason").as_deref(), Some("unknown_organization"));

    rig.files.write_another_organization(rig.folder.path(), "org_globex");
    rig.worker().hang_up();
    crate::support::broker::eventually("the organization", async || rig.worker().logged("organization added")).await;
    rig.bus.publish(&event).await;
    assert_eq!(rig.bus.outcomes(event.id(), 2).await[1].routing_key, "dynamics365.handoff.succeeded");
}

#[tokio::test]
async fn one_bad_message_never_stops_the_others() {
    let rig = rig().set("broker", "prefetch", 4).start().await;
    let mut good = Vec::new();
    for number in 0..20 {
        let body: &[u8] = if number % 2 == 0 { b"{" } else { b"\x00\xff" };
        rig.bus.publish_as("session.handoff.email", body, BasicProperties::default()).await;
        good.push(handoff("web"));
        rig.bus.publish(&good[number]).await;
    }
    rig.bus.outcomes_of(&good).await;
    rig.bus.waiting(&rig.files.dead_letter_queue(), 20).await;
    assert_eq!(rig.crm.rows("oc_liveworkitems").len(), 20);
}

#[tokio::test]
async fn customer_text_quoted_by_dynamics_is_masked() {
    let rig = rig().start().await;
    let event = handoff("email");
    let (email, name) = (event.email(), event.0["data"]["customer"]["name"].as_str().unwrap());
    let message = format!("The value '{email}' of {name} is not valid.");
    rig.crm.refuse("incidents.create", 1, 400, "0x80040265", &message);
    let outcome = rig.process(&event).await.body;
    let letter = rig.bus.dead_letter().await;
    let error = header(&letter.properties, "x-handoffd-error").unwrap();
    for text in [error, outcome["data"]["error"]["message"].as_str().unwrap().to_owned()] {
        assert!(!text.contains(email) && !text.contains(name), "{text}");
        assert!(text.contains("is not valid"), "{text}");
    }
}

#[tokio::test]
async fn a_resolution_without_a_valid_guid_is_invalid() {
    let rig = rig().start().await;
    let event = resolved("ses_any").with("/data/meta", json!({ "dynamics365_incident_id": "CAS-1" }));
    let outcome = rig.process(&event).await;
    assert_eq!(outcome.routing_key, "dynamics365.resolution.failed");
    assert!(outcome.body["data"]["error"]["message"].as_str().unwrap().contains("data.meta.dynamics365_incident_id"));
    seen(&rig, "invalid_event").await;
}

async fn seen(rig: &Rig, reason: &str) {
    let letter = rig.bus.dead_letter().await;
    assert_eq!(header(&letter.properties, "x-handoffd-reason").as_deref(), Some(reason));
}

/// Every property, and every kind of header.
fn full(event: &Event) -> BasicProperties {
    let mut nested = FieldTable::default();
    nested.insert("deep".into(), AMQPValue::LongLongInt(-1));
    let mut list = FieldArray::default();
    list.push(AMQPValue::Boolean(true));
    list.push(AMQPValue::FieldTable(nested.clone()));
    let values = [
        ("text", AMQPValue::LongString(LongString::from("grüße"))),
        ("bytes", AMQPValue::LongString(LongString::from(vec![0, 159, 146, 150]))),
        ("array", AMQPValue::ByteArray(ByteArray::from(vec![1, 2, 3]))),
        ("number", AMQPValue::LongInt(42)),
        ("small", AMQPValue::ShortShortInt(-3)),
        ("double", AMQPValue::Double(1.5)),
        ("decimal", AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 314 })),
        ("time", AMQPValue::Timestamp(1_764_000_000)),
        ("nothing", AMQPValue::Void),
        ("table", AMQPValue::FieldTable(nested)),
        ("list", AMQPValue::FieldArray(list)),
    ];
    let mut table = FieldTable::default();
    for (name, value) in values {
        table.insert(format!("x-user-{name}").into(), value);
    }
    properties(event)
        .with_headers(table)
        .with_content_encoding("identity".into())
        .with_priority(3)
        .with_correlation_id("correlation".into())
        .with_reply_to("replies".into())
        .with_expiration("3600000".into())
        .with_timestamp(1_764_000_000)
        .with_type("kind".into())
        .with_app_id("opencx".into())
}

/// Asserts that the copy has everything that was sent.
fn whole(kept: &BasicProperties, sent: &BasicProperties) {
    let headers = kept.headers().as_ref().unwrap().inner();
    for (name, value) in sent.headers().as_ref().unwrap().inner() {
        assert_eq!(headers.get(name), Some(value), "{name}");
    }
    assert_eq!(header(kept, "x-handoffd-original-expiration").as_deref(), Some("3600000"));
    let parts = |it: &BasicProperties| {
        (
            [
                it.content_type(),
                it.content_encoding(),
                it.correlation_id(),
                it.reply_to(),
                it.message_id(),
                it.kind(),
                it.app_id(),
            ]
            .map(|text| text.as_ref().map(ToString::to_string)),
            (*it.delivery_mode(), *it.priority(), *it.timestamp()),
        )
    };
    assert_eq!(parts(kept), parts(sent));
}
