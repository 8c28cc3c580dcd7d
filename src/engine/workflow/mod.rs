//! In: an event, its organization's settings, its progress, the store's memory, the time.
//! Out: the next step or the outcome; after a fault, the retry decision.
//! Absent: clocks, randomness, I/O, logging.
//!
//! The workflow owns every decision about an event. Each step may be repeated: created records have derived keys, and effects without
//! a key (closing a case, moving it to a queue) are checked before they are repeated. Receipts add up to the progress, which the store
//! keeps, so that a restart continues at the step that failed.

mod after;
mod announce;
mod apply;
pub mod contact_limit;
mod deaths;
mod decide;
mod fault;
mod finish;
mod history;
mod life;
mod memory;
mod new_run;
mod outcome;
mod progress;
mod receipt;
mod record;
mod refusal;
mod settings;
mod step;
mod time;
pub mod view;

pub use after::{FailedAttempt, Policy, RetryDecision, after, elapsed, recheck_after, rung, shortest_rung};
pub use announce::{OutcomeData, OutcomeError, OutcomeEvent, SessionMeta, render};
pub use apply::{IllegalReceipt, apply, learn};
pub use deaths::{Deaths, deaths};
pub use decide::{Decision, decide};
pub use fault::{Fault, Remedy};
pub use history::{HistoryItem, history};
pub use life::{LeftOut, Life, MILESTONES, Milestone, MilestoneKind, ReplayMark};
pub use memory::{Learned, LearnedChange, Memory, SessionEntry, SessionState};
pub use new_run::{discarded, new_run};
pub use outcome::{Failure, IncidentRef, Outcome, Reason, Status, Warning};
pub use progress::{ContactProgress, Intent, OpenCase, PostedIncident, Progress};
pub use receipt::{Fit, Receipt};
pub use record::{HISTORY_LIMIT, HistoryEntry, Phase, Record};
pub use refusal::{allow_unlinked, finalize_unreadable};
pub use settings::{CloseWith, ContactFailure, FallbackCustomer, QueueAssignment, Settings};
pub use step::{Closing, LinkedCustomer, NoteForm, QueueBinding, Step, StepName};
pub use time::Time;

#[cfg(any(test, feature = "samples"))]
pub mod samples;
#[cfg(test)]
mod tests;
