//! Transcripts are never lost: a description that is too long is completed by a note.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::event::{Event, handoff};
use crate::support::rig::{Rig, rig};

#[tokio::test]
async fn a_long_transcript_is_cut_and_attached_in_full() {
    let rig = rig().start().await;
    let event = talk(100);
    let steps = ["contacts.query", "contacts.create", "incidents.create", "annotations.create"];
    assert_eq!(rig.requests_for(&event).await, steps);
    let shown = description(&rig);
    assert!(units(&shown) <= 2000, "{}", units(&shown));
    let (kept, last) = shown.rsplit_once('\n').unwrap();
    let whole = uncut(&event);
    assert!(whole.starts_with(&format!("{kept}\n")), "cut at a message's boundary");
    let left = 100 - kept.lines().filter(|line| line.contains("] Customer: ")).count();
    assert_eq!(last, format!("[… {left} more messages in the attached transcript]"));

    let note = rig.crm.sent("annotations.create");
    let body = STANDARD.decode(note["documentbody"].as_str().unwrap()).unwrap();
    assert_eq!(String::from_utf8(body).unwrap(), whole);
    let incident = rig.crm.incidents()[0]["incidentid"].as_str().unwrap().to_owned();
    assert_eq!(note["objectid_incident@odata.bind"], format!("/incidents({incident})"));
    assert_eq!(note["filename"], format!("transcript-{}.txt", event.session()));
    assert_eq!((&note["mimetype"], &note["isdocument"]), (&json!("text/plain"), &json!(true)));
    note["annotationid"].as_str().unwrap().parse::<uuid::Uuid>().unwrap();
    assert!(note["subject"].is_string());
}

#[tokio::test]
async fn a_huge_message_is_cut_inside() {
    let rig = rig().start().await;
    let event = talk(1).with("/data/transcript/0/text", "😀".repeat(3000));
    rig.hand_off(&event).await;
    let shown = description(&rig);
    assert!(units(&shown) <= 2000);
    assert!(shown.contains("] Customer: 😀😀"));
    assert!(shown.ends_with("\n[… 0 more messages in the attached transcript]"), "{shown}");
    attached(&rig, &event);
}

#[tokio::test]
async fn a_huge_summary_is_cut_and_no_other_line_of_the_header() {
    let rig = rig().start().await;
    let event = talk(2).with("/data/summary", "s".repeat(5000));
    rig.hand_off(&event).await;
    let shown = description(&rig);
    assert!(units(&shown) <= 2000);
    for line in ["Channel: email\n", "Classification: Billing\n", "  Phone: ", "\n\nTranscript:"] {
        assert!(shown.contains(line), "{line}");
    }
    attached(&rig, &event);
}

#[tokio::test]
async fn a_higher_limit_shows_the_whole_transcript() {
    let rig = rig().organize("description_limit", 100_000).start().await;
    rig.crm.environment().configure(&json!({ "description_limit": 1_048_576 })).unwrap();
    let event = talk(100);
    rig.hand_off(&event).await;
    assert_eq!(description(&rig), uncut(&event));
    assert_eq!(rig.crm.count("annotations.create"), 0);
}

#[tokio::test]
async fn speakers_and_gaps_have_the_contracts_format() {
    let rig = rig().start().await;
    let at = "2026-11-22T11:11:02.900+01:00";
    let talk = json!([
        { "timestamp": at, "sender": "contact", "text": "one" },
        { "sender": "human_agent", "text": "two" },
        { "sender": "agent", "name": "Bo", "text": "three" },
        { "sender": "system", "text": "four" },
        { "sender": "Parrot", "text": "five" },
    ]);
    let event = handoff("api").with("/data/transcript", talk).without("/data/summary").without("/data/classification");
    rig.hand_off(&event.without("/data/sentiment")).await;
    let shown = description(&rig);
    assert!(
        shown.starts_with("Channel: api\nSummary: -\nClassification: -\nSentiment: -\nCustomer Details:\n"),
        "{shown}"
    );
    let lines = "\n\nTranscript:\n[2026-11-22T10:11:02Z] Customer: one\n[-] Agent: two\n[-] Bo (agent): three\n[-] System: four\n[-] Parrot: five";
    assert!(shown.ends_with(lines), "{shown}");
    rig.hand_off(&handoff("email").with("/data/transcript", json!([]))).await;
    assert!(rig.crm.incidents()[1]["description"].as_str().unwrap().ends_with("\n\nTranscript:"));
}

/// Handoff with a number of messages of its customer.
fn talk(messages: usize) -> Event {
    let mark = uuid::Uuid::new_v4().simple().to_string();
    let transcript: Vec<Value> = (0..messages)
        .map(|number| json!({ "timestamp": "2026-11-22T10:11:02Z", "sender": "customer", "text": format!("{number} of {mark}") }))
        .collect();
    handoff("email").with("/data/transcript", transcript)
}

/// The whole description, in the contract's format.
fn uncut(event: &Event) -> String {
    let data = &event.0["data"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let customer = &data["customer"];
    let mut whole = format!(
        "Channel: email\nSummary: {}\nClassification: Billing\nSentiment: negative\nCustomer Details:\n  Name: {}\n  Email: {}\n  Phone: {}\n\nTranscript:",
        text(&data["summary"]),
        text(&customer["name"]),
        text(&customer["email"]),
        text(&customer["phone"]),
    );
    for message in data["transcript"].as_array().unwrap() {
        write!(whole, "\n[{}] Customer: {}", text(&message["timestamp"]), text(&message["text"])).unwrap();
    }
    whole
}

fn description(rig: &Rig) -> String {
    rig.crm.incidents()[0]["description"].as_str().unwrap().to_owned()
}

fn attached(rig: &Rig, event: &Event) {
    let body = STANDARD.decode(rig.crm.sent("annotations.create")["documentbody"].as_str().unwrap()).unwrap();
    assert_eq!(String::from_utf8(body).unwrap(), uncut(event));
}

/// Length in UTF-16 units, as Dynamics counts.
fn units(text: &str) -> usize {
    text.encode_utf16().count()
}
