//! Processing of a handoff: the kind of record, the requests and the outcome.

use lapin::types::AMQPValue;
use serde_json::{Value, json};

use crate::support::broker::eventually;
use crate::support::bus::{header, headers, properties};
use crate::support::event::{Event, ORGANIZATION, anonymous, handoff, resolved};
use crate::support::rig::{examples, rig};
use crate::support::simulator::{OWNER, QUEUE};

const INCIDENT: &[&str] = &["contacts.query", "contacts.create", "incidents.create"];

#[tokio::test]
async fn every_channel_takes_its_route() {
    let rig = rig().start().await;
    for channel in ["web", "sms", "whatsapp", " WhatsApp "] {
        let event = handoff(channel);
        assert_eq!(rig.requests_for(&event).await, ["oc_liveworkitems.create"], "{channel}");
    }
    let others =
        ["email", "phone", "phone_voice", "web_voice", "slack", "instagram", "messenger", "api", "Carrier Pigeon"];
    for channel in others {
        let event = handoff(channel);
        assert_eq!(rig.requests_for(&event).await, INCIDENT, "{channel}");
        let outcome = rig.bus.outcome(event.id()).await.body;
        assert_eq!(outcome["data"]["route"], "incident");
        assert_eq!(outcome["data"]["channel"], channel.to_lowercase());
    }
    assert_eq!((rig.crm.incidents().len(), rig.crm.rows("oc_liveworkitems").len()), (9, 4));
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn events_take_no_superfluous_request_without_faults() {
    let rig = rig().start().await;
    let first = handoff("email");
    let (returning, chat, resolution) = (first.next_session(), handoff("web"), resolved(first.session()));
    let shouted = first.next_session().with("/data/customer/email", first.email().to_uppercase());
    let cases: [(&Event, &[&str], &str); 6] = [
        (&first, INCIDENT, "a new customer"),
        (&returning, &["incidents.create"], "a returning one"),
        (&shouted, &["incidents.create"], "case makes no other customer"),
        (&chat, &["oc_liveworkitems.create"], "a live work item"),
        (&resolution, &["incidents.update"], "a resolution"),
        (&first, &[], "a duplicate"),
    ];
    for (event, expected, what) in cases {
        assert_eq!(rig.requests_for(event).await, expected, "{what}");
    }
    rig.bus.outcomes(first.id(), 2).await;
    rig.stop_workers().await;
    assert_eq!(rig.crm.total().await, 3 + 1 + 1 + 1 + 1, "nothing in between, and nothing afterwards");

    rig.start_worker("worker").ready().await;
    assert_eq!(rig.requests_for(&first.next_session()).await, ["incidents.create"], "remembered across a restart");
    let contact = rig.crm.contacts()[0]["contactid"].clone();
    assert!(rig.crm.incidents().iter().all(|incident| incident["_customerid_value"] == contact));
    assert_eq!(rig.crm.count("token"), 2, "one token for each life of the worker");
    rig.nothing_is_left().await;
    assert_eq!(rig.crm.total().await, 8);
}

#[tokio::test]
async fn an_existing_contact_is_linked() {
    let rig = rig().start().await;
    let event = handoff("slack");
    let id = "99999999-0000-0000-0000-000000000001";
    rig.crm.edit("contacts", &json!({ "contactid": id, "emailaddress1": event.email().to_uppercase() })).await;
    assert_eq!(rig.requests_for(&event).await, ["contacts.query", "incidents.create"]);
    assert_eq!(rig.crm.incidents()[0]["_customerid_value"], id);
    assert_eq!(rig.bus.outcome(event.id()).await.body["data"]["contact_id"], id);
}

#[tokio::test]
async fn dynamics_receives_the_contracts_requests() {
    let rig = rig().queue().organize("default_owner_id", OWNER).start().await;
    let event = example("handoff-email.json");
    let meta = rig.hand_off(&event).await;
    assert_eq!(
        rig.crm.sent("contacts.create"),
        json!({
            "contactid": rig.crm.contacts()[0]["contactid"],
            "firstname": "Ann",
            "lastname": "O'Brien",
            "emailaddress1": "ann.o'brien+vip@example.com",
            "mobilephone": "+14155550100",
            "description": "Created from chat session ses_9f2c",
        })
    );
    let lookup = &rig.crm.requests("contacts.query")[0].uri;
    let filter = "?$select=contactid,statecode,_masterid_value&$filter=emailaddress1%20eq%20%27ann.o%27%27brien%2Bvip%40example.com%27&$orderby=createdon%20asc&$top=50";
    assert!(lookup.ends_with(filter), "{lookup}");
    let description = "Channel: email\nSummary: Customer was charged twice for order 1182.\nClassification: Billing\nSentiment: negative\n\
        Customer Details:\n  Name: Ann O'Brien\n  Email: ann.o'brien+vip@example.com\n  Phone: +14155550100\n\nTranscript:\n\
        [2026-11-22T10:11:02Z] Ann O'Brien (customer): I was charged twice.\n[2026-11-22T10:11:05Z] AI: Let me check that for you.";
    assert_eq!(
        rig.crm.sent("incidents.create"),
        json!({
            "incidentid": meta["dynamics365_incident_id"],
            "title": "Billing - Ann O'Brien",
            "description": description,
            "prioritycode": 2,
            "customerid_contact@odata.bind": format!("/contacts({})", rig.crm.contacts()[0]["contactid"].as_str().unwrap()),
            "ownerid@odata.bind": format!("/systemusers({OWNER})"),
            "queueid@odata.bind": format!("/queues({QUEUE})"),
        })
    );
    let request = &rig.crm.requests("incidents.create")[0];
    assert!(request.uri.ends_with("incidents?$select=incidentid,ticketnumber"), "{}", request.uri);
    let expected = [
        ("accept", "application/json"),
        ("content-type", "application/json"),
        ("odata-maxversion", "4.0"),
        ("odata-version", "4.0"),
        ("prefer", "return=representation"),
        ("user-agent", concat!("handoffd/", env!("CARGO_PKG_VERSION"))),
    ];
    for (name, value) in expected {
        assert_eq!(request.headers[name], value, "{name}");
    }
    request.headers["x-ms-client-request-id"].parse::<uuid::Uuid>().unwrap();
    assert!(!request.headers.contains_key("cookie"));
}

#[tokio::test]
async fn ticket_properties_come_last() {
    let mut properties = toml::Table::new();
    properties.insert("prioritycode".into(), 3.into());
    properties.insert("title".into(), "From OpenCX".into());
    let rig = rig().organize("ticket_properties", properties).start().await;
    rig.hand_off(&handoff("email")).await;
    let incident = &rig.crm.incidents()[0];
    assert_eq!((&incident["prioritycode"], &incident["title"]), (&json!(3), &json!("From OpenCX")));
}

#[tokio::test]
async fn an_anonymous_caller_is_named_by_phone_and_not_linked() {
    let rig = rig().start().await;
    let event = example("handoff-phone-anonymous.json");
    assert_eq!(rig.requests_for(&event).await, ["incidents.create"]);
    assert_eq!(rig.crm.incidents()[0]["title"], "Support - +442079460000");
    let data = &rig.bus.outcome(event.id()).await.body["data"];
    assert_eq!((&data["contact_id"], &data["warnings"]), (&Value::Null, &json!([])));
    rig.hand_off(&anonymous("email")).await;
    assert_eq!(rig.crm.incidents()[1]["title"], "Billing - Anonymous");
}

#[tokio::test]
async fn a_live_work_item_is_one_request() {
    let rig = rig().queue().start().await;
    let event = example("handoff-web.json");
    let meta = rig.hand_off(&event).await;
    assert_eq!(
        rig.crm.sent("oc_liveworkitems.create"),
        json!({
            "oc_liveworkitemid": meta["dynamics365_chat_id"],
            "name": "Bo Li",
            "subject": "Visitor asks about delivery to Norway.",
            "customerInfo": { "name": "Bo Li" },
            "workstreamId": QUEUE,
            "contextVariables": { "sessionId": "ses_77ab", "channel": "web" },
        })
    );
    assert_eq!(meta["dynamics365_chat_status"], "initiated");
    rig.hand_off(&anonymous("sms").without("/data/summary")).await;
    let sent = rig.crm.sent("oc_liveworkitems.create");
    assert_eq!((&sent["name"], sent.get("email"), sent.get("subject")), (&json!("Anonymous"), None, None));
    assert!(rig.crm.contacts().is_empty());
}

#[tokio::test]
async fn two_handoffs_of_a_session_are_two_incidents() {
    let rig = rig().start().await;
    let first = handoff("email");
    let second = first.next();
    let (one, two) = (rig.hand_off(&first).await, rig.hand_off(&second).await);
    assert_ne!(one["dynamics365_incident_id"], two["dynamics365_incident_id"]);
    assert_eq!(rig.crm.incidents().len(), 2);
}

#[tokio::test]
async fn an_outcome_has_the_contracts_form() {
    let rig = rig().start().await;
    let event = handoff("email");
    let trace =
        [("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), ("tracestate", "opencx=1")];
    let sent = properties(&event).with_headers(headers(&trace));
    rig.bus.publish_as(&event.routing_key(), &event.body(), sent).await;
    let outcome = rig.bus.outcome(event.id()).await;
    let incident = &rig.crm.incidents()[0];
    assert_eq!(
        outcome.body,
        json!({
            "event": "dynamics365.handoff.succeeded",
            "event_id": outcome.body["event_id"],
            "organization_id": ORGANIZATION,
            "timestamp": outcome.body["timestamp"],
            "data": {
                "source_event_id": event.id(),
                "session_id": event.session(),
                "channel": "email",
                "route": "incident",
                "session_meta": {
                    "dynamics365_incident_id": incident["incidentid"],
                    "dynamics365_ticket_number": incident["ticketnumber"],
                },
                "contact_id": rig.crm.contacts()[0]["contactid"],
                "attempts": 1,
                "warnings": [],
                "reason": null,
                "error": null,
            },
        })
    );
    assert_eq!(outcome.routing_key, "dynamics365.handoff.succeeded");
    let id: uuid::Uuid = outcome.body["event_id"].as_str().unwrap().parse().unwrap();
    assert_eq!(id.get_version_num(), 5);
    outcome.body["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let sent = &outcome.properties;
    assert_eq!(sent.message_id().as_ref().unwrap().as_str(), id.to_string());
    assert_eq!(sent.content_type().as_ref().unwrap().as_str(), "application/json");
    assert_eq!(*sent.delivery_mode(), Some(2));
    for (name, value) in trace {
        assert_eq!(header(sent, name).as_deref(), Some(value));
    }
}

#[tokio::test]
async fn an_outcome_without_a_bound_queue_is_not_waited_for() {
    let rig = rig().start().await;
    rig.bus.listen_no_more().await;
    let event = handoff("email");
    rig.bus.publish(&event).await;
    let unrouted = async || rig.worker().metric("handoffd_outcomes_unrouted_total", "").await == 1;
    eventually("an outcome for nobody", unrouted).await;
    assert!(rig.worker().logged("no queue is bound for an outcome; it is only in the store"));
    assert!(rig.worker().command(&["outcomes", "show", event.id()]).await.status.success(), "it is in the store");
    rig.stop_workers().await;
    assert_eq!(rig.bus.unfinished().await, 0);
}

#[tokio::test]
async fn an_event_id_may_be_the_message_id() {
    let rig = rig().start().await;
    let event = handoff("email");
    let body = event.clone().without("/event_id").body();
    rig.bus.publish_as("session.handoff.email", &body, properties(&event)).await;
    assert_eq!(rig.bus.outcome(event.id()).await.routing_key, "dynamics365.handoff.succeeded");
}

#[tokio::test]
async fn the_body_is_trusted_not_the_routing_key() {
    let rig = rig().start().await;
    let event = handoff("web");
    rig.bus.publish_as("session.resolved.email", &event.body(), properties(&event)).await;
    assert_eq!(rig.bus.outcome(event.id()).await.body["data"]["route"], "live_work_item");
}

#[tokio::test]
async fn cloud_events_are_the_same_events() {
    let rig = rig().start().await;
    let event = handoff("email");
    let structured = json!({
        "specversion": "1.0", "id": event.id(), "source": "/opencx", "type": "session.handoff", "time": event.0["timestamp"],
        "organizationid": ORGANIZATION, "data": event.0["data"],
    });
    let sent = properties(&event).with_content_type("application/cloudevents+json".into());
    rig.bus.publish_as("session.handoff.email", structured.to_string().as_bytes(), sent).await;
    let first = rig.bus.outcome(event.id()).await;
    assert_eq!(first.routing_key, "dynamics365.handoff.succeeded");

    let binary = event.next_session();
    let mut table = headers(&[
        ("cloudEvents:specversion", "1.0"),
        ("cloudEvents:id", binary.id()),
        ("cloudEvents_type", "session.handoff"),
        ("cloudEvents:source", "/opencx"),
        ("cloudEvents:time", "2026-11-22T10:15:00Z"),
    ]);
    table.insert("cloudEvents:organizationid".into(), AMQPValue::LongString(ORGANIZATION.into()));
    let sent = properties(&binary).with_message_id("another".into()).with_headers(table);
    rig.bus.publish_as("session.handoff.email", binary.0["data"].to_string().as_bytes(), sent).await;
    assert_eq!(rig.bus.outcome(binary.id()).await.body["data"]["contact_id"], first.body["data"]["contact_id"]);
}

/// One of the contract's example events.
fn example(name: &str) -> Event {
    Event(serde_json::from_slice(&std::fs::read(examples().join(name)).unwrap()).unwrap())
}
