//! Decodes arbitrary bytes in an arbitrary envelope and checks the invariants of the result.
//!
//! The input is the body, then, each after a NUL: content type, message id, and header names and values alternately. A
//! plain event file is a valid input.

#![no_main]

use std::collections::HashSet;

use bytes::Bytes;
use handoffd_engine::event::{Decoded, Envelope, Event, Limits, Piece, Rejection, decode};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { max_event_bytes: 65_536 };

fuzz_target!(|input: &[u8]| {
    let mut parts = input.split(|byte| *byte == 0);
    let body = Bytes::copy_from_slice(parts.next().unwrap_or_default());
    let envelope = envelope(parts);
    let answer = decode(&envelope, &body, &LIMITS);
    assert_eq!(answer, decode(&envelope, &body, &LIMITS), "not the same twice");
    match answer {
        Ok(Decoded::Event(event)) => check_event(&event),
        Ok(Decoded::Split(pieces)) => check_pieces(&envelope, &pieces),
        Err(rejection) => check_rejection(&rejection),
    }
});

fn envelope<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Envelope {
    let mut texts = parts.map(|part| String::from_utf8_lossy(part).into_owned());
    let content_type = texts.next();
    let message_id = texts.next();
    let mut headers = Vec::new();
    while let (Some(name), Some(value)) = (texts.next(), texts.next()) {
        headers.push((name, value));
    }
    Envelope { content_type, message_id, headers }
}

fn check_event(event: &Event) {
    for id in [event.key.organization_id.as_str(), event.key.event_id.as_str(), event.session_id().as_str()] {
        let length = id.chars().count();
        assert!((1..=255).contains(&length), "{length} characters");
        assert!(!id.contains('\0'), "{id:?}");
    }
}

fn check_pieces(envelope: &Envelope, pieces: &[Piece]) {
    assert!(pieces.len() > 1);
    let ids: HashSet<_> = pieces.iter().map(|piece| &piece.message_id).collect();
    assert_eq!(ids.len(), pieces.len(), "two pieces share an id");
    for piece in pieces {
        assert!(piece.message_id.len() <= 255);
        let envelope = Envelope { message_id: Some(piece.message_id.clone()), ..envelope.clone() };
        match decode(&envelope, &piece.body, &LIMITS) {
            Ok(Decoded::Event(event)) => {
                check_event(&event);
                assert_eq!(event.key.event_id.as_str(), piece.message_id);
            }
            Ok(Decoded::Split(_)) => panic!("split twice"),
            Err(rejection) => check_rejection(&rejection),
        }
    }
}

fn check_rejection(rejection: &Rejection) {
    let text = rejection.text();
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert!(text.len() < 2_000, "{} bytes of problem", text.len());
}
