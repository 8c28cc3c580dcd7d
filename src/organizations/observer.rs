//! State of organizations as operators see it: of those that this worker owns from its own adapters, of the others as
//! their owners have reported it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::fleet::{Fleet, SharedReport};
use jiff::Timestamp;

use super::known::KnownOrganizations;
use super::organization::Organization;
use super::owner_report::{OwnFacts, OwnerReport, QueueFacts, Reported};
use super::view::{OrganizationFacts, OrganizationView};
use crate::dynamics::Dynamics;
use crate::rabbit::Rabbit;
use crate::telemetry::metrics::PrometheusMetrics;

/// Observer of organizations.
pub(super) struct OrganizationObserver {
    pub(super) dynamics: Arc<Dynamics>,
    pub(super) broker: Arc<Rabbit>,
    pub(super) metrics: Arc<PrometheusMetrics>,
    pub(super) fleet: Arc<dyn Fleet>,
    /// Organizations whose state is unknown, with the time at which this was first seen.
    pub(super) unreported: Mutex<HashMap<OrganizationId, Timestamp>>,
}

impl OrganizationObserver {
    /// Returns the current state of an organization, unless it was removed meanwhile.
    pub(super) fn view(&self, organization: &Organization, known: &KnownOrganizations) -> Option<OrganizationView> {
        let id = &organization.settings.organization_id;
        let facts = OrganizationFacts {
            paused: known.pauses.get(id).copied(),
            waiting: self.metrics.waiting(id),
            worker: self.fleet.owner(id),
        };
        Some(OrganizationView::new(organization, self.reported(organization, known)?, facts))
    }

    /// Returns the report on an organization that this worker owns, as text for the others.
    pub(super) fn report(&self, id: &OrganizationId, known: &KnownOrganizations) -> Option<String> {
        self.own(known.get(id)?, known).map(|report| report.text())
    }

    fn reported(&self, organization: &Organization, known: &KnownOrganizations) -> Option<Reported> {
        let id = &organization.settings.organization_id;
        let here = || {
            let faulty = known.faults.of(organization.source.file());
            OwnerReport::of_bystander(self.queue(id), faulty)
        };
        let found = match self.fleet.report(id) {
            // Without a limiter it was removed meanwhile.
            SharedReport::Own => Some(Reported::Here(self.own(organization, known)?)),
            SharedReport::Recent(text) => OwnerReport::read(&text).map(|it| Reported::Elsewhere(it.seen_by(here()))),
            SharedReport::Unknown => None,
        };
        let mut unreported = self.unreported.lock().unwrap_or_else(PoisonError::into_inner);
        if found.is_some() {
            unreported.remove(id);
            return found;
        }
        Some(Reported::Nowhere(here(), *unreported.entry(id.clone()).or_insert_with(Timestamp::now)))
    }

    fn queue(&self, id: &OrganizationId) -> QueueFacts {
        QueueFacts { block: self.broker.queue_block(id), refusing: self.broker.refusing_queue(id) }
    }

    fn own(&self, organization: &Organization, known: &KnownOrganizations) -> Option<OwnerReport> {
        let id = &organization.settings.organization_id;
        let limiter = self.dynamics.condition(id)?;
        let facts = OwnFacts {
            queue: self.queue(id),
            faulty: known.faults.of(organization.source.file()),
            activity: self.metrics.activity(id, limiter.wait.is_some()),
            ages: self.metrics.event_ages(id),
            waiting: self.metrics.waiting(id),
        };
        Some(OwnerReport::new(limiter, facts, Timestamp::now()))
    }
}
