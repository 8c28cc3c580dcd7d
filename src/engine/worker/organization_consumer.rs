//! Consumer of one organization's queue. It takes the deliveries that can soon have a request to Dynamics in progress,
//! in the queue's order, and starts as many of them as the organization has room for.
//!
//! While an organization is throttled, blocked or paused, events in progress end, none is started, and the few that
//! were taken wait here. A delivery that has waited for [`MAX_HOLD`] is returned to its old place in the queue, and nothing
//! is taken until the organization is available again. The end of the unavailability wakes this consumer, so that
//! waiting costs nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::core::{MAX_HOLD, Worker};
use super::organization_load::OrganizationLoad;
use super::prefetch::{Prefetch, PrefetchChange};
use crate::event::OrganizationId;
use crate::ports::bus::{Consumption, Delivery};
use crate::ports::destination::Availability;
use crate::ports::fleet::Claim;
use crate::ports::metrics::Measurement;

/// Interval at which the room of an organization with events in progress is checked when nothing else happens.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// Interval at which events that wait for a step make room for others. Each of them passes through the broker and the
/// store and returns, and 60,000 of them must not keep the worker busy.
const EVICTION_INTERVAL: Duration = Duration::from_millis(50);
/// Most unacked deliveries of the old consumer at which one with another prefetch starts, because the two add up.
const MAX_OLD_UNACKED: usize = 4;

/// Consumer of one organization's queue.
pub(super) struct OrganizationConsumer {
    worker: Arc<Worker>,
    organization: OrganizationId,
    prefetch: Prefetch,
    /// Pending start of a consumer. Kept until it completes, because the broker may send deliveries from then on.
    opening: Option<BoxFuture<'static, Consumption>>,
    consumption: Option<Consumption>,
    /// Earlier consumers that are not closed yet.
    closing: Vec<CancellationToken>,
    /// True while deliveries that were not started are being returned. None is started or taken until all are back.
    is_requeueing: bool,
    /// Deliveries taken from the queue and not started, in order.
    buffered: VecDeque<Delivery>,
    load: Arc<OrganizationLoad>,
    /// True while events that wait for a refused step keep others out.
    crowded: bool,
    /// Time from which the next of them may make room.
    next_eviction: Instant,
    /// Number of deliveries that wait, not started or for a refused step, as last recorded.
    recorded: usize,
    /// True if the consumer ended by itself, so that the events in progress came over a connection that is gone.
    was_lost: bool,
    in_flight: TaskTracker,
}

/// Something that happened to the consumer.
enum ConsumerEvent {
    Stopped,
    /// Events were processed or settled, or the organization is available again, or it is time to check its room.
    Changed,
    Delivered(Delivery),
    /// The consumer has ended, because its connection is gone or the broker ended it.
    Ended,
    Opened(Consumption),
    /// The delivery held longest has reached the limit.
    Overdue,
    /// The returned deliveries are in their old places.
    Requeued,
}

impl OrganizationConsumer {
    pub(super) fn new(
        worker: Arc<Worker>,
        organization: OrganizationId,
        claim: Option<Claim>,
        in_flight: TaskTracker,
    ) -> Self {
        let prefetch = Prefetch::new(worker.settings.prefetch);
        let load = OrganizationLoad::new(claim, worker.stopping.child_token());
        Self {
            worker,
            organization,
            prefetch,
            opening: None,
            consumption: None,
            closing: Vec::new(),
            is_requeueing: false,
            buffered: VecDeque::new(),
            load: Arc::new(load),
            crowded: false,
            next_eviction: Instant::now(),
            recorded: 0,
            was_lost: false,
            in_flight,
        }
    }

