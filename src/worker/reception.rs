//! Where every message comes in: from the work queue and from the backlogs, and is taken up when there is room for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::TaskTracker;

use super::desk::{Desk, Ruling};
use super::intake::Arrival;
use super::lanes::Lane;
use super::visit::{News, Stream, Visit};
use super::{Worker, headers};
use crate::bus::{Backlog, Delivery};
use crate::event::OrganizationId;
use crate::machine::between;

/// Those who wait are looked at again after this: a gate opens by the clock, without a word.
const LOOK: Duration = Duration::from_millis(25);
/// The same while looking changes nothing.
const LONGEST_LOOK: Duration = Duration::from_millis(50);
/// A backlog that nothing has come out of for so long is counted: it may be empty without this worker's doing.
const QUIET: Duration = Duration::from_secs(1);

/// Who receives, until there is nothing more to receive.
struct Reception {
    worker: Arc<Worker>,
    desk: Desk<Visitor>,
    begun: Instant,
    next_look: Instant,
    pause: Duration,
    in_hand: TaskTracker,
    news: UnboundedSender<News>,
    /// What is taken from; a number for each, as the end of one may be heard of after the beginning of the next.
    streams: Vec<Stream>,
    numbers: u64,
}

/// A message that waits to be ruled on.
struct Visitor {
    arrival: Arrival,
    /// Told when it is taken up: the next one of its backlog may come.
    taken: Option<oneshot::Sender<()>>,
}

impl Worker {
    /// Carries everything that is delivered, until the stream ends and the last one in hand is settled.
    pub async fn run(self: Arc<Self>, mut deliveries: Receiver<Delivery>) {
        let mut backlogs = self.bus.backlogs().await;
        let (news, mut heard) = unbounded_channel();
        let mut reception = Reception::new(self, news);
        loop {
            tokio::select! {
                // A backlog is known of before what might overtake it.
                biased;
                Some(backlog) = backlogs.recv() => reception.opened(backlog),
                Some(news) = heard.recv() => reception.heard(news),
                () = sleep_until(reception.next_look), if reception.desk.has_waiting() => reception.look(),
                delivery = deliveries.recv() => match delivery {
                    Some(delivery) => reception.receive(delivery),
                    None => break,
                },
            }
        }
        // Whoever was not taken up comes again.
        let Reception { in_hand, .. } = reception;
        in_hand.close();
        in_hand.wait().await;
    }
}

impl Worker {
    /// How long a message may still be tried.
    fn time_left(&self, arrival: &Arrival) -> Duration {
        let now = self.now();
        let first_seen = headers::past(&arrival.delivery.envelope).first_seen.unwrap_or(now);
        let age = between(first_seen, now);
        self.rules.policy.max_age.saturating_sub(age)
    }
}

impl Reception {
    fn new(worker: Arc<Worker>, news: UnboundedSender<News>) -> Self {
        let desk = Desk::new(worker.rules.prefetch);
        let (begun, in_hand, streams) = (Instant::now(), TaskTracker::new(), Vec::new());
        Self { worker, desk, begun, next_look: begun, pause: LOOK, in_hand, news, streams, numbers: 0 }
    }

    /// Read here, one after the other: that is what keeps the order of a session.
    fn receive(&mut self, delivery: Delivery) {
        let arrival = self.worker.receive(delivery);
        let Some(organization) = self.ruled(&arrival) else { return self.carry(arrival) };
        let now = self.begun.elapsed();
        self.desk.arrives(&organization, Visitor { arrival, taken: None }, now);
        self.rule(&organization);
    }

    /// The organization by whose rules it is taken up; what is of none, or of one that is not configured, is only put away.
    fn ruled(&self, arrival: &Arrival) -> Option<OrganizationId> {
        let organization = &arrival.event()?.key.organization_id;
        self.worker.crm.settings(organization).is_some().then(|| organization.clone())
    }

    fn heard(&mut self, news: News) {
        let organization = match news {
            News::Left(organization, source) => {
                self.desk.left(&organization, source);
                organization
            }
            News::Parks(organization) => return self.desk.parks(&organization),
            News::Parked(organization, place) => {
                self.desk.parked(&organization, place);
                organization
            }
            News::First(stream, delivery, taken) => return self.comes_first(&stream, delivery, taken),
            News::Quiet(stream) => return self.count(stream.organization),
            News::Counted(organization, from, waiting) => {
                self.desk.counted(&organization, from, waiting);
                organization
            }
            News::Ended(stream) => return self.ended(&stream),
        };
        self.rule(&organization);
    }

