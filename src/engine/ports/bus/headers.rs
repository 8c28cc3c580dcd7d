//! Names of the worker's own headers (contract 5). All their values are text.

/// Reason that the message was dead-lettered.
pub const REASON: &str = "x-handoffd-reason";
/// Error, in one line.
pub const ERROR: &str = "x-handoffd-error";
/// Step that failed.
pub const STEP: &str = "x-handoffd-step";
/// Number of attempts.
pub const ATTEMPTS: &str = "x-handoffd-attempts";
/// Id of the event.
pub const EVENT_ID: &str = "x-handoffd-event-id";
/// Organization that owns the event.
pub const ORGANIZATION_ID: &str = "x-handoffd-organization-id";
/// Conversation of the event.
pub const SESSION_ID: &str = "x-handoffd-session-id";
/// Time a worker first received the message.
pub const FIRST_SEEN: &str = "x-handoffd-first-seen";
/// Time the message was dead-lettered.
pub const DEAD_AT: &str = "x-handoffd-dead-at";
/// Routing key of the original publish.
pub const ORIGINAL_ROUTING_KEY: &str = "x-handoffd-original-routing-key";
/// Milliseconds since the first failed attempt, without the time spent waiting for the organization.
pub const AGE: &str = "x-handoffd-age-ms";
/// Number of times a destination has refused the message since its outcome was decided.
pub const REFUSALS: &str = "x-handoffd-refusals";
/// Set once its failed outcome is announced, while the dead-letter queue refuses it.
pub const ANNOUNCED: &str = "x-handoffd-announced";
/// Reason that the message waits in a retry queue, as in the metric of retries.
pub const WAIT_REASON: &str = "x-handoffd-wait-reason";
/// Number of replays by operators.
pub const REPLAYS: &str = "x-handoffd-replays";
/// Time of the last replay. Records of the event from before are ignored.
pub const REPLAYED_AT: &str = "x-handoffd-replayed-at";
/// Operator who made the last replay.
pub const REPLAYED_BY: &str = "x-handoffd-replayed-by";

/// Headers that describe an earlier run of the event. A replay removes them.
pub const OF_A_DEATH: &[&str] = &[
    REASON,
    ERROR,
    STEP,
    ATTEMPTS,
    EVENT_ID,
    ORGANIZATION_ID,
    SESSION_ID,
    FIRST_SEEN,
    DEAD_AT,
    AGE,
    REFUSALS,
    ANNOUNCED,
    WAIT_REASON,
];
