//! Operators' access to the dead letters, for one pass at a time.

use std::sync::Arc;
use std::time::Duration;

use handoffd_engine::dead_letters::{Action, Counts, Observer, Operation, OrderFailure, RunMode, Selection, execute};
use handoffd_engine::event::Limits;
use handoffd_engine::ports::bus::{DeadLetterError, DeadLetterQueue};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::browse_end::{BrowseEnd, BrowseTask, broken_off};
use super::collector::{Collected, Collector, Grouped, Groups};
use super::jobs::{Job, JobAction, JobObserver, JobView, Jobs};
use crate::admin::api::Problem;
use crate::admin::api::requester::{Permission, Requester, require};
use crate::admin::audit::dead_letters::{CountingObserver, audited};

/// Time to wait for another pass to end, before the request is refused. A pass through 100,000 dead letters takes longer.
const TURN: Duration = Duration::from_secs(15);

/// Operators' access to the dead letters.
pub struct DeadLetterService {
    letter_box: Arc<dyn DeadLetterQueue>,
    limits: Limits,
    /// Serializes passes within this process, so that they do not compete at the broker.
    turn: Semaphore,
    /// Background jobs.
    pub jobs: Jobs,
    /// Cancelled when the process stops.
    stop: CancellationToken,
}

/// Readiness to wait for another pass to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum WaitMode {
    /// A client waits for the response.
    Short,
    /// A background job waits.
    Long,
}

impl DeadLetterService {
    /// Creates an access to this queue; event bodies are decoded within these limits.
    pub fn new(letter_box: Arc<dyn DeadLetterQueue>, limits: Limits) -> Self {
        let (stop, turn) = (CancellationToken::new(), Semaphore::new(1));
        Self { letter_box, limits, turn, jobs: Jobs::default(), stop }
    }

    /// Acts on matching dead letters and returns at most `most` of them. A read-only pass ends there; an action covers all
    /// that match.
    pub async fn collect(
        self: &Arc<Self>,
        selection: Selection,
        action: Action,
        most: usize,
    ) -> Result<Collected, Problem> {
        let stop = self.stop();
        let _ends_with_me = stop.clone().drop_guard();
        let collector = Collector::new(&action, most, &stop);
        let look = self.begin(selection, action, collector, stop, WaitMode::Short);
        let (collector, done) = look.await.map_err(|_| broken_off())?;
        collector.end(done)
    }

    /// Counts matching dead letters by reason and organization.
    pub async fn groups(self: &Arc<Self>, selection: Selection) -> Result<Grouped, Problem> {
        let stop = self.stop();
        let _ends_with_me = stop.clone().drop_guard();
        let look = self.begin(selection, Action::List, Groups::default(), stop, WaitMode::Short);
        let (groups, done) = look.await.map_err(|_| broken_off())?;
        done.map(|tally| groups.grouped(tally))
    }

    /// Starts a job.
    pub fn start(
        self: &Arc<Self>,
        selection: Selection,
        action: JobAction,
        effect: RunMode,
    ) -> Result<JobView, Problem> {
        let order = match action {
            JobAction::Replay => Action::Replay(effect),
            JobAction::Discard => Action::Discard(effect),
        };
        permitted(&order)?;
        let view = JobView::new(action, effect);
        let job = Arc::new(Job::new(&view, self.stop()));
        self.jobs.add(&job)?;
        let look = self.begin(selection, order, JobObserver(Arc::clone(&job)), job.stop.clone(), WaitMode::Long);
        tokio::spawn(async move {
            match look.await {
                Ok((_, done)) => job.end(done),
                Err(_) => job.end(Err(broken_off())),
            }
        });
        Ok(view)
    }

    /// Stops the pass in progress and waits for its orderly end.
    pub async fn close(&self, within: Duration) {
        self.stop.cancel();
        // The pass releases its permit after it has returned all messages to the queue.
        _ = timeout(within, self.turn.acquire()).await;
    }

    /// Returns a token that is cancelled when the process stops; its holder may cancel it earlier.
    pub(super) fn stop(&self) -> CancellationToken {
        self.stop.child_token()
    }

    /// Starts a pass in its own task, so that it ends in order even if its caller is gone.
    pub(super) fn begin<O: Observer + 'static>(
        self: &Arc<Self>,
        selection: Selection,
        action: Action,
        mut observer: O,
        stop: CancellationToken,
        patience: WaitMode,
    ) -> BrowseTask<O> {
        let desk = Arc::clone(self);
        let order = Operation { selection, action, limits: self.limits };
        let (permitted, requester) = (permitted(&order.action), Requester::current());
        tokio::spawn(async move {
            let mut counting = CountingObserver::new(&mut observer);
            let done = match permitted {
                Ok(()) => desk.carry_out(&order, &mut counting, &stop, patience).await,
                Err(problem) => Err(problem),
            };
            if let (Some(requester), Some((action, subject))) = (requester, audited(&order)) {
                requester.audit(action, subject, counting.count);
            }
            (observer, done)
        })
    }

    async fn carry_out(
        &self,
        order: &Operation,
        observer: &mut dyn Observer,
        stop: &CancellationToken,
        patience: WaitMode,
    ) -> BrowseEnd {
        let opened = async {
            let turn = self.turn.acquire().await;
            (turn, self.letter_box.open(&|notice| tracing::info!("dead letters: {notice}")).await)
        };
        let limit = if patience == WaitMode::Short { TURN } else { Duration::MAX };
        let (_turn, opened) = tokio::select! {
            opened = timeout(limit, opened) => opened.map_err(|_| in_use())?,
            () = stop.cancelled() => return Ok(Counts { stopped: true, ..Counts::default() }),
        };
        let mut letters = opened.map_err(|error| away(&error))?;
        execute(&mut *letters, order, observer, stop).await.map_err(|failure| match failure {
            OrderFailure::Letters(error) => away(&error),
            other => Problem::bad_request(other.to_string()),
        })
    }
}

/// Refuses an action that the request's client may not take.
fn permitted(action: &Action) -> Result<(), Problem> {
    require(match action {
        Action::Show => Permission::ReadText,
        Action::Discard(RunMode::Apply) => Permission::Discard,
        Action::Replay(RunMode::Apply) | Action::Substitute(RunMode::Apply, _) => Permission::Change,
        Action::List | Action::Replay(_) | Action::Discard(_) | Action::Substitute(..) => Permission::Look,
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
