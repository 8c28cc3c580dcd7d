//! Execution of settlements: the announcement, or the copy, is confirmed before the ack.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::time::sleep;
use tracing::{Instrument, Span, debug, error, info, warn};

use super::account::{OrganizationAccount, end_of};
use super::arrival::{Arrival, event_in};
use super::backoff::Backoff;
use super::caught_panic::caught;
use super::core::{MAX_HOLD, Worker};
use super::headers::{self, CopyHeaders};
use super::lanes::Ticket;
use super::settlement::{FinishedEvent, NewDeadLetter, Postponed, Settlement};
use crate::event::{Envelope, Event, EventKey, Kind, SessionId};
use crate::ports::bus::{Announced, Announcement, BusError, CopyTo, Delivery, Settled};
use crate::ports::fleet::Claim;
use crate::ports::metrics::{EventEnd, Measurement};
use crate::ports::store::{Change, StoreError};
use crate::ports::trace;
use crate::workflow::{Outcome, Reason, Record, elapsed, render};

impl Worker {
    /// Settles a delivery; a final outcome is announced first. If the connection is lost, the message stays unacked and
    /// is redelivered: its outcome is in the store by then, and only the announcement is repeated. If a destination
    /// refuses a message or does not confirm it, the event goes to the retry ladder, and its decision stands.
    pub(super) async fn settle(&self, arrival: Arrival, settlement: Settlement) -> Disposition {
        // The tickets end with this function, so events behind proceed only once this one is settled.
        let account = OrganizationAccount::new(&arrival, &settlement);
        let Arrival { delivery, received, decoded, tickets, claim, pending, message_history, .. } = arrival;
        let received = EventReceipt { delivered: received, first_seen: pending.first_seen() };
        let event = event_in(&decoded).map(EventName::of);
        let is_void = claim.as_ref().is_some_and(|claim| !self.fleet.holds(claim));
        let settlement = if is_void && !matches!(settlement, Settlement::Requeue) { self.fenced() } else { settlement };
        let is_dead = matches!(settlement, Settlement::Dead(_));
        let announced = if is_dead && message_history.announced {
            Ok(())
        } else {
            self.announce(&settlement, &delivery.envelope).await
        };
        // Said once, however often the dead-letter queue refuses it.
        let is_announced = is_dead && announced.is_ok();
        let settled = match announced {
            Ok(()) => self.conclude((&delivery, event), (received, claim), settlement).await,
            Err(problem) => Err(problem),
        };
        match settled {
            Ok(AfterCopy::Ack) => {
                account.enter(self);
                report(delivery.ack().await);
                Disposition::Acked
            }
            Ok(AfterCopy::Requeue) => {
                account.enter(self);
                tickets.into_iter().for_each(Ticket::requeue);
                report(delivery.requeue().await);
                Disposition::Unacked
            }
            Ok(AfterCopy::Again) => self.retry_refused(delivery, event, ("store", is_announced)).await,
            Err(problem) if problem.is_of_destination() => {
                debug!(error = %problem, "could not announce or copy a decided event; moving it to a retry queue");
                self.retry_refused(delivery, event, ("destination_refused", is_announced)).await
            }
            Err(problem) => {
                log_unsettled(&problem, "could not settle a message; the broker will redeliver it");
                Disposition::Unacked
            }
        }
    }

