//! A verdict, carried out: announce before the ack, copy before the ack.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tracing::{Instrument, Span, error, info, warn};

use super::Worker;
use super::headers::{self, Headers};
use super::intake::Arrival;
use super::verdict::{DeadLetter, Done, Postponed, Verdict};
use super::visit::Visit;
use crate::bus::{Announced, Announcement, BusError, Delivery, Parked, Settled};
use crate::event::{Decoded, Envelope, EventKey, Kind, OrganizationId};
use crate::machine::{Outcome, Reason, Status, between, render, rung};
use crate::watch::{EventEnd, Sighting, trace};

impl Worker {
    /// Settles a delivery: what is over is announced first. Where the broker is lost, the message stays unacked and
    /// comes again: its outcome is in the store by then, and is only announced.
    pub(super) async fn settle(&self, arrival: Arrival, verdict: Verdict) {
        if let Verdict::Park(organization, postponed) = verdict {
            return self.park(arrival, &organization, &postponed).await;
        }
        // Tickets and visit end with this function: those behind are let go once this one is settled.
        let Arrival { delivery, received, tickets: _tickets, visit: _visit, .. } = arrival;
        let settled = match self.announce(&verdict, &delivery.envelope).await {
            Ok(()) => self.conclude(delivery, received, verdict).await,
            // The connection stands: without a copy in a retry queue the message would not come again.
            Err(problem @ BusError::Refused { .. }) => {
                warn!(error = %problem, "an outcome could not be announced: the event comes back from a retry queue");
                let postponed = self.soon(&verdict, &delivery.envelope);
                self.later(delivery, &postponed).await
            }
            Err(problem) => Err(problem),
        };
        report(settled);
    }

    /// Into its organization's backlog; the reception is told where it is.
    async fn park(&self, mut arrival: Arrival, organization: &OrganizationId, postponed: &Postponed) {
        let mut visit = arrival.visit.take();
        visit.iter_mut().for_each(Visit::parks);
        let Arrival { delivery, decoded, tickets: _tickets, .. } = arrival;
        let headers = with_trace(headers::of_postponed(postponed, &delivery.routing_key), &delivery.envelope);
        let parked = delivery.park(organization, postponed.rung, headers).await;
        if let (Ok(Parked::Later), Ok(Decoded::Event(event))) = (&parked, &decoded) {
            self.away.leaves(event, self.delay(postponed.rung));
            self.unfinished.leaves(&event.key, postponed.first_seen, self.delay(postponed.rung));
        }
        if let (Some(visit), Ok(place)) = (&mut visit, &parked) {
            visit.is_parked(*place);
        }
        report(parked.map(|place| match place {
            Parked::Lost => Settled::Lost,
            Parked::Behind | Parked::Later => {
                self.watch.saw(Sighting::Retried(postponed.why));
                trace::ended("retried", postponed.attempts, Some(postponed.why));
                Settled::Taken
            }
        }));
    }

    async fn conclude(&self, delivery: Delivery, received: Instant, verdict: Verdict) -> Result<Settled, BusError> {
        match verdict {
            Verdict::Done(done) => self.done(delivery, received, &done).await,
            Verdict::Known(key, outcome) => self.known(delivery, &key, &outcome).await,
            Verdict::Later(postponed) | Verdict::Wait(postponed) | Verdict::Park(_, postponed) => {
                self.later(delivery, &postponed).await
            }
            Verdict::Dead(letter) => self.dead(delivery, received, &letter).await,
            Verdict::Split(parts) => delivery.split(parts).await,
        }
    }

    async fn done(&self, delivery: Delivery, received: Instant, done: &Done) -> Result<Settled, BusError> {
        let Done { key, outcome, timestamp } = done;
        let trace = headers::trace(&delivery.envelope);
        let settled = delivery.ack().await?;
        trace::ended(outcome.status.as_str(), outcome.attempts, outcome.reason.map(Reason::as_str));
        self.watch.saw(Sighting::Event(outcome.kind, ended(outcome)));
        self.finished(received, outcome, *timestamp);
        log(key, outcome, &trace, received.elapsed());
        Ok(settled)
    }

    async fn known(&self, delivery: Delivery, key: &EventKey, outcome: &Outcome) -> Result<Settled, BusError> {
        let settled = delivery.ack().await?;
        self.watch.saw(Sighting::Event(outcome.kind, EventEnd::Duplicate));
        trace::ended("duplicate", outcome.attempts, None);
        info!(
            event_id = %key.event_id,
            organization_id = %key.organization_id,
            "an event came again: its outcome was announced again"
        );
        Ok(settled)
    }

    async fn later(&self, delivery: Delivery, postponed: &Postponed) -> Result<Settled, BusError> {
        let headers = with_trace(headers::of_postponed(postponed, &delivery.routing_key), &delivery.envelope);
        let settled = delivery.later(postponed.rung, headers).await?;
        trace::ended("retried", postponed.attempts, Some(postponed.why));
        self.watch.saw(Sighting::Event(postponed.kind, EventEnd::Retried));
        self.watch.saw(Sighting::Retried(postponed.why));
        Ok(settled)
    }

