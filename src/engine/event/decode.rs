//! Decoder from the bytes of a message to an event.
//!
//! Decoding is pure and total: every input gives an event, pieces or a rejection, and never a panic. A rejection names the field at
//! fault and never quotes customer text, because its text reaches headers, logs and lists.

use super::envelope::Envelope;
use super::frame::{Data, Frame};
use super::ids::{EventId, EventKey, OrganizationId};
use super::model::{Body, Event};
use super::problem::DecodeProblem;
use super::rejection::Rejection;
use super::{handoff, resolution, surrogate, webhook};

/// Limits of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// `worker.max_event_bytes`: longest body, in bytes.
    pub max_event_bytes: usize,
}

/// Content of a decoded message.
#[derive(Clone, PartialEq, Debug)]
pub enum Decoded {
    /// One event.
    Event(Event),
    /// Several conversations from a webhook's array; each piece is published in place of the message.
    Split(Vec<Piece>),
}

/// One conversation of an array as a complete message. The same input always gives the same bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    /// AMQP `message-id` of the piece, at most 255 bytes, which becomes its event id.
    pub message_id: String,
    /// Webhook body with this one conversation.
    pub body: Vec<u8>,
}

/// Decodes a message in any dialect: native, public webhook or CloudEvents 1.0.
/// Pure and total: every input gives a result.
pub fn decode(envelope: &Envelope, body: &[u8], limits: &Limits) -> Result<Decoded, Box<Rejection>> {
    decode_once(envelope, body, *limits).or_else(|rejection| match surrogate::replace_lone_surrogates(body) {
        // A lone surrogate in a field name, or in a value that a dead letter's headers are read from.
        Some(mended) => decode_once(envelope, &mended, *limits),
        None => Err(rejection),
    })
}

fn decode_once(envelope: &Envelope, body: &[u8], limits: Limits) -> Result<Decoded, Box<Rejection>> {
    let frame = Frame::read(envelope, body, limits);
    read(&frame).map_err(|problem| Box::new(problem.reject(frame.seen())))
}

fn read(frame: &Frame<'_>) -> Result<Decoded, DecodeProblem> {
    if let Some(fault) = &frame.fault {
        return Err(fault.clone());
    }
    let Some(event) = frame.event.text()? else {
        return Err(frame.event.missing("an event name such as session.handoff"));
    };
    match event.as_str() {
        "session.handoff" => one(frame, |data| handoff::read(data).map(Box::new).map(Body::Handoff)),
        "session.resolved" => one(frame, |data| resolution::read(data).map(Body::Resolution)),
        webhook::NAME => webhook::read(frame),
        other => Err(DecodeProblem::unsupported(frame.event.path(), other)),
    }
}

/// Reads a native event. Everything but its data is the same for all events.
fn one(
    frame: &Frame<'_>,
    body: impl FnOnce(Data<'_>) -> Result<Body, DecodeProblem>,
) -> Result<Decoded, DecodeProblem> {
    let organization_id = organization(frame)?;
    let Some(event_id) = frame.event_id()? else {
        return Err(frame.event_id.missing("an id here or in the AMQP message_id"));
    };
    let Some(timestamp) = frame.timestamp.instant()? else {
        return Err(frame.timestamp.missing("an RFC 3339 time"));
    };
    Ok(Decoded::Event(Event {
        key: EventKey { organization_id, event_id: EventId::from(event_id) },
        timestamp: Some(timestamp),
        body: body(frame.data()?)?,
    }))
}

/// Reads the organization id, which every event requires.
pub(super) fn organization(frame: &Frame<'_>) -> Result<OrganizationId, DecodeProblem> {
    match frame.organization_id.id()? {
        Some(id) => Ok(OrganizationId::from(id)),
        None => Err(frame.organization_id.missing("the organization id")),
    }
}
