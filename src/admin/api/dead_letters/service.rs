//! Operators' access to the dead letters, for one pass at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::response::Response;
use handoffd_engine::dead_letters::{
    Action, BodyPatch, Counts, DeadLetterEntry, EntryWatch, LetterChange, LetterSurvey, Observer, Operation,
    OrderFailure, RunMode, Selection, execute,
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
use super::scans::{LetterScan, LetterScans, ListAge};
use crate::admin::api::Problem;
use crate::admin::api::requester::{Permission, Requester, require};
use crate::admin::audit::dead_letters::OperationTally;
use crate::admin::events::record_discards;

/// Time for which a client waits for another pass to end. A pass through 100,000 dead letters takes longer.
const TURN: Duration = Duration::from_secs(15);
/// Number of entries that a list from memory hands over at a time.
const WINDOW: usize = 1000;

/// Operators' access to the dead letters.
pub struct DeadLetterService {
    queue: Arc<dyn DeadLetterQueue>,
    /// Store, whose records a discard is added to.
    store: Arc<dyn Store>,
    limits: Limits,
    /// Serializes passes within this process, so that they do not compete at the broker.
    turn: Semaphore,
    /// Scans for lists.
    scans: LetterScans,
    /// Replays and discards.
    pub jobs: Jobs,
    /// Cancelled when the process stops.
    stop: CancellationToken,
}

/// Dead letters that match a selection.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct DeadLetterSurvey {
    /// Groups and a page of the matches.
    pub found: LetterSurvey,
    /// Age, unless it is as of the request.
    pub age: Option<ListAge>,
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
    /// Age, unless it is as of the request.
    pub age: Option<ListAge>,
}

impl DeadLetterService {
    /// Creates an access to this queue; event bodies are decoded within these limits.
    pub fn new(queue: Arc<dyn DeadLetterQueue>, store: Arc<dyn Store>, limits: Limits) -> Self {
        let (stop, turn) = (CancellationToken::new(), Semaphore::new(1));
        Self { queue, store, limits, turn, scans: LetterScans::new(), jobs: Jobs::default(), stop }
    }

    /// Starts a list of at most this number of dead letters: from the last scan if the queue has not changed since, else
    /// from a new one.
    pub(super) async fn list(self: &Arc<Self>, selection: Selection, most: Option<usize>) -> Result<Pass, Problem> {
        require(Permission::Look)?;
        match self.current().await {
            Some(scan) => Ok(self.recall(scan, selection, most)),
            None => Ok(self.begin(self.operation(selection, Action::List, most), None, TURN)),
        }
    }

    /// Returns the matching dead letters as a file, CSV or JSON, sent while they are read.
    pub async fn export(self: &Arc<Self>, selection: Selection, is_csv: bool) -> Result<Response, Problem> {
        file(self.list(selection, None).await?, is_csv).await
    }

    /// Returns the first matching dead letters; with full messages if `action` shows them, counting all that match if it
    /// is a dry run.
    pub async fn collect(
        self: &Arc<Self>,
        selection: Selection,
        action: Action,
        most: usize,
    ) -> Result<Collected, Problem> {
        match action {
            Action::List => self.glance(&selection, None, most).await,
            Action::Change(change, RunMode::DryRun) => self.glance(&selection, Some(change), most).await,
            action => self.read(selection, action, most).await,
        }
    }

    async fn read(self: &Arc<Self>, selection: Selection, action: Action, most: usize) -> Result<Collected, Problem> {
        let enough = matches!(action, Action::Show).then_some(most + 1);
        let operation = self.operation(selection, action, enough);
        let mut pass = self.begin(operation, None, TURN);
        let mut entries = Vec::new();
        while let Some(window) = pass.next().await {
            let room = most - entries.len();
            entries.extend(window.into_iter().take(room));
        }
        let matched = pass.end().await?.matched;
        Ok(Collected { more: matched > most as u64, entries, matched, age: None })
    }

    async fn glance(
        self: &Arc<Self>,
        selection: &Selection,
        change: Option<LetterChange>,
        most: usize,
    ) -> Result<Collected, Problem> {
        let (scan, age) = self.look().await?;
        let index = scan.index();
        let (mut entries, next) = index.matching(selection, 0, most);
        let mut matched = (entries.len() + usize::from(next.is_some())) as u64;
        if let Some(change) = change {
            entries = entries.into_iter().map(|entry| entry.with(change.rehearsed())).collect();
            matched = index.count(selection);
        }
        Ok(Collected { entries, more: next.is_some(), matched, age })
    }

