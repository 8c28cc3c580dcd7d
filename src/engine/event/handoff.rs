//! Decoding of `session.handoff`.

use super::field::{self, LONGEST_ID, missing};
use super::frame::Data;
use super::ids::SessionId;
use super::instant;
use super::lax::Text;
use super::model::{Channel, Customer, Handoff, Message};
use super::problem::DecodeProblem;
use super::wire::{CustomerData, HandoffData, MessageData};

/// Validates `data` and converts it into the model.
pub(super) fn read(data: Data<'_>) -> Result<Handoff, DecodeProblem> {
    let path = data.path;
    let wire: HandoffData = field::object(data.json, path)?.ok_or_else(|| missing(path, "an object"))?;
    Ok(Handoff {
        session_id: session(wire.session_id, &format!("{path}.session_id"))?,
        channel: match channel(wire.channel, path)? {
            Some(channel) => channel,
            None => return Err(missing(&format!("{path}.channel"), "a channel such as email")),
        },
        summary: wire.summary.trimmed(),
        classification: wire.classification.trimmed(),
        sentiment: wire.sentiment.trimmed(),
        customer: wire.customer.0.map(Customer::from).unwrap_or_default(),
        transcript: wire.transcript.0.into_iter().map(Message::from).collect(),
    })
}

/// Reads the conversation id, which every event requires.
pub(super) fn session(text: Text, path: &str) -> Result<SessionId, DecodeProblem> {
    match field::id(text.0, path)? {
        Some(id) => Ok(SessionId::from(id)),
        None => Err(missing(path, "the conversation id")),
    }
}

/// Reads the channel. It appears in headers, lists and keys, so the rules for ids apply: at most 255 characters, no control characters.
pub(super) fn channel(text: Text, path: &str) -> Result<Option<Channel>, DecodeProblem> {
    let Some(text) = text.0 else {
        return Ok(None);
    };
    let path = format!("{path}.channel");
    field::without_controls(text.trim(), &path, "a channel")?;
    let channel = Text(Some(text)).trimmed().map(|text| Channel::new(&text));
    let length = channel.as_ref().map_or(0, |channel| channel.as_str().chars().count());
    if length > LONGEST_ID {
        return Err(DecodeProblem::at(path, format!("{length} characters, expected at most {LONGEST_ID}")));
    }
    Ok(channel)
}

impl From<CustomerData> for Customer {
    fn from(wire: CustomerData) -> Self {
        Self { name: wire.name.trimmed(), email: wire.email.trimmed(), phone: wire.phone.trimmed() }
    }
}

impl From<MessageData> for Message {
    fn from(wire: MessageData) -> Self {
        Self {
            // An unreadable time is no reason to reject the handoff.
            timestamp: wire.timestamp.0.and_then(|text| instant::parse(&text)),
            sender: wire.sender.verbatim(),
            name: wire.name.trimmed(),
            text: wire.text.verbatim(),
        }
    }
}