    fn opened(&mut self, backlog: Backlog) {
        let Backlog { organization, waiting, deliveries } = backlog;
        self.numbers += 1;
        let stream = Stream { organization, number: self.numbers };
        self.streams.retain(|known| known.organization != stream.organization);
        self.streams.push(stream.clone());
        self.desk.opened(&stream.organization, waiting);
        tokio::spawn(forward(stream, deliveries, self.news.clone()));
    }

    fn comes_first(&mut self, stream: &Stream, delivery: Delivery, taken: oneshot::Sender<()>) {
        if !self.streams.contains(stream) {
            return;
        }
        let arrival = self.worker.receive(delivery);
        match self.ruled(&arrival) {
            Some(organization) if organization == stream.organization => {
                let expires = self.begun.elapsed().saturating_add(self.worker.time_left(&arrival));
                self.desk.comes_first(&organization, Visitor { arrival, taken: Some(taken) }, expires);
                self.rule(&organization);
            }
            // Not what belongs there: removed meanwhile, or put there by somebody else.
            _ => {
                let _ = taken.send(());
                self.carry(arrival);
            }
        }
    }

    fn ended(&mut self, stream: &Stream) {
        if self.streams.contains(stream) {
            self.streams.retain(|known| known != stream);
            self.desk.ended(&stream.organization);
            self.rule(&stream.organization);
        }
    }

    /// Has a backlog counted that should have something in it, but brings nothing.
    fn count(&self, organization: OrganizationId) {
        let Some(from) = self.desk.count_from(&organization) else { return };
        let (bus, news) = (self.worker.bus.clone(), self.news.clone());
        tokio::spawn(async move {
            if let Some(waiting) = bus.waiting(&organization).await {
                let _ = news.send(News::Counted(organization, from, waiting));
            }
        });
    }

    fn look(&mut self) {
        self.pause = (self.pause * 2).min(LONGEST_LOOK);
        for organization in self.desk.undecided() {
            self.rule(&organization);
        }
        self.next_look = Instant::now() + self.pause;
    }

    fn rule(&mut self, organization: &OrganizationId) {
        while self.desk.is_undecided(organization) {
            let standing = self.worker.crm.standing(organization);
            let ruling = self.desk.rule(organization, standing, self.begun.elapsed());
            self.pause = if ruling.is_some() { LOOK } else { self.pause };
            match ruling {
                None => return,
                Some(Ruling::Take(Visitor { mut arrival, taken }, source)) => {
                    arrival.visit = Some(Visit::taken(organization.clone(), source, self.news.clone()));
                    if let Some(taken) = taken {
                        // The stream has ended meanwhile; this one was of it.
                        let _ = taken.send(());
                    }
                    self.carry(arrival);
                }
                Some(Ruling::Park(Visitor { mut arrival, .. })) => {
                    arrival.visit = Some(Visit::turned_away(organization.clone(), self.news.clone()));
                    self.put_behind(arrival);
                }
            }
        }
    }

    /// Its place among those in hand is taken here: in the order of the rulings.
    fn carry(&self, mut arrival: Arrival) {
        arrival.tickets = self.worker.tickets(&arrival);
        let worker = self.worker.clone();
        self.in_hand.spawn(async move { worker.carry(arrival).await });
    }

    /// It does not wait for those in hand, only for others of its session that go to the backlog.
    fn put_behind(&self, mut arrival: Arrival) {
        let lane =
            arrival.event().map(|event| Lane::Backlog(event.key.organization_id.clone(), event.session_id().clone()));
        arrival.tickets = lane.into_iter().map(|lane| self.worker.lanes.queue(lane)).collect();
        let worker = self.worker.clone();
        self.in_hand.spawn(async move { worker.carry(arrival).await });
    }
}

/// Brings the events of a backlog, one after the other.
async fn forward(stream: Stream, mut deliveries: Receiver<Delivery>, news: UnboundedSender<News>) {
    loop {
        let heard = match timeout(QUIET, deliveries.recv()).await {
            Ok(Some(delivery)) => {
                let (taken, turn) = oneshot::channel();
                let heard = news.send(News::First(stream.clone(), delivery, taken));
                if turn.await.is_err() {
                    break;
                }
                heard
            }
            Ok(None) => break,
            Err(_) => news.send(News::Quiet(stream.clone())),
        };
        if heard.is_err() {
            return;
        }
    }
    let _ = news.send(News::Ended(stream));
}
