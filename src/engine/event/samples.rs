//! Sample events for tests.

#![allow(clippy::missing_panics_doc, reason = "for tests")]

use bytes::Bytes;

use super::{Body, Decoded, Envelope, Event, Handoff, Limits, Resolution, decode};

const LIMITS: Limits = Limits { max_event_bytes: 1_048_576 };

/// Returns the contract's example: a handoff by email.
pub fn email() -> Event {
    event(include_bytes!("../../../tests/it/fixtures/events/handoff-email.json"))
}

/// Returns the contract's example after `change`.
pub fn handoff(change: impl FnOnce(&mut Handoff)) -> Event {
    let mut event = email();
    if let Body::Handoff(handoff) = &mut event.body {
        change(handoff);
    }
    event
}

/// Returns a resolution of the example's session after `change`.
pub fn resolution(change: impl FnOnce(&mut Resolution)) -> Event {
    let mut event = event(
        br#"{"event":"session.resolved","event_id":"evt_01JDB1","organization_id":"org_acme",
             "timestamp":"2026-11-22T11:00:00Z","data":{"session_id":"ses_9f2c"}}"#,
    );
    if let Body::Resolution(resolution) = &mut event.body {
        change(resolution);
    }
    event
}

/// Decodes a body that holds one event.
pub fn event(body: &[u8]) -> Event {
    match decode(&Envelope::default(), &Bytes::copy_from_slice(body), &LIMITS) {
        Ok(Decoded::Event(event)) => event,
        other => panic!("expected an event, got {other:?}"),
    }
}
