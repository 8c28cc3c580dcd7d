//! Messages from a broker that are invalid AMQP, or larger than a frame.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, LongString};

use crate::hostile::unharmed;
use crate::support::broker::Broker;
use crate::support::bus::{header, headers};
use crate::support::event::{Event, handoff};
use crate::support::raw::{CONTENT_TYPE, HEADERS, Raw, long, nested, short, table};
use crate::support::rig::rig;

/// Properties that break the client or the process when read unrepaired.
fn broken() -> Vec<(&'static str, (u16, Vec<u8>))> {
    let name = table(b"x-\xff\xfe", &[b"S".to_vec(), long(b"v")].concat());
    vec![
        ("a content type", (CONTENT_TYPE, short(b"application/\xff"))),
        ("a header's name", (HEADERS, name)),
        ("a header 200 deep", (HEADERS, table(b"x-deep", &nested(200)))),
        ("a header 20,000 deep", (HEADERS, table(b"x-deep", &nested(20_000)))),
        (
            "every short text",
            (0x87FC & !0x1000, [&b"\x01\xff".repeat(4)[..], &[0; 8], &b"\x01\xff".repeat(4)].concat()),
        ),
    ]
}

#[tokio::test]
async fn invalid_amqp_is_processed_and_harms_no_other_message() {
    let rig = rig().start().await;
    let mut raw = Raw::connect(Broker::shared());
    let [exchange, _] = rig.files.exchanges();
    let mut events: Vec<Event> = Vec::new();
    for (_, (flags, properties)) in broken().into_iter().take(4) {
        let (bad, good) = (handoff("web"), handoff("web"));
        raw.publish(&exchange, b"session.handoff.web", &bad.body(), (flags, &properties));
        rig.bus.publish(&good).await;
        events.extend([bad, good]);
    }
    let keyed = handoff("web");
    raw.publish(&exchange, b"session.handoff.\xff", &keyed.body(), (0, &[]));
    events.push(keyed);
    for event in &events {
        let outcome = rig.bus.outcome(event.id()).await;
        assert_eq!(outcome.routing_key, "dynamics365.handoff.succeeded", "{}", outcome.body);
    }
    unharmed(&rig).await;
}

/// The copy can be read by any client.
#[tokio::test]
async fn invalid_amqp_becomes_a_valid_dead_letter() {
    let rig = rig().start().await;
    let mut raw = Raw::connect(Broker::shared());
    let [exchange, _] = rig.files.exchanges();
    for (name, (flags, properties)) in broken().into_iter().take(4) {
        raw.publish(&exchange, b"session.handoff.\xff", b"{", (flags, &properties));
        let letter = rig.bus.dead_letter().await;
        assert_eq!(letter.data, b"{", "{name}");
        assert_eq!(header(&letter.properties, "x-handoffd-reason").as_deref(), Some("invalid_event"), "{name}");
        assert_eq!(
            header(&letter.properties, "x-handoffd-original-routing-key").as_deref(),
            Some("session.handoff.?"),
            "{name}"
        );
    }
    unharmed(&rig).await;
}

/// The broker counts deliveries in a header of its own, and sends a frame longer than negotiated.
#[tokio::test]
async fn headers_that_the_broker_makes_outgrow_a_frame_harm_no_connection() {
    let rig = rig().start().await;
    rig.stop_workers().await;
    // All but 28 bytes: the frame's payload is 131,064, and its own head, flags and the header's name take the rest.
    let full = table(b"huge", &[b"S".to_vec(), long(&vec![b'x'; 131_064 - 14 - 4 - 10])].concat());
    let event = handoff("web");
    let [exchange, _] = rig.files.exchanges();
    Raw::connect(Broker::shared()).publish(&exchange, b"session.handoff.web", &event.body(), (HEADERS, &full));
    Raw::connect(Broker::shared()).take_and_vanish(&rig.files.work_queue());
    rig.bus.waiting(&rig.files.work_queue(), 1).await;
    rig.start_worker("worker").ready().await;
    assert_eq!(rig.bus.outcome(event.id()).await.routing_key, "dynamics365.handoff.succeeded");
    assert!(rig.worker().logged("headers exceed the frame size"));
    unharmed(&rig).await;
}

/// The broker accepts a header frame that is full to the last byte; a copy also has the worker's own headers.
#[tokio::test]
async fn headers_that_fill_a_frame_harm_no_connection() {
    let rig = rig().set("retry", "in_process", 1).start().await;
    let mut full = headers(&[("small", "kept")]);
    full.insert("huge".into(), AMQPValue::LongString(LongString::from("x".repeat(130_900))));
    let full = BasicProperties::default().with_headers(full);
    rig.bus.publish_as("session.handoff.email", b"{", full.clone()).await;
    let letter = rig.bus.dead_letter().await;
    assert_eq!(header(&letter.properties, "x-handoffd-reason").as_deref(), Some("invalid_event"));
    assert_eq!(header(&letter.properties, "small").as_deref(), Some("kept"));
    assert_eq!(header(&letter.properties, "x-handoffd-left-out").as_deref(), Some("huge"));

    // Through a retry queue.
    rig.crm.refuse("oc_liveworkitems.create", 1, 503, "", "");
    let event = handoff("web");
    rig.bus.publish_as("session.handoff.web", &event.body(), full).await;
    assert_eq!(rig.bus.outcome(event.id()).await.body["data"]["attempts"], 2);
    unharmed(&rig).await;
}
