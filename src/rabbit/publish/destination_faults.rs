//! Destinations that refuse messages or don't confirm them. Each is a reason for which the worker is not ready.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use tokio::sync::watch;

use crate::rabbit::shared::{lock, send_if_new};

/// Exchanges and queues in trouble.
pub(in crate::rabbit) struct DestinationFaults {
    all: Mutex<BTreeMap<String, DestinationTrouble>>,
    /// Reason to pause consuming, if a destination refuses write permission.
    forbidden: watch::Sender<Option<String>>,
}

/// Trouble of one destination.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum DestinationTrouble {
    /// The broker has not confirmed a message within `broker.confirm_timeout`.
    Unconfirmed,
    /// This user has no write permission.
    Forbidden(String),
}

impl DestinationFaults {
    pub(in crate::rabbit) fn new() -> Self {
        Self { all: Mutex::default(), forbidden: watch::Sender::new(None) }
    }

    /// Records that a destination is in trouble. Returns true if this is new.
    pub(super) fn report(&self, destination: &str, trouble: DestinationTrouble) -> bool {
        let mut all = self.lock();
        let is_new = all.get(destination) != Some(&trouble);
        all.insert(destination.to_owned(), trouble);
        self.publish(&all);
        is_new
    }

    /// Records that a destination accepts messages. Returns true if this is new.
    pub(in crate::rabbit) fn clear(&self, destination: &str) -> bool {
        let mut all = self.lock();
        let is_new = all.remove(destination).is_some();
        if is_new {
            self.publish(&all);
        }
        is_new
    }

    /// Forgets all troubles at the end of a connection; the next one detects them again.
    pub(in crate::rabbit) fn clear_all(&self) {
        let mut all = self.lock();
        all.clear();
        self.publish(&all);
    }

    /// Returns true if a destination is in trouble.
    pub(in crate::rabbit) fn contains(&self, destination: &str) -> bool {
        self.lock().contains_key(destination)
    }

    /// Reasons for which the worker is not ready.
    pub(in crate::rabbit) fn reasons(&self) -> Vec<String> {
        self.lock().iter().map(|(destination, trouble)| trouble.in_words(destination)).collect()
    }

    /// Subscribes to the reason to pause consuming; `None` while all destinations accept messages.
    pub(in crate::rabbit) fn forbidden(&self) -> watch::Receiver<Option<String>> {
        self.forbidden.subscribe()
    }

    fn publish(&self, all: &BTreeMap<String, DestinationTrouble>) {
        let forbidden = all.iter().find(|(_, trouble)| matches!(trouble, DestinationTrouble::Forbidden(_)));
        let reason = forbidden.map(|(destination, trouble)| trouble.in_words(destination));
        send_if_new(&self.forbidden, reason);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, DestinationTrouble>> {
        lock(&self.all)
    }
}

impl DestinationTrouble {
    fn in_words(&self, destination: &str) -> String {
        match self {
            Self::Unconfirmed => format!(
                "the broker does not confirm messages for `{destination}`; check that its queue has a leader; retrying automatically"
            ),
            Self::Forbidden(problem) => {
                format!("no write permission for `{destination}` ({problem}); grant it; retrying automatically")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_reported_once_and_names_its_destination() {
        let faults = DestinationFaults::new();
        let forbidden = faults.forbidden();
        assert!(faults.report("handoffd.retry.5s", DestinationTrouble::Unconfirmed));
        assert!(!faults.report("handoffd.retry.5s", DestinationTrouble::Unconfirmed));
        assert_eq!(*forbidden.borrow(), None, "unconfirmed messages don't pause consuming");
        assert!(faults.report("opencx.outcomes", DestinationTrouble::Forbidden("ACCESS_REFUSED".to_owned())));
        let reasons = faults.reasons();
        assert!(reasons[0].contains("handoffd.retry.5s") && reasons[1].contains("opencx.outcomes"), "{reasons:?}");
        assert!(forbidden.borrow().as_ref().is_some_and(|why| why.contains("opencx.outcomes")));
        assert!(faults.clear("opencx.outcomes") && !faults.clear("opencx.outcomes"));
        assert_eq!(*forbidden.borrow(), None);
        faults.clear_all();
        assert!(faults.reasons().is_empty());
    }
}
