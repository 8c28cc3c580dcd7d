//! Decoding of `session.handoff`.

use bytes::Bytes;

use super::field::{self, LONGEST_ID, missing};
use super::frame::Data;
use super::ids::SessionId;
use super::instant;
use super::lax::Text;
use super::model::{Channel, Customer, Handoff, Message};
use super::problem::DecodeProblem;
use super::wire::{CustomerData, HandoffData, MessageData};

/// Validates `data` and converts it into the model.
pub(super) fn read(data: Data<'_>, body: &Bytes) -> Result<Handoff, DecodeProblem> {
    let path = data.path;
    let wire: HandoffData<'_> = field::object(data.json, path)?.ok_or_else(|| missing(path, "an object"))?;
    Ok(Handoff {
        session_id: session(wire.session_id, &format!("{path}.session_id"))?,
        channel: match channel(wire.channel, path)? {
            Some(channel) => channel,
            None => return Err(missing(&format!("{path}.channel"), "a channel such as email")),
        },
        summary: wire.summary.trimmed(body),
        classification: wire.classification.trimmed(body),
        sentiment: wire.sentiment.trimmed(body),
        customer: wire.customer.0.map(|wire| customer(wire, body)).unwrap_or_default(),
        transcript: wire.transcript.0.into_iter().map(|wire| message(wire, body)).collect(),
    })
}

/// Reads the conversation id, which every event requires.
pub(super) fn session(text: Text<'_>, path: &str) -> Result<SessionId, DecodeProblem> {
    match field::id(text.0, path)? {
        Some(id) => Ok(SessionId::from(id)),
        None => Err(missing(path, "the conversation id")),
    }
}

/// Reads the channel. It appears in outcomes, lists and the store, so the rules for ids apply: at most 255 characters, no NUL.
pub(super) fn channel(text: Text<'_>, path: &str) -> Result<Option<Channel>, DecodeProblem> {
    let Some(text) = text.0 else {
        return Ok(None);
    };
    let path = format!("{path}.channel");
    field::without_nul(&text, &path, "a channel")?;
    let channel = Text(Some(text)).trimmed(&Bytes::new()).map(|text| Channel::new(&text));
    let length = channel.as_ref().map_or(0, |channel| channel.as_str().chars().count());
    if length > LONGEST_ID {
        return Err(DecodeProblem::at(path, format!("{length} characters, expected at most {LONGEST_ID}")));
    }
    Ok(channel)
}

fn customer(wire: CustomerData<'_>, body: &Bytes) -> Customer {
    Customer { name: wire.name.trimmed(body), email: wire.email.trimmed(body), phone: wire.phone.trimmed(body) }
}

fn message(wire: MessageData<'_>, body: &Bytes) -> Message {
    Message {
        // An unreadable time is no reason to reject the handoff.
        timestamp: wire.timestamp.0.and_then(|text| instant::parse_utc(&text)),
        sender: wire.sender.verbatim(body),
        name: wire.name.trimmed(body),
        text: wire.text.verbatim(body),
    }
}
