//! Path of an event, from its organization's queue to its settlement.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::time::timeout_at;
use tracing::{Instrument, debug, warn};

use super::arrival::{Arrival, LaneTurn, Undecodable, event_in, is_current_run};
use super::arrivals::RetriedMessage;
use super::attempt::digest;
use super::caught_panic::caught_at_once;
use super::core::{MAX_HOLD, Worker};
use super::headers::MessageHistory;
use super::lanes::{Lane, Ticket};
use super::organization_load::LoadSlot;
use super::settle::Disposition;
use super::settlement::{NewDeadLetter, Settlement};
use super::{headers, new_dead_letter};
use crate::event::{Decoded, Event, OrganizationId, Piece, Rejection, decode};
use crate::ports::bus::{Delivery, Part};
use crate::ports::destination::Availability;
use crate::ports::fleet::OwnershipState;
use crate::ports::metrics::Measurement;
use crate::ports::store::StoreError;
use crate::ports::trace;
use crate::workflow::{Phase, Record, RetryDecision, recheck_after, shortest_rung};

impl Worker {
    /// Processes a message to its settlement: waits for its session's turn, answers a finished event from the store,
    /// waits for its organization, performs the steps in Dynamics, and settles the delivery. Its place among the events
    /// that need Dynamics is free once it needs no more requests.
    pub(super) async fn process(&self, arrival: Arrival) {
        let span = arrival.span.clone();
        // On the heap: a spawned future of this size would be copied several times.
        Box::pin(self.process_in_span(arrival)).instrument(span).await;
    }

    async fn process_in_span(&self, mut arrival: Arrival) {
        self.metrics.record(Measurement::InFlight(1));
        let turn = arrival.turn().await;
        let key = arrival.event().filter(|_| arrival.claim.is_some()).map(|event| event.key.clone());
        // An attempt whose delivery was lost with the lease is continued, and not made twice.
        if key.as_ref().is_some_and(|key| turn == LaneTurn::Now && self.tracker.take_interrupted(key)) {
            arrival.message_history.waited_for_store = true;
        }
        let settlement = match turn {
            LaneTurn::Now => Some(self.settle_or_recover(&arrival).await),
            LaneTurn::Requeue => Some(Settlement::Requeue),
            LaneTurn::Lost => None,
        };
        let slot = arrival.slot.take();
        slot.iter().for_each(LoadSlot::mark_completed);
        if let Some(settlement) = settlement {
            let lost = arrival.delivery.lost.clone();
            let tracked = self.track_settlement(&arrival, &settlement);
            let disposition = self.settle(arrival, settlement).await;
            if let Some(key) = key.filter(|_| disposition == Disposition::Unacked) {
                self.tracker.interrupt(&key);
            }
            self.track_end(tracked, disposition).await;
            // A lost delivery is back with the end of its connection; no other must be returned for it.
            if disposition == Disposition::Unacked && !lost.is_cancelled() {
                slot.iter().for_each(LoadSlot::mark_requeued);
            }
        } else {
            self.track_return(&arrival);
            debug!("the connection of a delivery is gone; the broker will redeliver the event");
        }
        self.metrics.record(Measurement::InFlight(-1));
    }

