//! The way from a message's bytes to an event.

use super::envelope::Envelope;
use super::frame::{Data, Frame};
use super::ids::{EventId, EventKey, OrganizationId};
use super::model::{Body, Event};
use super::problem::Problem;
use super::rejection::Rejection;
use super::{handoff, resolution, surrogate, webhook};

/// What a message may not exceed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// `worker.max_event_bytes`: longest body, in bytes.
    pub max_event_bytes: usize,
}

/// What a message turned out to be.
#[derive(Clone, PartialEq, Debug)]
pub enum Decoded {
    /// One event.
    Event(Event),
    /// A webhook's array of several conversations; each piece is to be published in the message's place.
    Several(Vec<Piece>),
}

/// One conversation of an array, as a complete message of its own; the same bytes for the same input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Its AMQP `message-id`, at most 255 bytes, and so its event id.
    pub message_id: String,
    /// A webhook with this one conversation.
    pub body: Vec<u8>,
}

/// Reads a message in whichever dialect it is written: native, public webhook or CloudEvents 1.0.
/// Pure and total: any bytes give an answer.
pub fn decode(envelope: &Envelope, body: &[u8], limits: &Limits) -> Result<Decoded, Box<Rejection>> {
    decode_once(envelope, body, *limits).or_else(|rejection| match surrogate::mended(body) {
        // Half a character in the name of a field, or in what a dead letter's headers are read from.
        Some(mended) => decode_once(envelope, &mended, *limits),
        None => Err(rejection),
    })
}

fn decode_once(envelope: &Envelope, body: &[u8], limits: Limits) -> Result<Decoded, Box<Rejection>> {
    let frame = Frame::read(envelope, body, limits);
    read(&frame).map_err(|problem| Box::new(problem.reject(frame.seen())))
}

fn read(frame: &Frame<'_>) -> Result<Decoded, Problem> {
    if let Some(fault) = &frame.fault {
        return Err(fault.clone());
    }
    let Some(event) = frame.event.text()? else {
        return Err(frame.event.missing("an event's name, session.handoff say"));
    };
    match event.as_str() {
        "session.handoff" => one(frame, |data| handoff::read(data).map(Box::new).map(Body::Handoff)),
        "session.resolved" => one(frame, |data| resolution::read(data).map(Body::Resolution)),
        webhook::NAME => webhook::read(frame),
        other => Err(Problem::unsupported(frame.event.path(), other)),
    }
}

/// A native event: everything but its data is the same for all.
fn one(frame: &Frame<'_>, body: impl FnOnce(Data<'_>) -> Result<Body, Problem>) -> Result<Decoded, Problem> {
    let organization_id = organization(frame)?;
    let Some(event_id) = frame.event_id()? else {
        return Err(frame.event_id.missing("an id, here or as the AMQP message_id"));
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

/// Required of every event.
pub(super) fn organization(frame: &Frame<'_>) -> Result<OrganizationId, Problem> {
    match frame.organization_id.id()? {
        Some(id) => Ok(OrganizationId::from(id)),
        None => Err(frame.organization_id.missing("an organization's id")),
    }
}
