//! Decoder from the bytes of a message to an event.
//!
//! Decoding is pure and total: every input gives an event, pieces or a rejection, and never a panic. A rejection names the field at
//! fault and never quotes customer text, because its text reaches headers, logs and lists.

use bytes::Bytes;

use super::decoded::{Decoded, Limits};
use super::envelope::Envelope;
use super::frame::{Data, Frame};
use super::ids::{EventId, EventKey};
use super::locate::locate;
use super::model::{Body, Event};
use super::problem::DecodeProblem;
use super::rejection::Rejection;
use super::{handoff, resolution, seen, surrogate, webhook, webhook_ids};

/// Decodes a message in any dialect: native, public webhook or CloudEvents 1.0.
/// Pure and total: every input gives a result.
pub fn decode(envelope: &Envelope, body: &Bytes, limits: &Limits) -> Result<Decoded, Box<Rejection>> {
    decode_once(envelope, body, *limits).or_else(|rejection| match surrogate::replace_lone_surrogates(body) {
        Some(mended) => decode_once(envelope, &mended.into(), *limits),
        None => Err(rejection),
    })
}

fn decode_once(envelope: &Envelope, body: &Bytes, limits: Limits) -> Result<Decoded, Box<Rejection>> {
    let frame = locate(envelope, body, limits);
    read(&frame, body).map_err(|problem| Box::new(problem.reject(seen::seen(&frame))))
}

fn read(frame: &Frame<'_>, body: &Bytes) -> Result<Decoded, DecodeProblem> {
    if let Some(fault) = &frame.fault {
        return Err(fault.clone());
    }
    let Some(event) = frame.event.text()? else {
        return Err(frame.event.missing("an event name such as session.handoff"));
    };
    match &*event {
        "session.handoff" => one(frame, |data| handoff::read(data, body).map(Box::new).map(Body::Handoff)),
        "session.resolved" => one(frame, |data| resolution::read(data).map(Body::Resolution)),
        webhook_ids::NAME => webhook::read(frame),
        other => Err(DecodeProblem::unsupported(frame.event.path(), other)),
    }
}

/// Reads a native event. Everything but its data is the same for all events.
fn one(
    frame: &Frame<'_>,
    body: impl FnOnce(Data<'_>) -> Result<Body, DecodeProblem>,
) -> Result<Decoded, DecodeProblem> {
    let organization_id = frame.organization()?;
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