    pub(super) async fn decide_settlement(&self, arrival: &Arrival) -> Result<Settlement, StoreError> {
        let event = match &arrival.decoded {
            Ok(Decoded::Event(event)) => event,
            Ok(Decoded::Split(pieces)) => return Ok(Settlement::Split(pieces.iter().map(part).collect())),
            Err(Undecodable::Rejected(rejection)) => return self.reject(arrival, rejection).await,
            Err(Undecodable::Defect(defect)) => return Ok(self.after_panic_from_headers(arrival, defect)),
        };
        let mut known = self.load_known(event, arrival).await?;
        if let Some(settlement) = self.stored_settlement(event, known.record.as_ref(), arrival) {
            return Ok(settlement);
        }
        if let Some(settlement) = self.postpone_if_body_conflicts(event, known.record.as_ref(), arrival) {
            return Ok(settlement);
        }
        let Some(settings) = self.destination.settings(&event.key.organization_id) else {
            let organization = &event.key.organization_id;
            if !self.destination.is_complete() || self.fleet.may_be_configured_elsewhere(organization).await {
                // Operators ask for it, though it is in no organization's queue.
                self.tracker.routed(event, self.now());
                return Ok(self.wait_for_organization(arrival));
            }
            return self.dead_letter(self.unknown_organization(event, arrival), arrival).await;
        };
        // An organization that became known meanwhile is not necessarily this worker's.
        if arrival.slot.is_none() && self.fleet.ownership(&event.key.organization_id) != OwnershipState::Sole {
            return Ok(self.wait_for_organization(arrival));
        }
        if !self.is_available(&event.key.organization_id) {
            if !self.wait_until_available(&event.key.organization_id, arrival).await {
                return Ok(Settlement::Requeue);
            }
            // Other events of the organization may have changed what this one depends on.
            known = self.load_known(event, arrival).await?;
        }
        self.attempt(event, &settings, known, arrival).await
    }

    /// Decodes a message and takes its places in the lanes: the order of calls is the order of turns.
    pub(super) fn receive(&self, delivery: Delivery, slot: Option<LoadSlot>) -> Arrival {
        let decoded = match caught_at_once(|| decode(&delivery.envelope, &delivery.body, &self.settings.limits)) {
            Ok(decoded) => decoded.map_err(Undecodable::Rejected),
            Err(defect) => Err(Undecodable::Defect(defect)),
        };
        let message_history = headers::message_history(&delivery.envelope, self.now());
        let span = trace::message(|| headers::trace(&delivery.envelope));
        let event = event_in(&decoded);
        if let Some(event) = event {
            trace::identify(&span, event);
        }
        let first_seen = self.first_seen(&message_history);
        let event = event
            .map(|Event { key, .. }| (key.organization_id.clone(), RetriedMessage::new(first_seen, &key.event_id)));
        let pending = self.pending.register(first_seen, event);
        let tickets = self.tickets(&decoded);
        let claim = slot.as_ref().and_then(LoadSlot::claim).cloned();
        let ending = slot.as_ref().map_or(&self.stopping, LoadSlot::ending).clone();
        let received = Instant::now();
        Arrival { delivery, received, decoded, message_history, tickets, span, pending, slot, claim, ending }
    }

    /// Takes the places in the lanes of the event's session and of its copies.
    fn tickets(&self, decoded: &Result<Decoded, Undecodable>) -> Vec<Ticket> {
        match decoded {
            Ok(Decoded::Event(event)) => {
                let session = Lane::Session(event.key.organization_id.clone(), event.session_id().clone());
                vec![self.lanes.queue(session), self.lanes.queue(Lane::Event(event.key.clone()))]
            }
            Err(Undecodable::Rejected(rejection)) => {
                rejection.key().map(|key| self.lanes.queue(Lane::Event(key))).into_iter().collect()
            }
            Ok(Decoded::Split(_)) | Err(Undecodable::Defect(_)) => Vec::new(),
        }
    }

    async fn reject(&self, arrival: &Arrival, rejection: &Rejection) -> Result<Settlement, StoreError> {
        let letter =
            new_dead_letter::rejected(rejection.clone(), self.first_seen(&arrival.message_history), self.now());
        self.dead_letter(letter, arrival).await
    }

    fn wait_for_organization(&self, arrival: &Arrival) -> Settlement {
        self.retry_later(
            arrival,
            shortest_rung(&self.settings.policy),
            arrival.message_history.age,
            "unknown_organization",
        )
    }

    fn unknown_organization(&self, event: &Event, arrival: &Arrival) -> NewDeadLetter {
        // It may have waited in its organization's queue until the organization was removed.
        let received = self.tracker.get(&event.key).and_then(|tracked| tracked.received());
        let first_seen = self.first_seen(&arrival.message_history);
        let first_seen = received.map_or(first_seen, |received| received.min(first_seen));
        new_dead_letter::unknown_organization(event, first_seen, self.now())
    }

