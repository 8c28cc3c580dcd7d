//! Operators' access to the dead letters, for one pass at a time.

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use handoffd_engine::dead_letters::{
    Action, BodyPatch, Counts, DeadLetterEntry, DeadLetterGroup, DiscardedEvents, Groups, LetterChange, NewestEntries,
    Observer, Operation, OrderFailure, RunMode, Selection, execute,
};
use handoffd_engine::event::Limits;
use handoffd_engine::ports::bus::{DeadLetterError, DeadLetterQueue};
use handoffd_engine::ports::store::Store;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::array::file;
use super::jobs::{Job, JobView, Jobs};
use super::pass::{Feed, Pass, PassEnd};
use crate::admin::api::Problem;
use crate::admin::api::requester::{Permission, Requester, require};
use crate::admin::audit::dead_letters::{CountingObserver, audited};
use crate::admin::events::record_discards;

/// Time for which a client waits for another pass to end. A pass through 100,000 dead letters takes longer.
const TURN: Duration = Duration::from_secs(15);

/// Operators' access to the dead letters.
pub struct DeadLetterService {
    queue: Arc<dyn DeadLetterQueue>,
    /// Store, whose records a discard is added to.
    store: Arc<dyn Store>,
    limits: Limits,
    /// Serializes passes within this process, so that they do not compete at the broker.
    turn: Semaphore,
    /// Replays and discards.
    pub jobs: Jobs,
    /// Cancelled when the process stops.
    stop: CancellationToken,
}

/// Dead letters that match a selection: how many there are of each kind, and a page of them.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct DeadLetterSurvey {
    /// Groups, largest first.
    pub groups: Vec<DeadLetterGroup>,
    /// Number of dead letters in groups beyond these.
    pub beyond: u64,
    /// Entries of the page, newest first.
    pub entries: Vec<DeadLetterEntry>,
    /// Number of all that match.
    pub total: u64,
}

/// Result of a pass that changed nothing.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Collected {
    /// Matching entries, oldest first, up to the requested number.
    pub entries: Vec<DeadLetterEntry>,
    /// True if more match.
    pub more: bool,
    /// Number of matches seen; of a list, at most one more than requested.
    pub matched: u64,
}

impl DeadLetterService {
    /// Creates an access to this queue; event bodies are decoded within these limits.
    pub fn new(queue: Arc<dyn DeadLetterQueue>, store: Arc<dyn Store>, limits: Limits) -> Self {
        let (stop, turn) = (CancellationToken::new(), Semaphore::new(1));
        Self { queue, store, limits, turn, jobs: Jobs::default(), stop }
    }

    /// Starts a list of at most this number of dead letters.
    pub(super) fn list(self: &Arc<Self>, selection: Selection, most: Option<usize>) -> Pass {
        self.begin(self.operation(selection, Action::List, most), None, TURN)
    }

    /// Returns the matching dead letters as a file, CSV or JSON, sent while they are read.
    pub async fn export(self: &Arc<Self>, selection: Selection, is_csv: bool) -> Result<Response, Problem> {
        file(self.list(selection, None), is_csv).await
    }

    /// Returns the first matching dead letters; with full messages if `action` shows them, counting all that match if it
    /// is a dry run.
    pub async fn collect(
        self: &Arc<Self>,
        selection: Selection,
        action: Action,
        most: usize,
    ) -> Result<Collected, Problem> {
        let enough = matches!(action, Action::List | Action::Show).then_some(most + 1);
        let operation = self.operation(selection, action, enough);
        let mut pass = self.begin(operation, None, TURN);
        let mut entries = Vec::new();
        while let Some(window) = pass.next().await {
            let room = most - entries.len();
            entries.extend(window.into_iter().take(room));
        }
        let matched = pass.end().await?.matched;
        Ok(Collected { more: matched > most as u64, entries, matched })
    }

    /// Returns the first dead letters that a predicate selects.
    pub async fn select(
        self: &Arc<Self>,
        most: usize,
        is_wanted: impl Fn(&DeadLetterEntry) -> bool,
    ) -> Result<Vec<DeadLetterEntry>, Problem> {
        let (mut pass, mut found) = (self.list(Selection::default(), None), Vec::new());
        while let Some(window) = pass.next().await {
            let room = most - found.len();
            found.extend(window.into_iter().filter(&is_wanted).take(room));
        }
        pass.end().await?;
        Ok(found)
    }

    /// Counts what matches by reason, organization and error, and returns a page of it, newest first.
    pub async fn survey(
        self: &Arc<Self>,
        selection: Selection,
        skipped: usize,
        most: usize,
    ) -> Result<DeadLetterSurvey, Problem> {
        let mut pass = self.list(selection, None);
        let (mut groups, mut newest) = (Groups::default(), NewestEntries::new(skipped.saturating_add(most)));
        while let Some(window) = pass.next().await {
            for entry in window {
                groups.add(&entry);
                newest.add(entry);
            }
        }
        pass.end().await?;
        let (total, beyond) = (newest.seen(), groups.beyond);
        Ok(DeadLetterSurvey { groups: groups.sorted(), beyond, entries: newest.page(skipped), total })
    }

