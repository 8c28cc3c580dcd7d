//! In: the bytes of a message and what travels beside them.
//! Out: an `Event` (a handoff or a resolution), several of them, or a `Rejection` that names the field at fault.
//! Absent: everything else; no clock, no I/O, no logging, no knowledge of organizations.

mod envelope;
mod ids;
mod model;
mod rejection;

pub use envelope::Envelope;
pub use ids::{ContactId, EventId, EventKey, IncidentId, OrganizationId, SessionId, WorkItemId};
pub use model::{Body, Channel, Customer, Event, Handoff, Kind, Message, Resolution, Route, Verdict};
pub use rejection::{Rejection, RejectionReason, Seen};