    /// Returns the first dead letters that have an id which begins with this text, and their age.
    pub async fn find(
        self: &Arc<Self>,
        id: &str,
        most: usize,
    ) -> Result<(Vec<DeadLetterEntry>, Option<ListAge>), Problem> {
        let (scan, age) = self.look().await?;
        let found = scan.index().with_id(id, most);
        Ok((found, age))
    }

    /// Counts what matches by reason, organization and error, and returns a page of it, newest first.
    pub async fn survey(
        self: &Arc<Self>,
        selection: &Selection,
        skipped: usize,
        most: usize,
    ) -> Result<DeadLetterSurvey, Problem> {
        let (scan, age) = self.look().await?;
        let found = scan.index().survey(selection, skipped, most);
        Ok(DeadLetterSurvey { found, age })
    }

    async fn look(self: &Arc<Self>) -> Result<(Arc<LetterScan>, Option<ListAge>), Problem> {
        require(Permission::Look)?;
        let asked = Instant::now();
        let scan = self.scans.look(asked, || self.scan()).await?;
        let age = scan.age(asked);
        Ok((scan, age))
    }

    /// Starts a scan for lists, unless one is in progress.
    fn scan(self: &Arc<Self>) {
        let Some(scan) = self.scans.begin() else { return };
        let service = Arc::clone(self);
        tokio::spawn(async move {
            let operation = Operation {
                selection: Selection::default(),
                action: Action::List,
                most: None,
                limits: service.limits,
                by: None,
            };
            let mut pass = service.begin_permitted(operation, None, TURN, Ok(()));
            while let Some(window) = pass.next().await {
                service.scans.add(&scan, window, pass.total());
            }
            service.scans.end(&scan, pass.end().await.map(|_| ()));
            let ended = Arc::downgrade(&scan);
            drop(scan);
            service.scans.forget_idle(ended).await;
        });
    }

    /// Returns the last scan of many if the queue has not changed since.
    async fn current(&self) -> Option<Arc<LetterScan>> {
        let latest = self.scans.known().latest.filter(|latest| latest.is_resting())?;
        let ready = self.queue.ready().await.ok()?;
        latest.is_still_whole(ready).then_some(latest)
    }

    /// Starts a list of what a scan has found.
    fn recall(self: &Arc<Self>, scan: Arc<LetterScan>, selection: Selection, most: Option<usize>) -> Pass {
        let stop = self.stop.child_token();
        let stopped = stop.clone();
        Pass::begin(None, stop, async move |mut feed: Feed| {
            let (mut from, mut left) = (Some(0), most.unwrap_or(usize::MAX));
            while let Some(place) = from.filter(|_| left > 0 && !stopped.is_cancelled()) {
                let (window, next) = scan.index().matching(&selection, place, WINDOW.min(left));
                (from, left) = (next, left - window.len());
                feed.hand_over(window).await;
            }
            Ok(Counts { stopped: stopped.is_cancelled(), ..Counts::default() })
        })
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
        let permitted = permitted(&operation.action);
        self.begin_permitted(operation, job, patience, permitted)
    }

    fn begin_permitted(
        self: &Arc<Self>,
        operation: Operation,
        job: Option<Arc<Job>>,
        patience: Duration,
        permitted: Result<(), Problem>,
    ) -> Pass {
        let stop = job.as_ref().map_or_else(|| self.stop.child_token(), |job| job.stop.clone());
        let (service, stopped) = (Arc::clone(self), stop.clone());
        let requester = Requester::current();
        Pass::begin(job, stop, async move |mut feed: Feed| {
            let mut tally = OperationTally::default();
            let mut watched = EntryWatch::new(&mut feed, |entry| {
                tally.add(entry);
                if entry.has_left() {
                    service.scans.remove(&entry.letter_id);
                }
            });
            let end = match permitted {
                Ok(()) => service.run(&operation, &mut watched, &stopped, patience).await,
                Err(problem) => Err(problem),
            };
            record_discards(&*service.store, &tally.discarded, operation.by.as_deref()).await;
            if let (Some(requester), Some((action, subject))) = (requester, tally.audited(&operation)) {
                requester.audit(action, subject, tally.count);
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
