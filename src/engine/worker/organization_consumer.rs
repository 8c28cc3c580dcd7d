//! The consumer of one organization's queue. It takes what can be under way with Dynamics soon, in the queue's order, and begins
//! as many of them as the organization has room for.
//!
//! An organization that is throttled, blocked or paused: what is under way comes to its end, nothing is begun, and the few that
//! were taken wait here. What has waited for [`HOLD`] goes back to its old place in the queue, and nothing is taken until the
//! organization is available again; whoever ends its trouble wakes this consumer, so waiting costs nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::prefetch::{Change, Prefetch};
use super::room::Room;
use super::{HOLD, Worker};
use crate::event::OrganizationId;
use crate::ports::bus::{Consumption, Delivery};
use crate::ports::destination::Availability;

/// Interval at which an organization with events under way is checked for less room when nothing else happens.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Interval at which events that wait for a step make room for others. Each of them moves through the broker and the store and
/// comes back: 60,000 of them must not keep the worker busy.
const ASIDE_EVERY: Duration = Duration::from_millis(50);
/// A consumer with another prefetch starts once no more than this are unacked of the one before: the two would add up.
const NEARLY_NONE: usize = 4;

/// The consumer of one organization's queue.
pub(super) struct OrganizationConsumer {
    worker: Arc<Worker>,
    organization: OrganizationId,
    prefetch: Prefetch,
    /// A consumer that is being started. Kept until it has: the broker may send to it from then on.
    opening: Option<BoxFuture<'static, Consumption>>,
    consumption: Option<Consumption>,
    /// Those that were consumed by before, and are not closed yet.
    closing: Vec<CancellationToken>,
    /// True while deliveries that were not begun go back; nothing is begun or taken until it is there.
    gives_back: bool,
    /// Taken from the queue and not begun, in order.
    taken: VecDeque<Delivery>,
    room: Arc<Room>,
    /// Events that wait for a step which is refused keep others out.
    crowded: bool,
    /// When the next one of them may make room.
    aside_from: Instant,
    /// The consumer ended by itself: what is under way came by a connection that is gone.
    was_lost: bool,
    in_flight: TaskTracker,
}

/// Something that happened to the consumer.
enum News {
    Stopped,
    /// Events were carried or settled; the organization is available again; it is time to look whether it still answers.
    Changed,
    Delivered(Delivery),
    /// The consumer has ended: its connection is gone, or the broker ended it.
    Ended,
    Opened(Consumption),
    /// The longest-held delivery has been held for long enough.
    Overdue,
    /// The deliveries that were given back are in their old places.
    GaveBack,
}

impl OrganizationConsumer {
    pub(super) fn new(worker: Arc<Worker>, organization: OrganizationId, in_flight: TaskTracker) -> Self {
        let prefetch = Prefetch::new(worker.rules.prefetch);
        Self {
            worker,
            organization,
            prefetch,
            opening: None,
            consumption: None,
            closing: Vec::new(),
            gives_back: false,
            taken: VecDeque::new(),
            room: Arc::default(),
            crowded: false,
            aside_from: Instant::now(),
            was_lost: false,
            in_flight,
        }
    }

    /// Consumes until it is stopped. What was taken and not begun goes back.
    pub(super) async fn run(mut self, stopped: CancellationToken) {
        loop {
            let available = self.begin();
            match self.news(available, &stopped).await {
                News::Stopped => break,
                News::Changed => {}
                News::Delivered(delivery) => {
                    let changed = self.prefetch.comes(delivery.redelivered);
                    self.taken.push_back(delivery);
                    if changed {
                        self.end().await;
                    }
                }
                News::Ended => {
                    self.consumption = None;
                    self.was_lost = true;
                }
                News::Opened(consumption) => {
                    self.closing.push(consumption.closed.clone());
                    (self.opening, self.consumption) = (None, Some(consumption));
                    self.was_lost = false;
                }
                News::Overdue => self.give_back().await,
                News::GaveBack => self.gives_back = false,
            }
            if self.room.take_gave_back() {
                self.give_back().await;
            }
            self.follow().await;
            if self.gives_back {
                self.room.clear();
            }
        }
        self.give_back().await;
    }

    /// Begins what there is room for. Whether the organization is available.
    fn begin(&mut self) -> bool {
        self.taken.retain(|delivery| !delivery.is_lost());
        loop {
            let Some(room) = self.available_room() else { return false };
            if self.gives_back || self.room.carrying() >= room {
                return true;
            }
            let Some(delivery) = self.taken.pop_front() else { return true };
            let place = self.room.begin();
            // Read here, one after the other: the order of a session is the order of its lane.
            let arrival = self.worker.receive(delivery, Some(place));
            let worker = self.worker.clone();
            self.in_flight.spawn(async move { worker.process(arrival).await });
        }
    }