    async fn dead(&self, delivery: Delivery, received: Instant, letter: &DeadLetter) -> Result<Settled, BusError> {
        let headers = with_trace(headers::of_dead(letter, &delivery.routing_key), &delivery.envelope);
        let settled = delivery.dead(headers).await?;
        trace::ended("dead_lettered", letter.outcome.attempts, Some(letter.reason.as_str()));
        self.watch.saw(Sighting::Event(letter.outcome.kind, EventEnd::DeadLettered));
        self.watch.saw(Sighting::DeadLettered(letter.reason));
        self.finished(received, &letter.outcome, letter.timestamp);
        log_dead(letter);
        Ok(settled)
    }

    /// Announces what is over; what is not over has nothing to announce.
    async fn announce(&self, verdict: &Verdict, envelope: &Envelope) -> Result<(), BusError> {
        let Some((key, outcome)) = over(verdict) else { return Ok(()) };
        let announced = render(outcome, key);
        let span = trace::announcement(&announced.event);
        let own = trace::context(&span);
        let announcement = Announcement {
            routing_key: announced.event.clone(),
            message_id: announced.event_id.to_string(),
            body: serde_json::to_vec(&announced).unwrap_or_default(),
            headers: if own.is_empty() { headers::trace(envelope) } else { own },
        };
        if self.bus.announce(announcement).instrument(span).await? == Announced::Unrouted {
            self.watch.saw(Sighting::OutcomeUnrouted(outcome.kind));
            info!(
                event_id = %key.event_id,
                organization_id = %key.organization_id,
                routing_key = announced.event,
                "no queue is bound for an outcome: it is in the store only"
            );
        }
        Ok(())
    }

    /// Back from the shortest retry queue, as it is.
    fn soon(&self, verdict: &Verdict, envelope: &Envelope) -> Postponed {
        let (kind, attempts) =
            over(verdict).map_or((Kind::Handoff, 0), |(_, outcome)| (outcome.kind, outcome.attempts));
        let soonest = rung(Duration::ZERO, &self.rules.policy);
        let first_seen = headers::past(envelope).first_seen.unwrap_or_else(|| self.now());
        Postponed { rung: soonest, kind, attempts, first_seen, deaths: None, why: "outcome_refused" }
    }

    fn finished(&self, received: Instant, outcome: &Outcome, timestamp: Option<Timestamp>) {
        self.watch.saw(Sighting::Finished {
            kind: outcome.kind,
            route: outcome.route,
            elapsed: received.elapsed(),
            age: timestamp.map(|time| between(time, self.now())),
        });
    }
}

/// A copy keeps the trace it came with; one that came with none goes on with the worker's own, where there is one.
fn with_trace(mut headers: Headers, envelope: &Envelope) -> Headers {
    let own = trace::context(&Span::current());
    if !own.is_empty() && headers::trace(envelope).is_empty() {
        headers.extend(own);
    }
    headers
}

fn report(settled: Result<Settled, BusError>) {
    match settled {
        Ok(Settled::Taken) => {}
        Ok(Settled::Lost) => warn!("the connection that a message came by is gone: it comes again"),
        Err(problem) => {
            error!(error = %problem, "a message could not be settled: it comes again with the next connection");
        }
    }
}

/// What a verdict announces, and of which event.
fn over(verdict: &Verdict) -> Option<(&EventKey, &Outcome)> {
    match verdict {
        Verdict::Done(done) => Some((&done.key, &done.outcome)),
        Verdict::Known(key, outcome) => Some((key, outcome)),
        Verdict::Dead(letter) => letter.key.as_ref().map(|key| (key, &letter.outcome)),
        Verdict::Later(_) | Verdict::Wait(_) | Verdict::Park(..) | Verdict::Split(_) => None,
    }
}

fn ended(outcome: &Outcome) -> EventEnd {
    match outcome.status {
        Status::Succeeded => EventEnd::Succeeded,
        Status::Skipped => EventEnd::Skipped,
        Status::Failed => EventEnd::DeadLettered,
    }
}

fn log(key: &EventKey, outcome: &Outcome, trace: &Headers, elapsed: Duration) {
    info!(
        event_id = %key.event_id,
        organization_id = %key.organization_id,
        session_id = outcome.session_id.as_ref().map(tracing::field::display),
        kind = outcome.kind.as_str(),
        route = outcome.route.map(crate::event::Route::as_str),
        status = outcome.status.as_str(),
        reason = outcome.reason.map(crate::machine::Reason::as_str),
        incident_id = outcome.incident.as_ref().map(|incident| tracing::field::display(incident.id)),
        chat_id = outcome.work_item.map(tracing::field::display),
        attempts = outcome.attempts,
        elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        traceparent = headers::traceparent(trace),
        "an event was carried"
    );
}

fn log_dead(letter: &DeadLetter) {
    let error = letter.outcome.error.as_ref();
    warn!(
        event_id = letter.key.as_ref().map(|key| tracing::field::display(&key.event_id)),
        organization_id = letter.key.as_ref().map(|key| tracing::field::display(&key.organization_id)),
        session_id = letter.session_id.as_ref().map(tracing::field::display),
        reason = letter.reason.as_str(),
        attempts = letter.outcome.attempts,
        error = error.map(|error| error.message.as_str()),
        advice = error.and_then(|error| error.advice.as_deref()),
        "an event became a dead letter"
    );
}
