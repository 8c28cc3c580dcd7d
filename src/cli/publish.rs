//! `publish`: publishes event files; the broker confirms each event.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use handoffd_engine::event::Channel;
use handoffd_engine::ports::bus::Announced;
use indicatif::{ProgressBar, ProgressStyle};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::arguments::Publish;
use super::shell::print;
use crate::app;
use crate::config::Config;
use crate::rabbit::{PersistentMessage, Publisher};

/// Maximum number of unconfirmed publishes.
const OUTSTANDING: usize = 256;
/// Longest AMQP message id, in bytes.
const LONGEST_MESSAGE_ID: usize = 255;

/// An event to publish.
struct EventToPublish {
    routing_key: String,
    message_id: Option<String>,
    body: Vec<u8>,
}

/// Publishes the events of the files and prints the result.
pub(super) async fn publish(config: &Config, options: &Publish) -> Result<()> {
    let mut events = Vec::new();
    for path in &options.files {
        events.extend(read(path).with_context(|| format!("cannot publish {}", path.display()))?);
    }
    let total = options.count.unwrap_or(events.len() as u64);
    let publisher = Publisher::connect(&app::bus_options(config)).await?;
    let unrouted = send_all(&publisher, config, &events, total, options.rate).await;
    publisher.close().await;
    let unrouted = unrouted?;
    print(&format!("{total} published to {}, each confirmed by the broker\n", config.broker.events_exchange));
    if unrouted > 0 {
        bail!("{unrouted} of them reached no queue; start a worker, which binds {}", config.broker.queue);
    }
    Ok(())
}

async fn send_all(
    publisher: &Publisher,
    config: &Config,
    events: &[EventToPublish],
    total: u64,
    rate: Option<u32>,
) -> Result<u64> {
    let bar = progress_bar(total);
    let mut tick = rate.map(|rate| tokio::time::interval(Duration::from_secs(1) / rate));
    let (mut outstanding, mut unrouted) = (FuturesUnordered::new(), 0);
    let mut round = None;
    for (turn, (place, event)) in (0..total).zip(events.iter().enumerate().cycle()) {
        if let Some(tick) = &mut tick {
            tick.tick().await;
        }
        if place == 0 && turn > 0 {
            round = Some(Uuid::new_v4());
        }
        outstanding.push(send(publisher, config, event, round));
        if outstanding.len() >= OUTSTANDING {
            unrouted += count(outstanding.next().await, &bar)?;
        }
    }
    let rest: Vec<_> = outstanding.collect().await;
    for sent in rest {
        unrouted += count(Some(sent), &bar)?;
    }
    bar.finish_and_clear();
    Ok(unrouted)
}

fn count(sent: Option<Result<Announced>>, bar: &ProgressBar) -> Result<u64> {
    bar.inc(1);
    Ok(u64::from(sent.transpose()? == Some(Announced::Unrouted)))
}

/// Publishes an event: as it is the first time, with new ids in each further round.
async fn send(
    publisher: &Publisher,
    config: &Config,
    event: &EventToPublish,
    round: Option<Uuid>,
) -> Result<Announced> {
    let unchanged = || (event.message_id.clone(), event.body.clone());
    let (message_id, body) = round.map_or_else(unchanged, |round| renamed(event, round));
    let message = PersistentMessage {
        exchange: &config.broker.events_exchange,
        routing_key: &event.routing_key,
        body: &body,
        content_type: "application/json",
        message_id: message_id.as_deref(),
        headers: &[],
    };
    Ok(publisher.publish(message).await?)
}

/// Copy of the event with a new id, since with the same id it would be a duplicate, and with a session of this round: events
/// of one session wait for each other, and a resolution closes all its cases.
fn renamed(event: &EventToPublish, round: Uuid) -> (Option<String>, Vec<u8>) {
    let id = format!("evt_{}", Uuid::new_v4().simple());
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(&event.body) else {
        return (Some(id), event.body.clone());
    };
    for name in ["event_id", "id"] {
        if fields.contains_key(name) {
            fields.insert(name.to_owned(), Value::String(id.clone()));
        }
    }
    match fields.get_mut("data") {
        Some(Value::Array(all)) => all.iter_mut().for_each(|data| rename_session(data, round)),
        Some(data) => rename_session(data, round),
        None => {}
    }
    (Some(id), Value::Object(fields).to_string().into_bytes())
}

fn rename_session(data: &mut Value, round: Uuid) {
    for name in ["session_id", "conversation_id"] {
        if let Some(Value::String(session)) = data.get_mut(name) {
            *session = format!("ses_{}", Uuid::new_v5(&round, session.as_bytes()).simple());
        }
    }
}