    /// Moves a message to the retry ladder because a destination refuses it, one rung further each time.
    pub(super) async fn retry_refused(
        &self,
        delivery: Delivery,
        event: Option<EventName<'_>>,
        (why, announced): (&'static str, bool),
    ) -> Disposition {
        let message_history = headers::message_history(&delivery.envelope, self.now());
        let last = self.settings.policy.delays.len().saturating_sub(1);
        let rung = usize::try_from(message_history.refusals).unwrap_or(usize::MAX).min(last);
        let refusals = message_history.refusals.saturating_add(1);
        let postponed = self.postponed_from_headers(&message_history, Kind::Handoff, rung, why);
        let postponed = Postponed { refusals, announced: postponed.announced || announced, ..postponed };
        // Before the copy, as a short wait may be over before this is.
        if let Some(event) = event {
            self.track_retry(event.key, rung, why);
        }
        match self.copy_to_any_retry_queue(&delivery, event, &postponed).await {
            Ok(()) => {
                report(delivery.ack().await);
                Disposition::Postponed
            }
            Err(problem) => {
                log_unsettled(&problem, "could not move an event to a retry queue; returning it to its queue");
                report(delivery.requeue().await);
                Disposition::Unacked
            }
        }
    }

    /// Puts a copy into a retry queue, trying again while every one of them refuses it, as they do while a cluster elects
    /// their leaders. Returned to its queue instead, the message would come back at once: in the inbox, the broker gives
    /// it up after 20 deliveries, which took 50 ms (measured).
    async fn copy_to_any_retry_queue(
        &self,
        delivery: &Delivery,
        event: Option<EventName<'_>>,
        postponed: &Postponed,
    ) -> Result<(), BusError> {
        let mut pauses = Backoff::new();
        loop {
            let copied = self.copy_later(delivery, event, postponed).await;
            let is_refused = copied.as_ref().is_err_and(BusError::is_of_destination);
            let pause = pauses.next((self.clock.random)());
            if !is_refused || delivery.received.elapsed() + pause > MAX_HOLD || !self.pause(delivery, pause).await {
                return copied;
            }
        }
    }

    /// Waits with a delivery in hand. Returns false if there is no more time for it.
    async fn pause(&self, delivery: &Delivery, pause: Duration) -> bool {
        tokio::select! {
            biased;
            () = delivery.lost.cancelled() => false,
            () = self.stopping.cancelled() => false,
            () = sleep(pause) => true,
        }
    }

    async fn conclude(
        &self,
        (delivery, event): (&Delivery, Option<EventName<'_>>),
        (received, claim): (EventReceipt, Option<Claim>),
        settlement: Settlement,
    ) -> Result<AfterCopy, BusError> {
        match settlement {
            Settlement::Done(done) => self.done(delivery, received, &done),
            Settlement::Known(key, outcome) => self.known(&key, &outcome),
            Settlement::Later(postponed) => self.copy_later(delivery, event, &postponed).await?,
            Settlement::Dead(letter) => return self.dead(delivery, (received, claim), *letter).await,
            Settlement::Split(parts) => delivery.split(parts).await?,
            Settlement::Requeue => return Ok(AfterCopy::Requeue),
        }
        Ok(AfterCopy::Ack)
    }

    fn done(&self, delivery: &Delivery, received: EventReceipt, done: &FinishedEvent) {
        let FinishedEvent { key, outcome, timestamp } = done;
        trace::ended(outcome.status.as_str(), outcome.attempts, outcome.reason.map(Reason::as_str));
        self.metrics.record(Measurement::Event(outcome.kind, end_of(outcome)));
        let received_at = self.tracker.get(key).and_then(|tracked| tracked.received());
        self.finished(received, received_at, outcome, *timestamp);
        let total = received_at.map(|at| elapsed(at, self.now()));
        log(key, outcome, &headers::trace(&delivery.envelope), (received.delivered.elapsed(), total));
    }

    fn known(&self, key: &EventKey, outcome: &Outcome) {
        self.metrics.record(Measurement::Event(outcome.kind, EventEnd::Duplicate));
        trace::ended("duplicate", outcome.attempts, None);
        info!(
            event_id = %key.event_id,
            organization_id = %key.organization_id,
            "duplicate event; announced the stored outcome again"
        );
    }

    async fn copy_later(
        &self,
        delivery: &Delivery,
        event: Option<EventName<'_>>,
        postponed: &Postponed,
    ) -> Result<(), BusError> {
        let headers = with_trace(headers::for_retry(postponed, &delivery.routing_key), &delivery.envelope);
        delivery.copy(CopyTo::Retry(postponed.rung), headers).await?;
        trace::ended("retried", postponed.attempts, Some(postponed.why));
        self.metrics.record(Measurement::Event(postponed.kind, EventEnd::Retried));
        self.metrics.record(Measurement::Retried(postponed.why));
        let event_id = event.map(|event| event.key.event_id.as_str());
        debug!(
            event_id = event_id.or(delivery.envelope.message_id.as_deref()),
            organization_id = event.map(|event| event.key.organization_id.as_str()),
            session_id = event.map(|event| event.session_id.as_str()),
            reason = postponed.why,
            attempts = postponed.attempts,
            delay_s = self.delay(postponed.rung).as_secs(),
            "event waits in a retry queue"
        );
        Ok(())
    }

    async fn dead(
        &self,
        delivery: &Delivery,
        (received, claim): (EventReceipt, Option<Claim>),
        letter: NewDeadLetter,
    ) -> Result<AfterCopy, BusError> {
        let headers = with_trace(headers::for_dead_letter(&letter, &delivery.routing_key), &delivery.envelope);
        delivery.copy(CopyTo::DeadLetters, headers).await?;
        trace::ended("dead_lettered", letter.outcome.attempts, Some(letter.reason.as_str()));
        self.metrics.record(Measurement::Event(letter.outcome.kind, EventEnd::DeadLettered));
        self.metrics.record(Measurement::DeadLettered(letter.reason));
        let received_at = letter.key().and_then(|key| self.tracker.get(&key)?.received());
        self.finished(received, received_at, &letter.outcome, letter.timestamp);
        log_dead(&letter);
        Ok(self.lies_in_the_dead_letter_queue(letter, claim).await)
    }

    /// Records that the dead letter is in its queue, so that the same key starts over. This is durable before the ack:
    /// with the message gone, a replay of the letter must not be mistaken for a message that still has to be settled.
    /// If the store fails, the event is redelivered and copied again.
    async fn lies_in_the_dead_letter_queue(&self, letter: NewDeadLetter, claim: Option<Claim>) -> AfterCopy {
        let (Some(key), Some(record)) = (letter.key(), letter.record) else { return AfterCopy::Ack };
        let settled = Record { settled: true, ..*record };
        let changes = claim.map(Change::Guard).into_iter().chain([Change::Record(key, Box::new(settled))]);
        match caught(self.store.persist(changes.collect())).await {
            Ok(Ok(())) => AfterCopy::Ack,
            Ok(Err(StoreError::Fenced)) => {
                self.metrics.record(Measurement::Fenced);
                AfterCopy::Requeue
            }
            Ok(Err(problem)) => {
                error!(error = %problem, "the store failed after a dead letter was copied; it will be copied again");
                AfterCopy::Again
            }
            Err(_) => AfterCopy::Again,
        }
    }

    /// Announces a final outcome; does nothing for an unfinished event.
    async fn announce(&self, settlement: &Settlement, envelope: &Envelope) -> Result<(), BusError> {
        let Some((key, outcome)) = over(settlement) else { return Ok(()) };
        let announced = render(outcome, &key);
        let span = trace::announcement(&announced.event);
        let own = trace::context(&span);
        let announcement = Announcement {
            routing_key: announced.event.clone(),
            message_id: announced.event_id.to_string(),
            body: serde_json::to_vec(&announced).unwrap_or_default(),
            headers: if own.is_empty() { headers::trace(envelope) } else { own },
        };
        if self.bus.announce(announcement).instrument(span).await? == Announced::Unrouted {
            self.metrics.record(Measurement::OutcomeUnrouted(outcome.kind));
            info!(
                event_id = %key.event_id,
                organization_id = %key.organization_id,
                routing_key = announced.event,
                "no queue is bound for an outcome; it is only in the store"
            );
        }
        Ok(())
    }

    fn finished(
        &self,
        received: EventReceipt,
        by_router: Option<Timestamp>,
        outcome: &Outcome,
        timestamp: Option<Timestamp>,
    ) {
        let now = self.now();
        let first = by_router.map_or(received.first_seen, |at| at.min(received.first_seen));
        self.metrics.record(Measurement::Finished {
            kind: outcome.kind,
            route: outcome.route,
            // Times of two processes may differ; the delivery's own is exact.
            elapsed: elapsed(first, now).max(received.delivered.elapsed()),
            age: timestamp.map(|time| elapsed(time, now)),
        });
    }
}

/// EventReceipt of an event: by this delivery, and by any worker for the first time.
#[derive(Clone, Copy)]
struct EventReceipt {
    delivered: Instant,
    first_seen: Timestamp,
}

/// Adds the worker's own trace context, if any, to a copy that has none.
fn with_trace(mut headers: CopyHeaders, envelope: &Envelope) -> CopyHeaders {
    let own = trace::context(&Span::current());
    if !own.is_empty() && headers::trace(envelope).is_empty() {
        headers.extend(own);
    }
    headers
}

/// Identifiers of an event for log lines.
#[derive(Clone, Copy)]
pub(super) struct EventName<'a> {
    /// Key of the event.
    pub(super) key: &'a EventKey,
    /// Conversation of the event.
    pub(super) session_id: &'a SessionId,
}

impl<'a> EventName<'a> {
    fn of(event: &'a Event) -> Self {
        Self { key: &event.key, session_id: event.session_id() }
    }
}

/// Place of a message after its settlement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Disposition {
    /// The message is acknowledged.
    Acked,
    /// A copy waits in a retry queue, since a destination refuses it; the message is acknowledged.
    Postponed,
    /// The message returns to its queue, at the latest when its channel is closed.
    Unacked,
}