    async fn news(&mut self, available: bool, stopped: &CancellationToken) -> News {
        let overdue = self.taken.front().map(|delivery| delivery.received + HOLD);
        self.open(available);
        let (worker, returning) = (self.worker.clone(), self.gives_back && self.room.under_way() == 0);
        tokio::select! {
            biased;
            () = stopped.cancelled() => News::Stopped,
            () = self.room.changed() => News::Changed,
            next = next(&mut self.consumption) => next.map_or(News::Ended, News::Delivered),
            () = sleep_until(overdue.unwrap_or_else(Instant::now)), if overdue.is_some() => News::Overdue,
            () = worker.crm.available(&self.organization), if !available => News::Changed,
            opened = opened(&mut self.opening) => News::Opened(opened),
            () = all_closed(&mut self.closing), if returning => News::GaveBack,
            () = sleep_until(self.aside_from), if self.crowded => News::Changed,
            // An organization that hangs has less room, and nothing happens that says so.
            () = sleep(LOOK_EVERY), if self.room.under_way() > 0 => News::Changed,
        }
    }

    /// Starts a consumer where there is none, once there is something to do with its deliveries.
    fn open(&mut self, available: bool) {
        // Those that wait for a step may do so for minutes, and are few: a prefetch's worth.
        let few = self.unacked() <= self.room.waiting() + NEARLY_NONE || self.was_lost;
        if self.consumption.is_some() || self.opening.is_some() || self.gives_back || !available || !few {
            return;
        }
        self.closing.retain(|closed| !closed.is_cancelled());
        let (bus, organization, prefetch) = (self.worker.bus.clone(), self.organization.clone(), self.prefetch.now());
        self.opening = Some(async move { bus.consume(&organization, prefetch).await }.boxed());
    }

    fn available_room(&self) -> Option<usize> {
        match self.worker.crm.availability(&self.organization) {
            Availability::Available { room } => Some(room),
            Availability::Unavailable(_) => None,
        }
    }

    /// Changes the prefetch as the organization's room changes. What is too much for a smaller one goes back.
    async fn follow(&mut self) {
        self.prefetch.carried(self.room.take_carried());
        self.crowded = false;
        let Some(room) = self.available_room().filter(|_| self.consumption.is_some()) else { return };
        let starved = self.taken.is_empty() && self.room.carrying() < room;
        match self.prefetch.follow(room, self.unacked(), starved) {
            Change::None => self.make_room(starved && self.unacked() >= usize::from(self.prefetch.now())),
            Change::Grown => self.end().await,
            Change::Shrunk => self.give_back().await,
        }
    }

    /// Where events that wait for a step keep others out, one of them goes aside.
    fn make_room(&mut self, is_full: bool) {
        self.crowded = is_full && self.room.waiting() > 0;
        let now = Instant::now();
        if self.crowded && self.aside_from <= now {
            self.room.make_room();
            self.aside_from = now + ASIDE_EVERY;
        }
    }

    fn unacked(&self) -> usize {
        self.room.under_way() + self.taken.len()
    }

    /// Ends the consumer; what the broker has sent by then is taken.
    async fn end(&mut self) {
        let Some(mut consumption) = self.consumption.take() else { return };
        consumption.cancel.cancel();
        while let Some(delivery) = consumption.deliveries.next().await {
            self.taken.push_back(delivery);
        }
    }

    /// Gives back what was not begun. It is in its old place once what is under way is over and the channels are closed; until then
    /// nothing is taken that would overtake it.
    async fn give_back(&mut self) {
        self.end().await;
        self.gives_back = true;
        if !self.taken.is_empty() {
            debug!(organization_id = %self.organization, events = self.taken.len(), "gives back events that can't be begun");
        }
        while let Some(delivery) = self.taken.pop_back() {
            // A delivery that is lost goes back by itself.
            _ = delivery.give_back().await;
        }
    }
}

/// Waits until everything that was consumed is settled or back in the queue.
async fn all_closed(closing: &mut Vec<CancellationToken>) {
    while let Some(closed) = closing.last() {
        closed.cancelled().await;
        closing.pop();
    }
}

/// The consumer that was being started. Pending while none is.
async fn opened(opening: &mut Option<BoxFuture<'static, Consumption>>) -> Consumption {
    match opening {
        Some(opening) => opening.await,
        None => std::future::pending().await,
    }
}

/// The next delivery; none at the end. Pending while nothing is consumed.
async fn next(consumption: &mut Option<Consumption>) -> Option<Delivery> {
    match consumption {
        Some(consumption) => consumption.deliveries.next().await,
        None => std::future::pending().await,
    }
}
