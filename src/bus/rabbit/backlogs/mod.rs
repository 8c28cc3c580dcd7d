//! In: messages of organizations that there was no room for.
//! Out: one durable queue for each such organization, and what comes out of it, apart from the work queue's prefetch.
//! Absent: when there is no room, and who is taken from a backlog when; that is the worker's.

mod slot;
mod taking;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use futures_util::{StreamExt, stream};
use lapin::BasicProperties;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::slot::{Slot, Stand};
use super::broker_deaths::BrokerDeaths;
use super::channels::Address;
use super::line::Line;
use super::lock;
use super::options::{Declare, Options};
use super::organization_queue;
use super::supervisor::Signals;
use crate::bus::{Announced, Backlog, BusError};
use crate::event::OrganizationId;

pub(super) use self::taking::Hold;

/// Questions to the broker at once, while backlogs are looked for: some hundred organizations take well under a second.
const QUESTIONS: usize = 16;
/// A queue that is deleted under our hands is declared again; somebody who goes on deleting it gets his way.
const TRIES: u32 = 3;

/// The backlogs of all organizations, whatever line to the broker there is.
pub(super) struct Backlogs {
    options: Arc<Options>,
    deaths: Arc<BrokerDeaths>,
    /// Organizations whose backlogs are looked for.
    served: Mutex<BTreeSet<OrganizationId>>,
    slots: Mutex<HashMap<OrganizationId, Arc<Slot>>>,
    news: mpsc::UnboundedSender<Backlog>,
    stop: CancellationToken,
    /// Why nothing is handed on at the moment, if so.
    pause: watch::Receiver<Option<String>>,
}

impl Backlogs {
    pub(super) fn new(
        options: Arc<Options>,
        deaths: Arc<BrokerDeaths>,
        signals: &Signals,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Backlog>) {
        let (news, receiver) = mpsc::unbounded_channel();
        let (stop, pause) = (signals.stop.clone(), signals.pause.subscribe());
        let (served, slots) = (Mutex::default(), Mutex::default());
        (Arc::new(Self { options, deaths, served, slots, news, stop, pause }), receiver)
    }

    /// Sets whose backlogs are looked for. Those that are new to it.
    pub(super) fn serve(&self, organizations: Vec<OrganizationId>) -> Vec<OrganizationId> {
        let next: BTreeSet<_> = organizations.into_iter().collect();
        let mut served = lock(&self.served);
        let added = next.difference(&served).cloned().collect();
        *served = next;
        added
    }

    /// Takes from every backlog of a served organization that is at the broker.
    pub(super) async fn find_all(self: &Arc<Self>, line: &Arc<Line>) {
        let all = lock(&self.served).iter().cloned().collect();
        self.find(line, all).await;
    }

    /// The same for these.
    pub(super) async fn find(self: &Arc<Self>, line: &Arc<Line>, organizations: Vec<OrganizationId>) {
        let open = |organization| async move {
            let slot = self.slot(&organization);
            if line.look_apart(&slot.queue).await.is_some() {
                self.open(&slot, line, None).await;
            }
        };
        stream::iter(organizations).for_each_concurrent(QUESTIONS, open).await;
    }

    /// Puts a copy at the end of a backlog. False when there is none and none can be made.
    pub(super) async fn put(
        self: &Arc<Self>,
        line: &Arc<Line>,
        organization: &OrganizationId,
        body: &[u8],
        copy: BasicProperties,
    ) -> Result<bool, BusError> {
        let slot = self.slot(organization);
        for _ in 0..TRIES {
            let mut seen = None;
            {
                // While somebody reads, it is not closed.
                let stand = slot.stand.read().await;
                if stand.is_out_of_reach() {
                    return Ok(false);
                }
                if let Some(generation) = stand.on(line) {
                    seen = Some(generation);
                    if line.publish(Address::queue(&slot.queue), body, copy.clone()).await? == Announced::Routed {
                        return Ok(true);
                    }
                }
            }
            if !self.open(&slot, line, seen).await {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// How many wait in a backlog; nothing where this worker knows of none. The broker is not asked after those: each
    /// question after a queue that is not there uses up a channel's number for good ([`Line::channel`]).
    pub(super) async fn waiting(&self, line: &Arc<Line>, organization: &OrganizationId) -> Option<u64> {
        depth(&self.slot(organization), line).await
    }

    /// How many wait in all backlogs that this worker takes from.
    pub(super) async fn all_waiting(&self, line: &Arc<Line>) -> u64 {
        let slots: Vec<_> = lock(&self.slots).values().cloned().collect();
        let mut sum = 0;
        for slot in slots {
            sum += depth(&slot, line).await.unwrap_or(0);
        }
        sum
    }

    /// All of them together, for the metric: a label for each would grow with the organizations.
    pub(super) fn label(&self) -> String {
        format!("{}.backlog", self.options.retry_queue_prefix)
    }

    fn slot(&self, organization: &OrganizationId) -> Arc<Slot> {
        let new = || Arc::new(Slot::new(organization.clone(), self.options.backlog_queue(organization)));
        lock(&self.slots).entry(organization.clone()).or_insert_with(new).clone()
    }

    /// Waits for the end of a pause.
    async fn awake(&self) {
        // It fails when nobody can pause any more.
        let _ = self.pause.clone().wait_for(Option::is_none).await;
    }

    fn may_declare(&self) -> bool {
        self.options.declare == Declare::Create
    }
}

/// How many wait in a backlog that is open on this line.
async fn depth(slot: &Slot, line: &Arc<Line>) -> Option<u64> {
    slot.stand.read().await.on(line)?;
    line.depth(&slot.queue).await.map(u64::from)
}

impl Options {
    /// The queue of an organization's backlog.
    pub fn backlog_queue(&self, organization: &OrganizationId) -> String {
        organization_queue::name(&format!("{}.backlog", self.retry_queue_prefix), organization)
    }
}

impl Stand {
    fn on(&self, line: &Arc<Line>) -> Option<u64> {
        match self {
            Self::Open { line: open, generation, .. } if Arc::ptr_eq(open, line) => Some(*generation),
            _ => None,
        }
    }
}