/// Reads a file of one JSON document, or of one per line. Anything else is published unchanged, for the worker to reject.
fn read(path: &Path) -> Result<Vec<EventToPublish>> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes)?;
    } else {
        bytes = std::fs::read(path)?;
    }
    if bytes.trim_ascii().is_empty() {
        bail!("the file is empty; expected one event, or one event per line");
    }
    let lines: Vec<&[u8]> =
        bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()).collect();
    let bodies = if is_one_a_line(&lines) { lines } else { vec![bytes.as_slice()] };
    Ok(bodies.into_iter().map(event).collect())
}

/// Returns true if the file has one event per line. An invalid line among others is one bad event and does not affect the rest.
fn is_one_a_line(lines: &[&[u8]]) -> bool {
    let braced = |line: &&[u8]| line.starts_with(b"{") && line.ends_with(b"}");
    let complete = |line: &&[u8]| braced(line) && serde_json::from_slice::<IgnoredAny>(line).is_ok();
    lines.len() > 1 && (lines.first().is_some_and(complete) || lines.iter().all(braced))
}

fn event(body: &[u8]) -> EventToPublish {
    let fields: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let id = text(fields.get("event_id")).or_else(|| text(fields.get("id")));
    // AMQP allows no longer message id; the worker rejects the event.
    let id = id.filter(|id| id.len() <= LONGEST_MESSAGE_ID);
    EventToPublish { routing_key: routing_key(&fields), message_id: id, body: body.to_vec() }
}

/// Routing key of an event. A body that is not an event gets that of a handoff, since the worker trusts the body.
fn routing_key(fields: &Map<String, Value>) -> String {
    let named = fields.get("event").or_else(|| fields.get("type")).and_then(Value::as_str);
    let channel = fields.get("data").and_then(|data| data.get("channel")?.as_str()).unwrap_or("unknown");
    let channel = Channel::new(channel);
    match named.unwrap_or_default() {
        "conversation.closed" => "conversation.closed".to_owned(),
        "session.resolved" => format!("session.resolved.{channel}"),
        _ => format!("session.handoff.{channel}"),
    }
}

fn progress_bar(total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {per_sec} {eta}");
    // Hidden unless standard error is a terminal; the template is a constant that parses.
    ProgressBar::new(total).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_event_has_an_id_of_its_own_and_the_session_of_its_round() {
        let again = |body: &str, round| {
            let (id, body) = renamed(&event(body.as_bytes()), round);
            (id.unwrap(), serde_json::from_slice::<Value>(&body).unwrap())
        };
        let handoff = r#"{"event":"session.handoff","event_id":"evt_1","data":{"session_id":"ses_1","channel":"web"}}"#;
        let closed =
            r#"{"event":"conversation.closed","data":[{"conversation_id":"ses_1"},{"conversation_id":"ses_2"}]}"#;
        let (round, other) = (Uuid::new_v4(), Uuid::new_v4());
        let ((id, first), (second_id, second)) = (again(handoff, round), again(handoff, other));
        assert_eq!(first["event_id"], id);
        assert!(id != second_id && id != "evt_1");
        assert_ne!(first["data"]["session_id"], second["data"]["session_id"]);
        assert_eq!(first["data"]["channel"], "web");
        let (_, closed) = again(closed, round);
        assert_eq!(closed["data"][0]["conversation_id"], first["data"]["session_id"], "it resolves the same session");
        assert_ne!(closed["data"][1]["conversation_id"], first["data"]["session_id"]);
    }

    #[test]
    fn the_channel_of_a_routing_key_is_the_workers() {
        for (body, key) in [
            (r#"{"event":"session.handoff","data":{"channel":" WhatsApp "}}"#, "session.handoff.whatsapp"),
            (r#"{"event":"session.resolved","data":{"channel":"Web"}}"#, "session.resolved.web"),
            (r#"{"event":"session.handoff"}"#, "session.handoff.unknown"),
            ("[]", "session.handoff.unknown"),
        ] {
            assert_eq!(event(body.as_bytes()).routing_key, key, "{body}");
        }
    }

    #[test]
    fn an_invalid_line_is_one_bad_event() {
        let lines = |text: &'static str| is_one_a_line(&text.lines().map(str::as_bytes).collect::<Vec<_>>());
        assert!(lines("{\"event\":1}\nnot json\n{\"event\":2}"));
        assert!(lines("{\"event\":1}\n{\"event\":2"));
        assert!(lines("{broken}\n{\"event\":2}"));
        assert!(!lines("{\n\"event\": {}\n}"));
        assert!(!lines("{\"event\":1}"));
    }

    #[test]
    fn an_id_too_long_for_a_message_id_is_sent_in_the_body_only() {
        let with = |id: String| event(json_of(&id).as_bytes()).message_id;
        assert_eq!(with("a".repeat(255)), Some("a".repeat(255)));
        assert_eq!(with("a".repeat(256)), None);
    }

    fn json_of(id: &str) -> String {
        format!(r#"{{"event":"session.handoff","event_id":"{id}"}}"#)
    }
}