/// Remaining step of a delivery once its copy is safe.
enum AfterCopy {
    Ack,
    Requeue,
    /// Move it to a retry queue: it is decided, and returns for the remaining steps.
    Again,
}

fn report(settled: Settled) {
    if settled == Settled::Lost {
        debug!("could not acknowledge message; the broker will redeliver it");
    }
}

/// Logs that a message was not settled. The loss of the connection has a line of its own, with the number of messages, so
/// that the message's own is for those who debug.
pub(super) fn log_unsettled(problem: &BusError, text: &str) {
    if matches!(problem, BusError::Away | BusError::Broken { .. }) {
        debug!(error = %problem, "{text}");
    } else {
        error!(error = %problem, "{text}");
    }
}

/// Returns the outcome that a settlement announces, and its event.
fn over(settlement: &Settlement) -> Option<(Cow<'_, EventKey>, &Outcome)> {
    match settlement {
        Settlement::Done(done) => Some((Cow::Borrowed(&done.key), &done.outcome)),
        Settlement::Known(key, outcome) => Some((Cow::Borrowed(key), outcome)),
        Settlement::Dead(letter) => letter.key().map(|key| (Cow::Owned(key), &letter.outcome)),
        Settlement::Later(_) | Settlement::Requeue | Settlement::Split(_) => None,
    }
}

