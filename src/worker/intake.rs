//! The story of an event, from the bus and back to it.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures_util::FutureExt;
use tracing::{error, warn};

use super::lanes::{Lane, Ticket};
use super::verdict::{DeadLetter, Postponed, Verdict};
use super::visit::Visit;
use super::{Worker, headers, letters};
use crate::bus::{Delivery, Part};
use crate::event::{Decoded, Event, Kind, Piece, Rejection, decode};
use crate::machine::{Phase, Record, rung};
use crate::store::StoreError;
use crate::watch::Sighting;

/// A message in hand, read and with its place in the queues it has to wait in.
pub(super) struct Arrival {
    pub(super) delivery: Delivery,
    pub(super) received: Instant,
    pub(super) decoded: Result<Decoded, Box<Rejection>>,
    pub(super) tickets: Vec<Ticket>,
    /// With the reception; none for what is of no organization.
    pub(super) visit: Option<Visit>,
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

impl Worker {
    /// THE STORY: a message is read, waits for its session's turn, is carried into Dynamics step by step, and is
    /// settled: acked once its outcome is durable and announced, else put where it comes back from or is kept.
    pub(super) async fn carry(&self, mut arrival: Arrival) {
        self.watch.saw(Sighting::InFlight(1));
        for ticket in &mut arrival.tickets {
            ticket.turn().await;
        }
        let verdict = self.judge_safely(&arrival).await;
        self.keep_place(&arrival, &verdict);
        self.settle(arrival, verdict).await;
        self.watch.saw(Sighting::InFlight(-1));
    }

    pub(super) fn receive(&self, delivery: Delivery) -> Arrival {
        let decoded = decode(&delivery.envelope, &delivery.body, &self.rules.limits);
        Arrival { delivery, received: Instant::now(), decoded, tickets: Vec::new(), visit: None }
    }

    /// Copies of one event and events of one session, one at a time.
    pub(super) fn tickets(&self, arrival: &Arrival) -> Vec<Ticket> {
        let Some(event) = arrival.event() else { return Vec::new() };
        let session = Lane::Session(event.key.organization_id.clone(), event.session_id().clone());
        vec![self.lanes.queue(session), self.lanes.queue(Lane::Event(event.key.clone()))]
    }

    /// A panic is a defect of ours, in this one event: it is tried again, and disturbs no other.
    async fn judge_safely(&self, arrival: &Arrival) -> Verdict {
        match AssertUnwindSafe(self.judge(arrival)).catch_unwind().await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(problem)) => {
                error!(error = %problem, "the store failed: the event goes to a retry queue");
                // No attempt of the event's: a store that is away for long would leave it none.
                self.put_off(arrival, 0, "store")
            }
            Err(_) => {
                error!("a defect in the worker (a panic): the event goes to a retry queue");
                self.put_off(arrival, 1, "panic")
            }
        }
    }

    async fn judge(&self, arrival: &Arrival) -> Result<Verdict, StoreError> {
        let past = headers::past(&arrival.delivery.envelope);
        let first_seen = past.first_seen.unwrap_or_else(|| self.now());
        let event = match &arrival.decoded {
            Ok(Decoded::Event(event)) => event,
            Ok(Decoded::Several(pieces)) => {
                let whole = |piece: &Piece| Part { message_id: piece.message_id.clone(), body: piece.body.clone() };
                return Ok(Verdict::Split(pieces.iter().map(whole).collect()));
            }
            Err(rejection) => {
                let letter = letters::rejected((**rejection).clone(), first_seen, self.now());
                return self.bury(letter, &arrival.delivery.body).await;
            }
        };
        let known = self.store.record(&event.key).await?;
        if let Some(Record { phase: Phase::Finished(outcome), body_digest, .. }) = &known {
            self.compare(event, body_digest, &arrival.delivery.body);
            return Ok(Verdict::Known(event.key.clone(), Box::new(outcome.clone())));
        }
        match self.crm.settings(&event.key.organization_id) {
            Some(settings) => self.drive(event, &settings, known, arrival).await,
            None => {
                self.bury(letters::unknown_organization(event, first_seen, self.now()), &arrival.delivery.body).await
            }
        }
    }

    /// Keeps a dead letter that was never tried, unless its key was answered before: then that answer stands.
    async fn bury(&self, letter: DeadLetter, body: &[u8]) -> Result<Verdict, StoreError> {
        if let Some(key) = &letter.key {
            let known = self.store.record(key).await?;
            let answered = known.is_some_and(|record| matches!(record.phase, Phase::Finished(_)));
            if !answered {
                self.keep_dead(&letter, key, body).await?;
            }
        }
        Ok(Verdict::Dead(Box::new(letter)))
    }

    fn compare(&self, event: &Event, digest: &str, body: &[u8]) {
        if digest == super::drive::digest(body) {
            return;
        }
        self.watch.saw(Sighting::BodyDiffers(event.kind()));
        warn!(
            event_id = %event.key.event_id,
            organization_id = %event.key.organization_id,
            session_id = %event.session_id(),
            "the same event came again with another body: the first one stands"
        );
    }

    fn put_off(&self, arrival: &Arrival, spent: u32, why: &'static str) -> Verdict {
        let past = headers::past(&arrival.delivery.envelope);
        let kind = match &arrival.decoded {
            Ok(Decoded::Event(event)) => event.kind(),
            _ => Kind::Handoff,
        };
        let soonest = rung(std::time::Duration::ZERO, &self.rules.policy);
        Verdict::Later(Postponed {
            rung: soonest,
            kind,
            attempts: past.attempts + spent,
            first_seen: past.first_seen.unwrap_or_else(|| self.now()),
            why,
        })
    }
}
