//! In: the body of a message and its envelope.
//! Out: an `Event` (a handoff or a resolution), several pieces, or a `Rejection` that names the field at fault.
//! Absent: clock, I/O, logging and the configured organizations.

mod amqp_1_0;
mod cloudevents;
mod decode;
mod decoded;
mod envelope;
mod field;
mod frame;
mod handoff;
mod ids;
mod instant;
mod lax;
mod locate;
mod model;
mod pieces;
mod problem;
mod rejection;
mod resolution;
mod schema;
mod seen;
mod surrogate;
mod text;
mod webhook;
mod webhook_ids;
mod wire;

pub use decode::decode;
pub use decoded::{Decoded, Limits, Piece};
pub use envelope::Envelope;
pub use ids::{ContactId, EventId, EventKey, IncidentId, OrganizationId, SessionId, WorkItemId};
pub use model::{Body, Channel, Customer, Event, Handoff, Kind, Message, Resolution, Route, Verdict};
pub use rejection::{Rejection, RejectionReason, Seen};
pub use schema::schemas;

#[cfg(any(test, feature = "samples"))]
pub mod samples;
#[cfg(test)]
mod tests;
