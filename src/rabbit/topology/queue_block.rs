//! Reasons for which an organization's queue is not used. They block that organization alone; the worker tries again.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::declare::TopologyError;
use crate::rabbit::refusal::{self, StartError};

/// First and longest pause before a queue that the broker refuses is tried again.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Block of an organization by its queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueueBlock {
    /// Start.
    pub since: Timestamp,
    /// Error.
    pub error: String,
    /// Recommended action.
    pub advice: String,
}

/// Trouble of an organization's queue.
pub(super) enum QueueTrouble<'a> {
    /// The queue is missing and may not be declared.
    Missing,
    /// The broker does not answer for it.
    Unanswered,
    /// The broker refuses its declaration.
    Refused(&'a TopologyError),
    /// This user may not consume it.
    Unreadable(&'a lapin::Error),
}

/// Block, and the time of the next attempt.
pub(super) struct BlockedQueue {
    pub(super) block: QueueBlock,
    /// True if the queue does not exist, as far as is known.
    pub(super) is_missing: bool,
    /// True if it exists and can't be consumed, which its consumer tries again.
    pub(super) is_unreadable: bool,
    pub(super) next: Instant,
    pause: Duration,
}

impl BlockedQueue {
    /// Creates the block, which continues an earlier one.
    pub(super) fn new(queue: &str, trouble: &QueueTrouble<'_>, before: Option<&Self>) -> Self {
        let (error, advice) = trouble.in_words(queue);
        let pause = match trouble {
            // They end as soon as someone else creates the queue or a leader is elected.
            QueueTrouble::Missing | QueueTrouble::Unanswered => Duration::ZERO,
            QueueTrouble::Refused(_) | QueueTrouble::Unreadable(_) => {
                before.map_or(FIRST_PAUSE, |before| (before.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE))
            }
        };
        Self {
            block: QueueBlock { since: before.map_or_else(Timestamp::now, |before| before.block.since), error, advice },
            is_missing: matches!(trouble, QueueTrouble::Missing | QueueTrouble::Unanswered),
            is_unreadable: matches!(trouble, QueueTrouble::Unreadable(_)),
            next: Instant::now() + pause,
            pause,
        }
    }
}

impl QueueTrouble<'_> {
    /// Returns the error and the recommended action.
    fn in_words(&self, queue: &str) -> (String, String) {
        let (error, advice) = match self {
            Self::Missing => (
                format!("the queue `{queue}` is missing, and broker.declare is false"),
                "Create it (`handoffd topology` prints its definition)",
            ),
            Self::Unanswered => (format!("the queue `{queue}` does not answer"), "Check that it has a leader"),
            Self::Refused(TopologyError::Wrong(differs @ StartError::Differs { .. })) => (
                differs.difference(),
                "Delete the queue once it is empty, and create it anew (`handoffd topology` prints its definition) if \
                 broker.declare is false",
            ),
            Self::Refused(TopologyError::Failed(_, error)) if refusal::is_forbidden(error) => (
                format!("no permission to configure the queue `{queue}` ({})", refusal::in_words(error)),
                "Grant it to the user of broker.url, or create the queue and set broker.declare = false",
            ),
            Self::Refused(refused) => (refused.in_words(), "Fix what the broker refuses"),
            Self::Unreadable(error) => (
                format!("no read permission for the queue `{queue}` (403, {})", refusal::in_words(error)),
                "Grant the user of broker.url the `read` permission on it",
            ),
        };
        (error, format!("{advice}. Its events are on hold until then; the worker retries automatically."))
    }
}
