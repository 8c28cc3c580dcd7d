//! Traces are joined by `traceparent` from the publisher to the outcome, through every queue, and tracing disturbs
//! nothing.

use lapin::types::{AMQPValue, FieldTable};

use crate::support::broker::eventually;
use crate::support::bus::{Outcome, header, headers, properties};
use crate::support::collector::{Collector, Span};
use crate::support::event::{Event, handoff};
use crate::support::rig::{Rig, rig};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PUBLISHER: &str = "00f067aa0ba902b7";

async fn traced_rig(collector: &Collector) -> Rig {
    let endpoint = collector.endpoint.as_str();
    rig().set("tracing", "otlp_endpoint", endpoint).set("retry", "in_process", 1).start().await
}

fn of<'a>(spans: &'a [Span], event: &Event, result: &str) -> &'a Span {
    let found = spans
        .iter()
        .find(|span| span.attribute("handoffd.event_id") == event.id() && span.attribute("handoffd.result") == result);
    found.unwrap_or_else(|| panic!("no span of {} that {result}: {spans:#?}", event.id()))
}

/// Trace and span id of an outcome's header.
fn joined(outcome: &Outcome) -> (String, String) {
    let parent = header(&outcome.properties, "traceparent").expect("a traceparent");
    let parts: Vec<&str> = parent.split('-').collect();
    assert_eq!((parts.len(), parts[0], parts[3]), (4, "00", "01"), "{parent}");
    (parts[1].to_owned(), parts[2].to_owned())
}

#[tokio::test]
async fn a_trace_goes_from_the_publisher_through_a_retry_a_death_and_a_replay_to_the_outcome() {
    let collector = Collector::start().await;
    let rig = traced_rig(&collector).await;
    rig.crm.refuse("incidents.create", 1, 503, "", "Not now.");
    let event = handoff("email");
    let traceparent = format!("00-{TRACE}-{PUBLISHER}-01");
    let sent = properties(&event).with_headers(headers(&[("traceparent", &traceparent), ("tracestate", "vendor=x")]));
    rig.bus.publish_as(&event.routing_key(), &event.body(), sent).await;
    rig.awaits("transient").await;
    rig.crm.refuse("incidents.create", 1, 400, "0x80040265", "A plug-in does not like it.");
    rig.bus.waiting(&rig.files.dead_letter_queue(), 1).await;
    let replayed = rig.worker().command(&["dead-letters", "replay", "--id", event.id()]).await;
    assert!(replayed.status.success(), "{replayed:?}");
    let outcomes = rig.bus.outcomes(event.id(), 2).await;

    let spans = collector.has(1, "process", ("handoffd.result", "succeeded")).await;
    let lives = ["retried", "dead_lettered", "succeeded"].map(|result| of(&spans, &event, result));
    for span in lives {
        assert_eq!((span.trace.as_str(), span.parent.as_str()), (TRACE, PUBLISHER), "{span:?}");
        let posts: Vec<&Span> =
            spans.iter().filter(|other| other.parent == span.id && other.name == "post_incident").collect();
        assert_eq!((posts.len(), posts[0].trace.as_str()), (1, TRACE), "{posts:?}");
    }
    let statuses = ["503", "400", "201"];
    for (life, status) in lives.iter().zip(statuses) {
        let post = spans.iter().find(|span| span.parent == life.id && span.name == "post_incident").unwrap();
        assert_eq!(post.attribute("http.response.status_code"), status);
    }
    for (outcome, life) in outcomes.iter().zip(&lives[1..]) {
        let (trace, publish) = joined(outcome);
        assert_eq!(trace, TRACE);
        assert_eq!(header(&outcome.properties, "tracestate").as_deref(), Some("vendor=x"));
        let publish = spans.iter().find(|span| span.id == publish).expect("the span that the outcome names");
        assert_eq!((publish.name.as_str(), publish.parent.as_str()), ("publish", life.id.as_str()));
    }
    rig.nothing_is_left().await;
    let seen = collector.seen().to_lowercase();
    for private in rig.bus.private_texts() {
        assert!(!seen.contains(&private.to_lowercase()), "a trace holds {private:?}");
    }
}

#[tokio::test]
async fn an_event_without_a_trace_gets_one_that_its_retries_continue() {
    let collector = Collector::start().await;
    let rig = traced_rig(&collector).await;
    rig.crm.refuse("incidents.create", 1, 503, "", "Not now.");
    let event = handoff("email");
    let outcome = rig.process(&event).await;
    let spans = collector.has(1, "process", ("handoffd.result", "succeeded")).await;
    let (first, second) = (of(&spans, &event, "retried"), of(&spans, &event, "succeeded"));
    assert_eq!((first.parent.as_str(), second.parent.as_str()), ("", first.id.as_str()));
    assert_eq!((&second.trace, &joined(&outcome).0), (&first.trace, &first.trace));
}

#[tokio::test]
async fn without_an_endpoint_a_trace_is_passed_on_unchanged_and_none_is_started() {
    let rig = rig().set("retry", "in_process", 1).start().await;
    rig.crm.refuse("incidents.create", 1, 503, "", "Not now.");
    let (with, without) = (handoff("email"), handoff("email"));
    let traceparent = format!("00-{TRACE}-{PUBLISHER}-01");
    let sent = properties(&with).with_headers(headers(&[("traceparent", &traceparent)]));
    rig.bus.publish_as(&with.routing_key(), &with.body(), sent).await;
    assert_eq!(
        header(&rig.bus.outcome(with.id()).await.properties, "traceparent").as_deref(),
        Some(traceparent.as_str())
    );
    let outcome = rig.process(&without).await;
    let none = FieldTable::default();
    let table = outcome.properties.headers().as_ref().unwrap_or(&none).inner();
    assert!(!table.contains_key("traceparent"), "{:?}", table.iter().collect::<Vec<(_, &AMQPValue)>>());
}

#[tokio::test]
async fn an_unreachable_or_hanging_collector_disturbs_nothing() {
    // It accepts connections and never responds.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let absent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let [hangs, away] = [&silent, &absent].map(|listener| format!("http://{}", listener.local_addr().unwrap()));
    drop(absent);
    for endpoint in [hangs, away.clone()] {
        let rig = rig().set("tracing", "otlp_endpoint", endpoint.as_str()).start().await;
        let events: Vec<Event> = (0..20).map(|_| handoff("web")).collect();
        rig.bus.publish_all(&events).await;
        rig.bus.outcomes_of(&events).await;
        if endpoint == away {
            let worker = rig.worker();
            eventually("a word about it", async || worker.logged("could not export traces")).await;
        }
        // The worker exits cleanly, with spans that nothing collects.
        rig.nothing_is_left().await;
    }
}
