//! Result of a pass through the dead letters.

use handoffd_engine::dead_letters::Counts;
use tokio::task::JoinHandle;

use crate::admin::api::Problem;

/// Pass in progress; returns its observer at its end.
pub(super) type BrowseTask<O> = JoinHandle<(O, BrowseEnd)>;
/// Result of a pass.
pub(super) type BrowseEnd = Result<Counts, Problem>;

/// Returns the problem of a pass that was stopped.
pub(super) fn broken_off() -> Problem {
    Problem::unavailable(
        "stopped early; the remaining dead letters are unchanged, so send the request again".to_owned(),
    )
}