    /// Consumes until it is stopped, then returns the deliveries that were not started, and completes once nothing of
    /// the organization is in progress and every channel is closed.
    pub(super) async fn run(mut self, stopped: CancellationToken) {
        loop {
            let available = self.start_ready();
            self.record_unbegun();
            match self.next_event(available, &stopped).await {
                ConsumerEvent::Stopped => break,
                ConsumerEvent::Changed => {}
                ConsumerEvent::Delivered(delivery) => {
                    let changed = self.prefetch.on_delivery(delivery.redelivered);
                    self.buffered.push_back(delivery);
                    if changed {
                        self.cancel_consumer().await;
                    }
                }
                ConsumerEvent::Ended => {
                    self.consumption = None;
                    self.was_lost = true;
                }
                ConsumerEvent::Opened(consumption) => {
                    self.closing.push(consumption.closed.clone());
                    (self.opening, self.consumption) = (None, Some(consumption));
                    self.was_lost = false;
                    // Events were returned while it was starting. Its deliveries would keep them from ever being back.
                    if self.is_requeueing {
                        self.requeue_buffered().await;
                    }
                }
                ConsumerEvent::Overdue => self.requeue_buffered().await,
                ConsumerEvent::Requeued => self.is_requeueing = false,
            }
            if self.load.take_requeued() {
                self.requeue_buffered().await;
            }
            self.adjust_prefetch().await;
            if self.is_requeueing {
                self.load.clear();
            }
        }
        // Nothing polls it any more, and it may hold what the close of the other channels waits for.
        self.opening = None;
        self.requeue_buffered().await;
        self.record_unbegun();
        if !self.load.is_of_term() {
            return;
        }
        self.load.stop_pausing();
        while self.load.unsettled() > 0 {
            self.load.changed().await;
        }
        all_closed(&mut self.closing).await;
    }

    /// Starts as many events as there is room for. Returns true if the organization is available.
    fn start_ready(&mut self) -> bool {
        self.buffered.retain(|delivery| !delivery.is_lost());
        loop {
            let Some(room) = self.available_room() else { return false };
            if self.is_requeueing || self.load.requesting() >= room {
                return true;
            }
            let Some(delivery) = self.buffered.pop_front() else { return true };
            let slot = self.load.start();
            let now = self.worker.now();
            self.worker.pending.arrivals(&self.organization, |arrivals| arrivals.take(now));
            // Decoded here, one after the other: the order of a session is the order of its lane.
            let arrival = self.worker.receive(delivery, Some(slot));
            let worker = self.worker.clone();
            self.in_flight.spawn(async move { worker.process(arrival).await });
        }
    }

    fn record_unbegun(&mut self) {
        let waiting = self.buffered.len() + self.load.waiting();
        if self.recorded != waiting {
            self.recorded = waiting;
            self.worker.metrics.record(Measurement::Unbegun(&self.organization, self.recorded));
        }
    }

    async fn next_event(&mut self, available: bool, stopped: &CancellationToken) -> ConsumerEvent {
        let overdue = self.buffered.front().map(|delivery| delivery.received + MAX_HOLD);
        self.start_consumer_if_needed(available);
        let (worker, returning) = (self.worker.clone(), self.is_requeueing && self.load.unsettled() == 0);
        tokio::select! {
            biased;
            () = stopped.cancelled() => ConsumerEvent::Stopped,
            () = self.load.changed() => ConsumerEvent::Changed,
            next = next(&mut self.consumption) => next.map_or(ConsumerEvent::Ended, ConsumerEvent::Delivered),
            () = sleep_until(overdue.unwrap_or_else(Instant::now)), if overdue.is_some() => ConsumerEvent::Overdue,
            () = worker.destination.available(&self.organization), if !available => ConsumerEvent::Changed,
            opened = opened(&mut self.opening) => ConsumerEvent::Opened(opened),
            () = all_closed(&mut self.closing), if returning => ConsumerEvent::Requeued,
            () = sleep_until(self.next_eviction), if self.crowded => ConsumerEvent::Changed,
            // A hanging organization loses room, and no other event reports that.
            () = sleep(POLL_INTERVAL), if self.load.unsettled() > 0 => ConsumerEvent::Changed,
        }
    }

