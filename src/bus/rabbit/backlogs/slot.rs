//! One organization's backlog: there or not, and since which line to the broker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lapin::options::QueueDeclareOptions;
use tokio::sync::RwLock;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::Backlogs;
use super::taking::Taking;
use crate::bus::rabbit::line::Line;
use crate::bus::rabbit::refusal;
use crate::bus::rabbit::topology::{Declaration, backlog, encode};
use crate::event::OrganizationId;

/// For the broker to answer. Just after its restart RabbitMQ 3.10 may leave a question unanswered while a quorum queue has
/// no leader (measured).
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// A backlog that can't be had is not asked for again before.
const OUT_OF_REACH: Duration = Duration::from_secs(60);

/// The place of one organization's backlog. Whoever puts something into it reads the stand meanwhile; whoever opens or
/// deletes it writes.
pub(super) struct Slot {
    pub(super) organization: OrganizationId,
    pub(super) queue: String,
    pub(super) stand: RwLock<Stand>,
}

/// Whether it is there.
pub(super) enum Stand {
    /// Not as far as this worker knows.
    Closed,
    /// It is declared, and taken from, on this line; so many times declared on it. Whoever takes from it is told when it
    /// has to be made again: the broker does not always tell that a queue was deleted.
    Open { line: Arc<Line>, generation: u64, taking: CancellationToken },
    /// It is not there and may not be made, until this time at least.
    OutOfReach(Instant),
}

impl Slot {
    pub(super) fn new(organization: OrganizationId, queue: String) -> Self {
        Self { organization, queue, stand: RwLock::new(Stand::Closed) }
    }
}

impl Stand {
    pub(super) fn is_out_of_reach(&self) -> bool {
        matches!(self, Self::OutOfReach(until) if Instant::now() < *until)
    }
}

impl Backlogs {
    /// Has it declared and taken from on this line. `seen`: the generation that was found missing. False when it can't
    /// be had.
    pub(super) async fn open(self: &Arc<Self>, slot: &Arc<Slot>, line: &Arc<Line>, seen: Option<u64>) -> bool {
        let mut stand = slot.stand.write().await;
        let before = stand.on(line);
        if before.is_some() && before != seen {
            return true;
        }
        if stand.is_out_of_reach() {
            return false;
        }
        if let Stand::Open { taking, .. } = &*stand {
            taking.cancel();
        }
        let taking = CancellationToken::new();
        let declared = timeout(ANSWER_LIMIT, self.declare(slot, line, &taking)).await;
        let is_there = matches!(declared, Ok(Ok(())));
        match &declared {
            Ok(Ok(())) => {}
            Ok(Err(error)) => out_of_reach(slot, error),
            Err(_) => no_answer(slot),
        }
        *stand = if is_there {
            Stand::Open { line: line.clone(), generation: before.map_or(0, |before| before + 1), taking }
        } else {
            Stand::OutOfReach(Instant::now() + OUT_OF_REACH)
        };
        is_there
    }

    async fn declare(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        line: &Arc<Line>,
        taking: &CancellationToken,
    ) -> lapin::Result<()> {
        let Declaration::Queue { name, arguments } = backlog(&self.options, &slot.organization) else {
            return Ok(());
        };
        let channel = line.channel().await?;
        let passive = !self.may_declare();
        let options = QueueDeclareOptions { durable: true, passive, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare(name.as_str().into(), options, encode(&arguments)).await?;
        // After the last delivery nobody takes from it; what is put into it waits for the next worker.
        if !self.stop.is_cancelled() {
            let waiting = u64::from(queue.message_count());
            Taking::begin(self.clone(), slot.clone(), line.clone(), taking.clone(), waiting).await?;
            info!(organization_id = %slot.organization, queue = %slot.queue, waiting, "takes from a backlog");
        }
        Ok(())
    }
}

fn out_of_reach(slot: &Slot, error: &lapin::Error) {
    let (organization_id, queue) = (&slot.organization, &slot.queue);
    if refusal::is_missing(error) {
        debug!(%organization_id, %queue, "a backlog is not there: broker.declare = false, so a retry queue serves for it");
        return;
    }
    let problem = refusal::in_words(error);
    warn!(%organization_id, %queue, error = %problem, "a backlog can't be had: a retry queue serves for it");
}

fn no_answer(slot: &Slot) {
    let (organization_id, queue) = (&slot.organization, &slot.queue);
    warn!(
        %organization_id,
        %queue,
        limit_s = ANSWER_LIMIT.as_secs(),
        "the broker does not answer for a backlog, so a retry queue serves for it: if this goes on, the queue has no leader \
         (`rabbitmqctl list_queues name state leader`); delete it once nothing is left in it"
    );
}