    /// Starts a replay of one dead letter with another body, in the background.
    pub fn start_correction(self: &Arc<Self>, selection: Selection, patch: BodyPatch) -> Result<JobView, Problem> {
        self.start_job(selection, LetterChange::Replay, Action::Substitute(RunMode::Apply, patch))
    }

    /// Starts a job whose results are awaited; it stops if they are not.
    pub(super) fn change(
        self: &Arc<Self>,
        selection: Selection,
        change: LetterChange,
        mode: RunMode,
    ) -> Result<Pass, Problem> {
        Ok(self.job(selection, change, Action::Change(change, mode), TURN)?.1)
    }

    /// Starts a job in the background.
    pub fn start(
        self: &Arc<Self>,
        selection: Selection,
        change: LetterChange,
        mode: RunMode,
    ) -> Result<JobView, Problem> {
        self.start_job(selection, change, Action::Change(change, mode))
    }

    /// Stops the pass in progress and waits for its orderly end.
    pub async fn close(&self, within: Duration) {
        self.stop.cancel();
        // The pass releases its permit after it has returned all messages to the queue.
        _ = timeout(within, self.turn.acquire()).await;
    }

    fn start_job(
        self: &Arc<Self>,
        selection: Selection,
        change: LetterChange,
        action: Action,
    ) -> Result<JobView, Problem> {
        let (view, pass) = self.job(selection, change, action, Duration::MAX)?;
        tokio::spawn(pass.end());
        Ok(view)
    }

    fn job(
        self: &Arc<Self>,
        selection: Selection,
        change: LetterChange,
        action: Action,
        patience: Duration,
    ) -> Result<(JobView, Pass), Problem> {
        permitted(&action)?;
        let mode = if matches!(action, Action::Change(_, RunMode::DryRun)) { RunMode::DryRun } else { RunMode::Apply };
        let view = JobView::new(change, mode);
        let job = Arc::new(Job::new(&view, self.stop.child_token()));
        self.jobs.add(&job)?;
        let operation = self.operation(selection, action, None);
        Ok((view, self.begin(operation, Some(job), patience)))
    }

    fn operation(&self, selection: Selection, action: Action, most: Option<usize>) -> Operation {
        let by = Requester::current().map(|requester| requester.name());
        Operation { selection, action, most, limits: self.limits, by }
    }

    fn begin(self: &Arc<Self>, operation: Operation, job: Option<Arc<Job>>, patience: Duration) -> Pass {
        let stop = job.as_ref().map_or_else(|| self.stop.child_token(), |job| job.stop.clone());
        let (service, stopped) = (Arc::clone(self), stop.clone());
        let (permitted, requester) = (permitted(&operation.action), Requester::current());
        Pass::begin(job, stop, async move |mut feed: Feed| {
            let mut counting = CountingObserver::new(&mut feed);
            let mut discarded = DiscardedEvents::new(&mut counting);
            let end = match permitted {
                Ok(()) => service.run(&operation, &mut discarded, &stopped, patience).await,
                Err(problem) => Err(problem),
            };
            record_discards(&*service.store, &discarded.events, operation.by.as_deref()).await;
            if let (Some(requester), Some((action, subject))) = (requester, audited(&operation)) {
                requester.audit(action, subject, counting.count);
            }
            feed.flush().await;
            end
        })
    }

    async fn run(
        &self,
        operation: &Operation,
        observer: &mut dyn Observer,
        stop: &CancellationToken,
        patience: Duration,
    ) -> PassEnd {
        let opened = async {
            let turn = self.turn.acquire().await;
            (turn, self.queue.open(&|notice| tracing::info!("dead letters: {notice}")).await)
        };
        let (_turn, opened) = tokio::select! {
            opened = timeout(patience, opened) => opened.map_err(|_| in_use())?,
            () = stop.cancelled() => return Ok(Counts { stopped: true, ..Counts::default() }),
        };
        let mut letters = opened.map_err(|error| away(&error))?;
        execute(&mut *letters, operation, observer, stop).await.map_err(|failure| match failure {
            OrderFailure::Letters(error) => away(&error),
            other => Problem::bad_request(other.to_string()),
        })
    }
}

/// Refuses an action that the request's client may not take.
fn permitted(action: &Action) -> Result<(), Problem> {
    require(match action {
        Action::Show => Permission::ReadText,
        Action::Change(LetterChange::Discard, RunMode::Apply) => Permission::Discard,
        Action::Change(LetterChange::Replay, RunMode::Apply) | Action::Substitute(RunMode::Apply, _) => {
            Permission::Change
        }
        Action::List | Action::Change(..) | Action::Substitute(..) => Permission::Look,
    })
}

fn in_use() -> Problem {
    Problem::conflict(format!(
        "another operator is accessing the dead letters; waited {} s; try again later, or start a job (wait=false)",
        TURN.as_secs()
    ))
}

fn away(error: &DeadLetterError) -> Problem {
    if matches!(error, DeadLetterError::InUse { .. }) {
        return Problem::conflict(error.to_string());
    }
    tracing::warn!(error = error as &dyn std::error::Error, "could not read the dead letters for an operator");
    Problem::unavailable(error.to_string())
}