    /// Settles an event that was decided before and still has to be announced, or announced again. Needs no request to
    /// Dynamics.
    pub(super) fn stored_settlement(
        &self,
        event: &Event,
        known: Option<&Record>,
        arrival: &Arrival,
    ) -> Option<Settlement> {
        let record = known?;
        match &record.phase {
            Phase::Finished(outcome) => {
                self.report_body_mismatch(event, &record.body_digest, &arrival.delivery.body);
                Some(Settlement::Known(event.key.clone(), Box::new(outcome.clone())))
            }
            Phase::Dead(_) if is_still_to_be_settled(arrival, record) => {
                new_dead_letter::decided(event, record).map(|letter| Settlement::Dead(Box::new(letter)))
            }
            _ => None,
        }
    }

    /// Postpones an event whose key belongs to an unfinished event with another body. It gets that event's answer once
    /// there is one.
    fn postpone_if_body_conflicts(
        &self,
        event: &Event,
        known: Option<&Record>,
        arrival: &Arrival,
    ) -> Option<Settlement> {
        let is_another = |record: &&Record| record.outcome().is_none() && is_current_run(arrival, record);
        let first = known.filter(is_another)?;
        if !self.report_body_mismatch(event, &first.body_digest, &arrival.delivery.body) {
            return None;
        }
        let age = arrival.message_history.age.unwrap_or_default();
        match recheck_after(age, None, &self.settings.policy) {
            RetryDecision::After(rung) => Some(self.retry_later(arrival, rung, Some(age), "first_awaited")),
            // The first one has been missing for so long that it will not return.
            RetryDecision::Now
            | RetryDecision::WhenAvailable
            | RetryDecision::WhenStepAllowed
            | RetryDecision::GiveUp(_) => None,
        }
    }

    /// Returns true, and reports it, if the body differs from that of the first event with this key.
    fn report_body_mismatch(&self, event: &Event, first: &str, body: &[u8]) -> bool {
        if first == digest(body) {
            return false;
        }
        self.metrics.record(Measurement::BodyDiffers(event.kind()));
        warn!(
            event_id = %event.key.event_id,
            organization_id = %event.key.organization_id,
            session_id = %event.session_id(),
            "duplicate event has a different body; the first one wins"
        );
        true
    }

    fn is_available(&self, organization: &OrganizationId) -> bool {
        matches!(self.destination.availability(organization), Availability::Available { .. })
    }

    /// Waits until the organization is available, for as long as the delivery may be held. Returns false if it is not
    /// available by then.
    pub(super) async fn wait_until_available(&self, organization: &OrganizationId, arrival: &Arrival) -> bool {
        if self.is_available(organization) {
            return true;
        }
        let until = arrival.delivery.received + MAX_HOLD;
        tokio::select! {
            biased;
            available = timeout_at(until, self.destination.available(organization)) => available.is_ok(),
            () = arrival.delivery.lost.cancelled() => false,
            () = arrival.ending.cancelled() => false,
        }
    }

    /// Returns the time a worker first received a message; now, unless its headers give another.
    pub(super) fn first_seen(&self, message_history: &MessageHistory) -> Timestamp {
        message_history.first_seen.unwrap_or_else(|| self.now())
    }

    /// Returns the time for which a retry queue holds a message.
    pub(super) fn delay(&self, rung: usize) -> Duration {
        self.settings.policy.delays.get(rung).copied().unwrap_or_default()
    }
}

/// Returns true for an event that is dead and still has to be announced or copied. A redelivered poison message may be
/// the one that was copied and whose ack was lost: treated as a new event, it would crash the process as often once
/// more.
fn is_still_to_be_settled(arrival: &Arrival, record: &Record) -> bool {
    let redelivered_poison = record.poison && arrival.delivery.redelivered;
    is_current_run(arrival, record) && (!record.settled || redelivered_poison)
}

fn part(piece: &Piece) -> Part {
    Part { message_id: piece.message_id.clone(), body: piece.body.clone() }
}
