//! The names of the headers that are ours (contract 5); all their values are text.

/// Why it was given up.
pub const REASON: &str = "x-handoffd-reason";
/// What went wrong, in one line.
pub const ERROR: &str = "x-handoffd-error";
/// Where it went wrong.
pub const STEP: &str = "x-handoffd-step";
/// How often it was tried.
pub const ATTEMPTS: &str = "x-handoffd-attempts";
/// Which event.
pub const EVENT_ID: &str = "x-handoffd-event-id";
/// Whose.
pub const ORGANIZATION_ID: &str = "x-handoffd-organization-id";
/// Which conversation.
pub const SESSION_ID: &str = "x-handoffd-session-id";
/// When a worker first saw it.
pub const FIRST_SEEN: &str = "x-handoffd-first-seen";
/// When it was given up.
pub const DEAD_AT: &str = "x-handoffd-dead-at";
/// The routing key that it was published with first.
pub const ORIGINAL_ROUTING_KEY: &str = "x-handoffd-original-routing-key";
/// Time since its first failed attempt in milliseconds, without the time that it waited for its organization.
pub const AGE: &str = "x-handoffd-age-ms";
/// Number of times that a destination has refused it since its outcome was decided.
pub const REFUSALS: &str = "x-handoffd-refusals";
/// How often an operator has put it back to work.
pub const REPLAYS: &str = "x-handoffd-replays";
/// When an operator did so last: what is remembered of it from before counts no more.
pub const REPLAYED_AT: &str = "x-handoffd-replayed-at";

/// What tells of a life that has ended: a replayed event begins without.
pub const OF_A_DEATH: &[&str] =
    &[REASON, ERROR, STEP, ATTEMPTS, EVENT_ID, ORGANIZATION_ID, SESSION_ID, FIRST_SEEN, DEAD_AT, AGE, REFUSALS];
