//! The story of an event, from the bus and back to it.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::Receiver;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::defect::{Defect, caught_at_once};
use super::lanes::{Lane, Ticket};
use super::verdict::Verdict;
use super::{Worker, headers, letters};
use crate::bus::{Delivery, Part};
use crate::event::{Decoded, Event, Piece, Rejection, decode};
use crate::machine::{Again, Phase, Record, Trial, look_again};
use crate::store::StoreError;
use crate::watch::Sighting;

/// A message in hand, read and with its place in the queues it has to wait in.
pub(super) struct Arrival {
    pub(super) delivery: Delivery,
    pub(super) received: Instant,
    pub(super) decoded: Result<Decoded, Unread>,
    tickets: Vec<Ticket>,
}

/// Why a message is no event.
pub(super) enum Unread {
    /// It breaks a rule.
    Rejected(Box<Rejection>),
    /// Reading it met a defect of the worker's.
    Defect(Defect),
}

impl Worker {
    /// Carries everything that is delivered, until the stream ends and the last one in hand is settled.
    pub async fn run(self: Arc<Self>, mut deliveries: Receiver<Delivery>) {
        let in_hand = TaskTracker::new();
        while let Some(delivery) = deliveries.recv().await {
            // Read here, one after the other: that is what keeps the order of a session.
            let arrival = self.receive(delivery);
            let worker = self.clone();
            in_hand.spawn(async move { worker.carry(arrival).await });
        }
        in_hand.close();
        in_hand.wait().await;
    }

    /// THE STORY: a message is read, waits for its session's turn, is carried into Dynamics step by step, and is
    /// settled: acked once its outcome is durable and announced, else put where it comes back from or is kept.
    async fn carry(&self, mut arrival: Arrival) {
        self.watch.saw(Sighting::InFlight(1));
        for ticket in &mut arrival.tickets {
            ticket.turn().await;
        }
        let verdict = self.judge_safely(&arrival).await;
        self.settle(arrival.delivery, arrival.received, verdict).await;
        self.watch.saw(Sighting::InFlight(-1));
    }

    fn receive(&self, delivery: Delivery) -> Arrival {
        let decoded = match caught_at_once(|| decode(&delivery.envelope, &delivery.body, &self.rules.limits)) {
            Ok(decoded) => decoded.map_err(Unread::Rejected),
            Err(defect) => Err(Unread::Defect(defect)),
        };
        let tickets = match &decoded {
            Ok(Decoded::Event(event)) => self.tickets(event),
            Err(Unread::Rejected(rejection)) => {
                rejection.key().map(|key| self.lanes.queue(Lane::Event(key))).into_iter().collect()
            }
            Ok(Decoded::Several(_)) | Err(Unread::Defect(_)) => Vec::new(),
        };
        Arrival { delivery, received: Instant::now(), decoded, tickets }
    }

    /// Copies of one event and events of one session, one at a time.
    fn tickets(&self, event: &Event) -> Vec<Ticket> {
        let session = Lane::Session(event.key.organization_id.clone(), event.session_id().clone());
        vec![self.lanes.queue(session), self.lanes.queue(Lane::Event(event.key.clone()))]
    }

    pub(super) async fn judge(&self, arrival: &Arrival) -> Result<Verdict, StoreError> {
        let past = headers::past(&arrival.delivery.envelope);
        let first_seen = past.first_seen.unwrap_or_else(|| self.now());
        let event = match &arrival.decoded {
            Ok(Decoded::Event(event)) => event,
            Ok(Decoded::Several(pieces)) => {
                let whole = |piece: &Piece| Part { message_id: piece.message_id.clone(), body: piece.body.clone() };
                return Ok(Verdict::Split(pieces.iter().map(whole).collect()));
            }
            Err(Unread::Rejected(rejection)) => {
                let letter = letters::rejected((**rejection).clone(), first_seen, self.now());
                return self.bury(letter, &arrival.delivery.body).await;
            }
            Err(Unread::Defect(defect)) => return Ok(self.stumble_blindly(arrival, defect)),
        };
        let known = self.store.record(&event.key).await?;
        if let Some(Record { phase: Phase::Finished(outcome), body_digest, .. }) = &known {
            self.differs(event, body_digest, &arrival.delivery.body);
            return Ok(Verdict::Known(event.key.clone(), Box::new(outcome.clone())));
        }
        if let Some(verdict) = self.give_way(event, known.as_ref(), arrival) {
            return Ok(verdict);
        }
        match self.crm.settings(&event.key.organization_id) {
            Some(settings) => self.drive(event, &settings, known, arrival).await,
            None => {
                self.bury(letters::unknown_organization(event, first_seen, self.now()), &arrival.delivery.body).await
            }
        }
    }

    /// Another body came under this key while the first one is still under way: once that is answered, so is this one.
    fn give_way(&self, event: &Event, known: Option<&Record>, arrival: &Arrival) -> Option<Verdict> {
        let replay = headers::is_replay(&arrival.delivery.envelope);
        let first = known.filter(|record| record.outcome().is_none() && !replay)?;
        if !self.differs(event, &first.body_digest, &arrival.delivery.body) {
            return None;
        }
        let past = headers::past(&arrival.delivery.envelope);
        let (now, attempts) = (self.now(), past.attempts);
        let trial = Trial { attempts, now, first_seen: past.first_seen.unwrap_or(now) };
        match look_again(trial, None, &self.rules.policy) {
            Again::Later(rung) => Some(self.put_off(arrival, rung, attempts, "first_awaited")),
            // The first one has not been seen for so long that it will not come any more.
            Again::Soon | Again::InLine | Again::Never(_) => None,
        }
    }

    /// Whether a message of a known key has another body than the first one; noted where it has.
    fn differs(&self, event: &Event, digest: &str, body: &[u8]) -> bool {
        if digest == super::drive::digest(body) {
            return false;
        }
        self.watch.saw(Sighting::BodyDiffers(event.kind()));
        warn!(
            event_id = %event.key.event_id,
            organization_id = %event.key.organization_id,
            session_id = %event.session_id(),
            "the same event came again with another body: the first one stands"
        );
        true
    }
}
