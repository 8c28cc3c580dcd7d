//! Handoffs that wait in retry queues, by session, so that a resolution which has overtaken one can wait for it.
//!
//! The store has an entry of a handoff once it has begun. One whose organization's queue refused it, or was too young,
//! has not: while a broker's node is replaced, its resolution may be accepted and reach the worker first.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::event::{EventId, EventKey, OrganizationId, SessionId};

/// Most handoffs that are remembered, which takes about 5 MB. A resolution does not wait for a later one.
const MOST_RETRIED: usize = 20_000;

/// Unfinished handoffs that were put into a retry queue.
#[derive(Default)]
pub(super) struct RetriedHandoffs(Mutex<BTreeSet<(OrganizationId, SessionId, EventId)>>);

impl RetriedHandoffs {
    /// Records that a handoff was put into a retry queue.
    pub(super) fn add(&self, key: &EventKey, session: &SessionId) {
        let mut retried = self.lock();
        if retried.len() < MOST_RETRIED {
            retried.insert(entry(key, session));
        }
    }

    /// Forgets a handoff that is over.
    pub(super) fn remove(&self, key: &EventKey, session: &SessionId) {
        let mut retried = self.lock();
        if !retried.is_empty() {
            retried.remove(&entry(key, session));
        }
    }

    /// Returns true if a session has such a handoff.
    pub(super) fn contains(&self, organization: &OrganizationId, session: &SessionId) -> bool {
        let retried = self.lock();
        if retried.is_empty() {
            return false;
        }
        let first = (organization.clone(), session.clone(), EventId::from(""));
        retried.range(first..).next().is_some_and(|(its, of, _)| its == organization && of == session)
    }

    /// Forgets the handoffs of an organization.
    pub(super) fn forget(&self, organization: &OrganizationId) {
        self.lock().retain(|(its, ..)| its != organization);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<(OrganizationId, SessionId, EventId)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry(key: &EventKey, session: &SessionId) -> (OrganizationId, SessionId, EventId) {
    (key.organization_id.clone(), session.clone(), key.event_id.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(event: &str) -> EventKey {
        EventKey { organization_id: "org_acme".into(), event_id: event.into() }
    }

    #[test]
    fn a_session_has_a_retried_handoff_until_the_last_one_is_over_or_its_organization_is_forgotten() {
        let retried = RetriedHandoffs::default();
        let (first, second) = (key("evt_1"), key("evt_2"));
        let (organization, session) = (&first.organization_id, &SessionId::from("ses_1"));
        let other = OrganizationId::from("org_other");
        for key in [&first, &second, &second] {
            retried.add(key, session);
        }
        assert!(!retried.contains(&other, session) && !retried.contains(organization, &SessionId::from("ses_2")));
        retried.remove(&first, session);
        assert!(retried.contains(organization, session), "the second one");
        for key in [&second, &second] {
            retried.remove(key, session);
        }
        assert!(!retried.contains(organization, session));
        retried.add(&first, session);
        retried.forget(&other);
        assert!(retried.contains(organization, session));
        retried.forget(organization);
        assert!(!retried.contains(organization, session));
        assert_eq!(retried.lock().len(), 0);
    }
}
