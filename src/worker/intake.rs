//! The story of an event, from the bus and back to it.

use std::time::Instant;

use tracing::{Instrument, Span, warn};

use super::defect::{Defect, caught_at_once};
use super::lanes::{Lane, Ticket};
use super::unfinished::Presence;
use super::verdict::Verdict;
use super::visit::Visit;
use super::{Worker, headers, letters};
use crate::bus::{Delivery, Part};
use crate::event::{Decoded, Event, Piece, Rejection, decode};
use crate::machine::{Again, Phase, Record, Trial, look_again};
use crate::store::StoreError;
use crate::watch::{Sighting, trace};

/// A message in hand, read and with its place in the queues it has to wait in.
pub(super) struct Arrival {
    pub(super) delivery: Delivery,
    pub(super) received: Instant,
    pub(super) decoded: Result<Decoded, Unread>,
    pub(super) tickets: Vec<Ticket>,
    /// With the reception; none for what is of no organization.
    pub(super) visit: Option<Visit>,
    /// From its receipt until it is settled.
    pub(super) span: Span,
    /// Counts it among those that are not over.
    pub(super) _presence: Presence,
}

impl Arrival {
    /// The event, when it is one.
    pub(super) fn event(&self) -> Option<&Event> {
        match &self.decoded {
            Ok(Decoded::Event(event)) => Some(event),
            Ok(Decoded::Several(_)) | Err(_) => None,
        }
    }

    /// Whether there was no room for it.
    pub(super) fn is_turned_away(&self) -> bool {
        self.visit.as_ref().is_some_and(Visit::is_turned_away)
    }
}

/// Why a message is no event.
pub(super) enum Unread {
    /// It breaks a rule.
    Rejected(Box<Rejection>),
    /// Reading it met a defect of the worker's.
    Defect(Defect),
}

impl Worker {
    /// THE STORY: a message is read, waits for its session's turn, is carried into Dynamics step by step, and is
    /// settled: acked once its outcome is durable and announced, else put where it comes back from or is kept.
    pub(super) async fn carry(&self, arrival: Arrival) {
        let span = arrival.span.clone();
        self.tell_the_story(arrival).instrument(span).await;
    }

    async fn tell_the_story(&self, mut arrival: Arrival) {
        self.watch.saw(Sighting::InFlight(1));
        for ticket in &mut arrival.tickets {
            ticket.turn().await;
        }
        let verdict = match self.turned_away(&arrival) {
            Some(verdict) => verdict,
            None => self.judge_safely(&arrival).await,
        };
        self.keep_place(&arrival, &verdict);
        self.settle(arrival, verdict).await;
        self.watch.saw(Sighting::InFlight(-1));
    }

    pub(super) fn receive(&self, delivery: Delivery) -> Arrival {
        let decoded = match caught_at_once(|| decode(&delivery.envelope, &delivery.body, &self.rules.limits)) {
            Ok(decoded) => decoded.map_err(Unread::Rejected),
            Err(defect) => Err(Unread::Defect(defect)),
        };
        let first_seen = headers::past(&delivery.envelope).first_seen.unwrap_or_else(|| self.now());
        let span = trace::message(|| headers::trace(&delivery.envelope));
        let event = match &decoded {
            Ok(Decoded::Event(event)) => Some(event),
            Ok(Decoded::Several(_)) | Err(_) => None,
        };
        if let Some(event) = event {
            trace::identify(&span, event);
        }
        let presence = self.unfinished.comes(event.map(|event| &event.key), first_seen);
        Arrival {
            delivery,
            received: Instant::now(),
            decoded,
            tickets: Vec::new(),
            visit: None,
            span,
            _presence: presence,
        }
    }

    /// Copies of one event and events of one session, one at a time.
    pub(super) fn tickets(&self, arrival: &Arrival) -> Vec<Ticket> {
        match &arrival.decoded {
            Ok(Decoded::Event(event)) => {
                let session = Lane::Session(event.key.organization_id.clone(), event.session_id().clone());
                vec![self.lanes.queue(session), self.lanes.queue(Lane::Event(event.key.clone()))]
            }
            Err(Unread::Rejected(rejection)) => {
                rejection.key().map(|key| self.lanes.queue(Lane::Event(key))).into_iter().collect()
            }
            Ok(Decoded::Several(_)) | Err(Unread::Defect(_)) => Vec::new(),
        }
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
        let is_another = |record: &&Record| {
            record.outcome().is_none() && headers::is_of_this_life(&arrival.delivery.envelope, record.first_seen)
        };
        let first = known.filter(is_another)?;
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
