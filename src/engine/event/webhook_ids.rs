//! Ids that the webhook leaves out, derived from its content.

use jiff::Timestamp;
use uuid::Uuid;

/// Name of the event.
pub(super) const NAME: &str = "conversation.closed";

/// Namespace of the ids derived here; an arbitrary constant.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_8f0e_52a7_4c3b_9a64_d3e0_7b1c_25f8);

/// Derives the event id of a conversation that has none from organization, event, conversation and timestamp.
/// Ids contain no NUL, so it separates them.
pub(super) fn digest(organization: &str, conversation: &str, timestamp: Option<Timestamp>) -> String {
    let timestamp = timestamp.map(|at| at.to_string()).unwrap_or_default();
    named(&[organization, NAME, conversation, &timestamp])
}

/// Returns a UUIDv5 of the parts.
pub(super) fn named(parts: &[&str]) -> String {
    Uuid::new_v5(&NAMESPACE, parts.join("\0").as_bytes()).to_string()
}