    /// Starts a consumer if there is none and its deliveries can be started.
    fn start_consumer_if_needed(&mut self, available: bool) {
        // Events that wait for a step may wait for minutes, and are at most one prefetch.
        let few = self.unacked() <= self.load.waiting() + MAX_OLD_UNACKED || self.was_lost;
        if self.consumption.is_some() || self.opening.is_some() || self.is_requeueing || !available || !few {
            return;
        }
        self.closing.retain(|closed| !closed.is_cancelled());
        let (bus, organization, prefetch) = (self.worker.bus.clone(), self.organization.clone(), self.prefetch.now());
        self.opening = Some(async move { bus.consume(&organization, prefetch).await }.boxed());
    }

    fn available_room(&self) -> Option<usize> {
        match self.worker.destination.availability(&self.organization) {
            Availability::Available { room } => Some(room),
            Availability::Unavailable(_) => None,
        }
    }

    /// Adapts the prefetch to the organization's room. Deliveries beyond a smaller prefetch are returned.
    async fn adjust_prefetch(&mut self) {
        self.prefetch.completed(self.load.take_completed());
        self.crowded = false;
        let Some(room) = self.available_room().filter(|_| self.consumption.is_some()) else { return };
        let starved = self.buffered.is_empty() && self.load.requesting() < room;
        match self.prefetch.adjust(room, self.unacked(), starved) {
            PrefetchChange::None => self.make_room(starved && self.unacked() >= usize::from(self.prefetch.now())),
            PrefetchChange::Grown => self.cancel_consumer().await,
            PrefetchChange::Shrunk => self.requeue_buffered().await,
        }
    }

    /// Moves one of the events that wait for a step to a retry queue if they keep others out.
    fn make_room(&mut self, is_full: bool) {
        self.crowded = is_full && self.load.waiting() > 0;
        let now = Instant::now();
        if self.crowded && self.next_eviction <= now {
            self.load.make_room();
            self.next_eviction = now + EVICTION_INTERVAL;
        }
    }

    fn unacked(&self) -> usize {
        self.load.unsettled() + self.buffered.len()
    }

    /// Ends the consumer, and takes the deliveries that the broker has sent by then.
    async fn cancel_consumer(&mut self) {
        let Some(mut consumption) = self.consumption.take() else { return };
        consumption.cancel.cancel();
        while let Some(delivery) = consumption.deliveries.next().await {
            self.buffered.push_back(delivery);
        }
    }

    /// Returns the deliveries that were not started. They are in their old places once the events in progress have
    /// ended and the channels are closed; until then nothing is taken that would overtake them.
    async fn requeue_buffered(&mut self) {
        self.cancel_consumer().await;
        self.is_requeueing = true;
        if !self.buffered.is_empty() {
            debug!(organization_id = %self.organization, events = self.buffered.len(), "returning events that can't be started to their queue");
        }
        while let Some(delivery) = self.buffered.pop_back() {
            // The broker returns a lost delivery by itself.
            _ = delivery.requeue().await;
        }
    }
}

/// Waits until every consumed delivery is settled or back in the queue.
async fn all_closed(closing: &mut Vec<CancellationToken>) {
    while let Some(closed) = closing.last() {
        closed.cancelled().await;
        closing.pop();
    }
}

/// Waits for the consumer that is being started; never completes if there is none.
async fn opened(opening: &mut Option<BoxFuture<'static, Consumption>>) -> Consumption {
    match opening {
        Some(opening) => opening.await,
        None => std::future::pending().await,
    }
}

/// Waits for the next delivery; `None` at the end. Never completes while nothing is consumed.
async fn next(consumption: &mut Option<Consumption>) -> Option<Delivery> {
    match consumption {
        Some(consumption) => consumption.deliveries.next().await,
        None => std::future::pending().await,
    }
}
