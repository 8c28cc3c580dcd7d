//! A decoded message, and the limits of one.

use bytes::Bytes;

use super::model::Event;

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
    pub body: Bytes,
}
