//! Where operators go through the dead letters, one at a time.

use std::sync::Arc;
use std::time::Duration;

use handoffd_engine::dead_letters::{Action, Failure, Observer, Order, Selection, Tally, carry_out};
use handoffd_engine::event::Limits;
use handoffd_engine::ports::bus::{LetterBox, LettersError};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::collector::{Collected, Collector, Grouped, Groups};
use super::jobs::Jobs;
use crate::admin::api::Problem;

/// How long somebody waits for another's look to end. One through 100,000 letters takes longer: that is said then.
const TURN: Duration = Duration::from_secs(15);

/// The dead letters, for operators.
pub struct Desk {
    letter_box: Arc<dyn LetterBox>,
    limits: Limits,
    /// Two of one process needn't ask the broker who is first.
    turn: Semaphore,
    /// What is being done in the background.
    pub jobs: Jobs,
    /// The process stops.
    stop: CancellationToken,
}

/// A look that is under way, and its observer when it is over.
pub(super) type Look<O> = JoinHandle<(O, Done)>;
/// How a look ended.
pub(super) type Done = Result<Tally, Problem>;

/// How long to wait for one's turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Patience {
    /// Somebody waits for the answer.
    Short,
    /// Nobody does.
    Long,
}

impl Desk {
    /// For the dead letters in this box; what has to be read of them is within these limits.
    pub fn new(letter_box: Arc<dyn LetterBox>, limits: Limits) -> Self {
        let (stop, turn) = (CancellationToken::new(), Semaphore::new(1));
        Self { letter_box, limits, turn, jobs: Jobs::default(), stop }
    }

    /// Does something about those that match and tells of `most` of them at most. A list ends there; what changes
    /// something is done to all.
    pub async fn collect(
        self: &Arc<Self>,
        selection: Selection,
        action: Action,
        most: usize,
    ) -> Result<Collected, Problem> {
        let stop = self.stop();
        let _ends_with_me = stop.clone().drop_guard();
        let collector = Collector::new(&action, most, &stop);
        let look = self.begin(selection, action, collector, stop, Patience::Short);
        let (collector, done) = look.await.map_err(|_| broken_off())?;
        collector.end(done)
    }

    /// How many match, by reason and organization.
    pub async fn groups(self: &Arc<Self>, selection: Selection) -> Result<Grouped, Problem> {
        let stop = self.stop();
        let _ends_with_me = stop.clone().drop_guard();
        let look = self.begin(selection, Action::List, Groups::default(), stop, Patience::Short);
        let (groups, done) = look.await.map_err(|_| broken_off())?;
        done.map(|tally| groups.grouped(tally))
    }

    /// Ends what is under way, in good order.
    pub async fn close(&self, within: Duration) {
        self.stop.cancel();
        // Whoever has the turn gives it back when all is where it was.
        _ = timeout(within, self.turn.acquire()).await;
    }

    /// Ends with the process; whoever has it may end it sooner.
    pub(super) fn stop(&self) -> CancellationToken {
        self.stop.child_token()
    }

    /// Goes through the letters in a task of its own: it comes to an orderly end even if nobody waits for it any more.
    pub(super) fn begin<O: Observer + 'static>(
        self: &Arc<Self>,
        selection: Selection,
        action: Action,
        mut observer: O,
        stop: CancellationToken,
        patience: Patience,
    ) -> Look<O> {
        let desk = Arc::clone(self);
        let order = Order { selection, action, limits: self.limits };
        tokio::spawn(async move {
            let done = desk.carry_out(&order, &mut observer, &stop, patience).await;
            (observer, done)
        })
    }

    async fn carry_out(
        &self,
        order: &Order,
        observer: &mut dyn Observer,
        stop: &CancellationToken,
        patience: Patience,
    ) -> Done {
        let opened = async {
            let turn = self.turn.acquire().await;
            (turn, self.letter_box.open(&|notice| tracing::info!("dead letters: {notice}")).await)
        };
        let limit = if patience == Patience::Short { TURN } else { Duration::MAX };
        let (_turn, opened) = tokio::select! {
            opened = timeout(limit, opened) => opened.map_err(|_| in_use())?,
            () = stop.cancelled() => return Ok(Tally { stopped: true, ..Tally::default() }),
        };
        let mut letters = opened.map_err(|error| away(&error))?;
        carry_out(&mut *letters, order, observer, stop).await.map_err(|failure| match failure {
            Failure::Letters(error) => away(&error),
            other => Problem::bad_request(other.to_string()),
        })
    }
}

/// It ended before it came to its end.
pub(super) fn broken_off() -> Problem {
    Problem::unavailable(
        "it was stopped before its end; what was not dealt with lies where it lay: ask again".to_owned(),
    )
}

fn in_use() -> Problem {
    Problem::conflict(format!(
        "another operator goes through the dead letters; it was waited for {} s: try again later, or ask for a job (wait=false)",
        TURN.as_secs()
    ))
}

fn away(error: &LettersError) -> Problem {
    if matches!(error, LettersError::InUse { .. }) {
        return Problem::conflict(error.to_string());
    }
    tracing::warn!(
        error = error as &dyn std::error::Error,
        "the dead letters could not be gone through for an operator"
    );
    Problem::unavailable(error.to_string())
}
