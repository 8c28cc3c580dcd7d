//! Why an event can't be carried now, found out before anything is asked of Dynamics; and where it waits instead.

use std::time::Duration;

use jiff::Timestamp;
use tracing::debug;

use super::drive::Drive;
use super::intake::Arrival;
use super::remember::opening;
use super::verdict::{Postponed, Verdict};
use super::{Worker, headers};
use crate::crm::{Shut, Standing};
use crate::machine::{Again, Decision, Record, Remedy, Suspicion, Trial, after, rung};
use crate::store::StoreError;

/// Why an event can't be carried now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Obstacle {
    /// Others of its session are still away, for so long.
    Behind(Duration),
    /// Its organization is shut.
    Shut(Shut, Timestamp),
}

impl Worker {
    /// Where an event waits that there was no room for: behind all others of its organization. Nothing is asked of the
    /// store: it is not this one's turn, and what the store has of its key may be another copy's, and not yet on the disk.
    pub(super) fn turned_away(&self, arrival: &Arrival) -> Option<Verdict> {
        let event = arrival.event().filter(|_| arrival.is_turned_away())?;
        let past = headers::past(&arrival.delivery.envelope);
        let soonest = rung(Duration::ZERO, &self.rules.policy);
        let deaths = self.suspicion(&arrival.delivery, None).deaths().max(past.deaths);
        let postponed = self.as_told(arrival, soonest, past.attempts, "crowded");
        let deaths = headers::deaths_to_tell(&arrival.delivery.envelope, deaths);
        Some(Verdict::Park(event.key.organization_id.clone(), Postponed { deaths, ..postponed }))
    }

    /// Remembers whether others of its session have to wait for an event. Before its ticket is given back, and not sooner:
    /// an event that is put off again and again keeps its place before those that came after it.
    pub(super) fn keep_place(&self, arrival: &Arrival, verdict: &Verdict) {
        let Some(event) = arrival.event() else { return };
        match verdict {
            Verdict::Wait(postponed) => self.away.leaves(event, self.delay(postponed.rung)),
            Verdict::Park(..) if arrival.is_turned_away() => self.away.joins_backlog(event),
            Verdict::Park(..) => self.away.returns_to_backlog(event),
            _ => self.away.is_back(event),
        }
    }

    /// How long a retry queue holds a message.
    pub(super) fn delay(&self, rung: usize) -> Duration {
        self.rules.policy.delays.get(rung).copied().unwrap_or_default()
    }
}

impl Drive<'_> {
    /// What keeps this event from being carried, if anything does. After `retry.max_age` nothing but a pause does: it goes
    /// on, and whoever refuses it says why, which is why it is given up then.
    pub(super) fn obstacle(&self) -> Option<Obstacle> {
        let obstacle = self.worker.away.ahead(self.event).map(Obstacle::Behind).or_else(|| self.shut())?;
        (!matches!(self.again(obstacle), Again::Never(_))).then_some(obstacle)
    }

    fn again(&self, obstacle: Obstacle) -> Again {
        let trial = match obstacle {
            // Somebody wants it so: however long that takes, no event is given up for it.
            Obstacle::Shut(Shut::Paused, _) => Trial { first_seen: self.worker.now(), ..self.trial() },
            _ => self.trial(),
        };
        after(obstacle.remedy(self.worker.now()), trial, &self.worker.rules.policy)
    }

    fn shut(&self) -> Option<Obstacle> {
        // What is to be answered without Dynamics is answered, however its organization stands.
        let Decision::Call(_) = self.next() else { return None };
        match self.worker.crm.standing(&self.event.key.organization_id) {
            Standing::Open { .. } => None,
            Standing::Shut { until, why } => Some(Obstacle::Shut(why, until)),
        }
    }

    /// Puts it where it waits. No attempt is spent, and the disk is not waited for: there may be thousands.
    pub(super) async fn stand_back(&mut self, obstacle: Obstacle, suspicion: Suspicion) -> Result<Verdict, StoreError> {
        self.record.attempts -= 1;
        // It was not tried: whoever was a suspect is one still.
        self.deaths = suspicion.deaths();
        let now = self.worker.now();
        if matches!(obstacle, Obstacle::Shut(..))
            && let Some(change) = opening(self.event, &mut self.memory, now)
        {
            // A resolution that comes back before its handoff waits for it, after a crash too once this is on the disk. Not
            // so where others are ahead: a resolution among those must not wait for a handoff that came after it.
            self.worker.store.note(vec![change]).await?;
        }
        debug!(
            event_id = %self.event.key.event_id,
            organization_id = %self.event.key.organization_id,
            session_id = %self.event.session_id(),
            ?obstacle,
            "an event waits in the broker"
        );
        let Again::Later(rung) = self.again(obstacle) else { return Ok(self.park(obstacle.as_str())) };
        Ok(self.put_off(rung, obstacle.as_str()))
    }

    /// Into a retry queue, for no fault of its own: those of its session wait behind it.
    pub(super) fn put_off(&self, rung: usize, why: &'static str) -> Verdict {
        Verdict::Wait(self.postponed(rung, why))
    }

    /// Into its organization's backlog.
    pub(super) fn park(&self, why: &'static str) -> Verdict {
        let soonest = rung(Duration::ZERO, &self.worker.rules.policy);
        Verdict::Park(self.event.key.organization_id.clone(), self.postponed(soonest, why))
    }

    pub(super) fn postponed(&self, rung: usize, why: &'static str) -> Postponed {
        let Record { kind, attempts, first_seen, .. } = self.record;
        let deaths = headers::deaths_to_tell(self.envelope, self.deaths);
        Postponed { rung, kind, attempts, first_seen, deaths, why }
    }
}

impl Obstacle {
    fn remedy(self, now: Timestamp) -> Remedy {
        match self {
            Self::Behind(wait) => Remedy::NotBefore(now.saturating_add(wait).unwrap_or(now)),
            Self::Shut(Shut::Throttled, until) => Remedy::NotBefore(until),
            Self::Shut(Shut::Blocked | Shut::Paused, _) => Remedy::Hold,
        }
    }

    /// The `reason` label of `handoffd_retries_total`.
    fn as_str(self) -> &'static str {
        match self {
            Self::Behind(_) => "in_order",
            Self::Shut(Shut::Throttled, _) => "throttled",
            Self::Shut(Shut::Blocked, _) => "blocked",
            Self::Shut(Shut::Paused, _) => "paused",
        }
    }
}
