//! Jobs on dead letters, one for each replay or discard: progress and results.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use handoffd_engine::dead_letters::{Counts, DeadLetterEntry, LetterChange, OperationResult, RunMode};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::admin::api::Problem;

/// Limit of unfinished jobs. They run one after another anyway.
const MOST_UNDER_WAY: usize = 4;
/// Number of jobs kept, including unfinished ones.
const MOST_KEPT: usize = 20;
/// Results kept per job, and as many failures again; a job may cover 100,000 dead letters.
const MOST_RESULTS: usize = 1000;

/// Known jobs.
#[derive(Default)]
pub struct Jobs(Mutex<VecDeque<Arc<Job>>>);

/// Replay or discard of a selection.
pub(super) struct Job {
    id: Uuid,
    pub(super) stop: CancellationToken,
    progress: watch::Sender<JobView>,
}

/// Progress and results of a job.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Job")]
pub struct JobView {
    /// ID of the job.
    pub id: Uuid,
    /// Action.
    pub action: LetterChange,
    /// True if the job only previews its effect.
    pub dry_run: bool,
    /// State.
    pub state: JobState,
    /// Time of the request.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub asked_at: Timestamp,
    /// Time at which the job ended.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub ended_at: Option<Timestamp>,
    /// Number of dead letters when the job began.
    pub total: u64,
    /// Number of dead letters checked so far.
    pub looked_at: u64,
    /// Number of dead letters selected and handled so far.
    pub matched: u64,
    /// Number of those that failed.
    pub failed: u64,
    /// Reason why the job ended early.
    pub problem: Option<String>,
    /// First 1,000 results and first 1,000 failures; empty in lists of jobs.
    pub results: Vec<DeadLetterEntry>,
    /// Number of results not kept.
    pub results_left_out: u64,
}

/// State of a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waiting for another job, or running.
    Running,
    /// Completed.
    Done,
    /// Stopped; the remaining dead letters are unchanged.
    Stopped,
    /// Failed; the remaining dead letters are unchanged.
    Failed,
}

impl Jobs {
    /// Lists all known jobs, newest first, without their results.
    pub fn list(&self) -> Vec<JobView> {
        let all = self.lock();
        let bare = |job: &Arc<Job>| JobView { results: Vec::new(), ..job.progress.borrow().clone() };
        all.iter().rev().map(bare).collect()
    }

    /// Returns one job.
    pub fn get(&self, id: Uuid) -> Option<JobView> {
        let job = self.find(id)?;
        let view = job.progress.borrow().clone();
        Some(view)
    }

    /// Stops a running job, forgets it and returns its final state.
    pub async fn remove(&self, id: Uuid) -> Option<JobView> {
        let job = self.find(id)?;
        job.stop.cancel();
        let mut progress = job.progress.subscribe();
        // `wait_for` fails only after the sender is dropped, and `job` holds it.
        let view = progress.wait_for(|view| view.state != JobState::Running).await.ok()?.clone();
        self.lock().retain(|job| job.id != id);
        Some(view)
    }

    pub(super) fn add(&self, job: &Arc<Job>) -> Result<(), Problem> {
        let mut all = self.lock();
        if all.iter().filter(|job| job.runs()).count() >= MOST_UNDER_WAY {
            return Err(Problem::too_many(format!(
                "{MOST_UNDER_WAY} jobs are in progress; wait for one to finish, or stop one (DELETE /api/v1/jobs/{{id}})"
            )));
        }
        if all.len() >= MOST_KEPT
            && let Some(oldest) = all.iter().position(|job| !job.runs())
        {
            all.remove(oldest);
        }
        all.push_back(Arc::clone(job));
        Ok(())
    }

    fn find(&self, id: Uuid) -> Option<Arc<Job>> {
        self.lock().iter().find(|job| job.id == id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Job>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    /// Creates an unfinished job, which the token stops.
    pub(super) fn new(view: &JobView, stop: CancellationToken) -> Self {
        Self { id: view.id, stop, progress: watch::Sender::new(view.clone()) }
    }

    fn runs(&self) -> bool {
        self.progress.borrow().state == JobState::Running
    }

    /// Records how many dead letters were checked.
    pub(super) fn looked_at(&self, count: u64, total: u64) {
        self.progress.send_modify(|view| (view.looked_at, view.total) = (count, total));
    }

    /// Records the result of one.
    pub(super) fn note(&self, entry: &DeadLetterEntry) {
        self.progress.send_modify(|view| view.note(entry));
    }

    /// Records the end.
    pub(super) fn end(&self, done: &Result<Counts, Problem>) {
        self.progress.send_modify(|view| {
            view.ended_at = Some(Timestamp::now());
            view.state = match done {
                Ok(tally) if tally.stopped => JobState::Stopped,
                Ok(_) => JobState::Done,
                Err(_) => JobState::Failed,
            };
            view.problem = done.as_ref().err().map(ToString::to_string);
        });
    }
}

impl JobView {
    /// Returns a running replay, for tests.
    #[cfg(test)]
    pub(crate) fn sample() -> Self {
        Self::new(LetterChange::Replay, RunMode::Apply)
    }

    pub(super) fn new(action: LetterChange, effect: RunMode) -> Self {
        Self {
            id: Uuid::new_v4(),
            action,
            dry_run: effect == RunMode::DryRun,
            state: JobState::Running,
            asked_at: Timestamp::now(),
            ended_at: None,
            total: 0,
            looked_at: 0,
            matched: 0,
            failed: 0,
            problem: None,
            results: Vec::new(),
            results_left_out: 0,
        }
    }

    fn note(&mut self, entry: &DeadLetterEntry) {
        let failed = entry.result == Some(OperationResult::Failed);
        self.matched += 1;
        self.failed += u64::from(failed);
        let room = if failed { 2 * MOST_RESULTS } else { MOST_RESULTS };
        if self.results.len() < room {
            self.results.push(entry.clone());
        } else {
            self.results_left_out += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Arc<Job> {
        let view = JobView::new(LetterChange::Replay, RunMode::Apply);
        Arc::new(Job { id: view.id, stop: CancellationToken::new(), progress: watch::Sender::new(view) })
    }

    #[test]
    fn unfinished_jobs_are_limited_and_the_oldest_finished_one_is_dropped_first() {
        let jobs = Jobs::default();
        let running = job();
        jobs.add(&running).unwrap();
        let ended: Vec<_> = std::iter::repeat_with(job).take(MOST_KEPT).collect();
        for job in &ended {
            jobs.add(job).unwrap();
            job.end(&Ok(Counts::default()));
        }
        assert_eq!(jobs.list().len(), MOST_KEPT);
        assert!(jobs.get(running.id).is_some() && jobs.get(ended[0].id).is_none());
        for _ in 1..MOST_UNDER_WAY {
            jobs.add(&job()).unwrap();
        }
        assert_eq!(jobs.add(&job()).unwrap_err().status(), 429);
    }

    #[test]
    fn results_are_bounded_and_failures_have_their_own_limit() {
        let mut view = JobView::new(LetterChange::Replay, RunMode::Apply);
        for _ in 0..MOST_RESULTS + 5 {
            view.note(&DeadLetterEntry::default().with(OperationResult::Replayed));
        }
        view.note(&DeadLetterEntry::default().failed("no such queue".to_owned()));
        assert_eq!((view.results.len(), view.results_left_out), (MOST_RESULTS + 1, 5));
        assert_eq!((view.matched, view.failed), (MOST_RESULTS as u64 + 6, 1));
    }
}