/// Logs a finished event. `elapsed`: since its last delivery; `total`: since the router received it, waits included.
fn log(key: &EventKey, outcome: &Outcome, trace: &CopyHeaders, (elapsed, total): (Duration, Option<Duration>)) {
    let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    info!(
        event_id = %key.event_id,
        organization_id = %key.organization_id,
        session_id = outcome.session_id.as_ref().map(tracing::field::display),
        kind = outcome.kind.as_str(),
        route = outcome.route.map(crate::event::Route::as_str),
        status = outcome.status.as_str(),
        reason = outcome.reason.map(crate::workflow::Reason::as_str),
        incident_id = outcome.incident.as_ref().map(|incident| tracing::field::display(incident.id)),
        chat_id = outcome.work_item.map(tracing::field::display),
        attempts = outcome.attempts,
        elapsed_ms = milliseconds(elapsed),
        total_ms = total.map(milliseconds),
        traceparent = headers::traceparent(trace),
        "event completed"
    );
}

fn log_dead(letter: &NewDeadLetter) {
    let error = letter.outcome.error.as_ref();
    warn!(
        event_id = letter.event_id.as_ref().map(tracing::field::display),
        organization_id = letter.organization_id.as_ref().map(tracing::field::display),
        session_id = letter.session_id.as_ref().map(tracing::field::display),
        reason = letter.reason.as_str(),
        attempts = letter.outcome.attempts,
        error = error.map(|error| error.message.as_str()),
        advice = error.and_then(|error| error.advice.as_deref()),
        "event dead-lettered"
    );
}
