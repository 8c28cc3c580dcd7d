//! Unfinished events that this worker has taken from a queue, and the ages of those that wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::arrivals::{EventAges, OrganizationArrivals, RetriedMessage};
use crate::event::OrganizationId;

/// Registry of the messages in flight, by a number of their own, because an invalid message has no key.
#[derive(Default)]
pub(super) struct PendingEvents(Mutex<Messages>);

#[derive(Default)]
struct Messages {
    first_seen: HashMap<u64, Timestamp>,
    /// Arrivals of the organizations with unfinished events.
    organizations: HashMap<OrganizationId, OrganizationArrivals>,
    numbers: u64,
}

/// Entry of the registry; dropping it removes it.
pub(super) struct PendingEntry {
    all: Arc<PendingEvents>,
    number: u64,
    organization: Option<OrganizationId>,
    first_seen: Timestamp,
}

impl PendingEvents {
    /// Returns the time a worker first received the oldest of them; `None` if there is none.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.lock().first_seen.values().copied().min()
    }

    /// Registers a message that a worker first received at this time.
    pub(super) fn register(
        self: &Arc<Self>,
        first_seen: Timestamp,
        event: Option<(OrganizationId, RetriedMessage)>,
    ) -> PendingEntry {
        let mut messages = self.lock();
        messages.numbers += 1;
        let number = messages.numbers;
        messages.first_seen.insert(number, first_seen);
        let organization = event.map(|(organization, message)| {
            messages.organizations.entry(organization.clone()).or_default().hold(number, message);
            organization
        });
        PendingEntry { all: self.clone(), number, organization, first_seen }
    }

    /// Applies a change to an organization's arrivals.
    pub(super) fn arrivals(&self, organization: &OrganizationId, change: impl FnOnce(&mut OrganizationArrivals)) {
        let mut messages = self.lock();
        let arrivals = messages.organizations.entry(organization.clone()).or_default();
        change(arrivals);
        if arrivals.is_empty() {
            messages.organizations.remove(organization);
        }
    }

    /// Returns the ages of an organization's unfinished events.
    pub(super) fn ages(&self, organization: &OrganizationId, now: Timestamp) -> EventAges {
        let mut messages = self.lock();
        messages.organizations.get_mut(organization).map(|arrivals| arrivals.ages(now)).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Messages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PendingEntry {
    /// Returns the time a worker first received the message.
    pub(super) fn first_seen(&self) -> Timestamp {
        self.first_seen
    }
}

impl Drop for PendingEntry {
    fn drop(&mut self) {
        self.all.lock().first_seen.remove(&self.number);
        if let Some(organization) = &self.organization {
            self.all.arrivals(organization, |arrivals| arrivals.release(self.number, self.first_seen));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::samples::at;

    #[test]
    fn the_oldest_is_the_one_that_was_seen_first() {
        let all = Arc::new(PendingEvents::default());
        assert_eq!(all.oldest(), None);
        let (early, late) = (at("2026-11-22T10:00:00Z"), at("2026-11-22T11:00:00Z"));
        let (first, second) = (all.register(early, None), all.register(late, None));
        assert_eq!(all.oldest(), Some(early));
        drop(first);
        assert_eq!(all.oldest(), Some(late));
        drop(second);
        assert_eq!(all.oldest(), None);
    }
}
