//! In: entries of dead letters; an operator's order to replay or discard them.
//! Out: the pages about dead letters: groups, lists, details, the dry run, the progress of a job.
//! Absent: reading the queue, which the dead-letter API does; customer text, except of one dead letter on request.

pub(super) mod confirm;
pub(super) mod edit;
pub(super) mod filter;
pub(super) mod jobs;
pub(super) mod list;
pub(super) mod one;
pub(super) mod result;

#[cfg(test)]
pub(super) mod tests;
