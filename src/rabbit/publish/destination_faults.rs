//! Destinations in trouble. One that does not confirm messages, or may not be written to, is a reason for which the worker
//! is not ready. One that refuses messages is not: their events wait on the ladder of retries, and others are processed.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::rabbit::shared::{lock, send_if_new};

/// Interval between log lines about a destination that refuses messages.
const REFUSALS_LOGGED_EVERY: Duration = Duration::from_secs(60);

/// Exchanges and queues in trouble.
pub(in crate::rabbit) struct DestinationFaults {
    all: Mutex<BTreeMap<String, DestinationTrouble>>,
    /// Reason to pause consuming, if a destination refuses write permission.
    forbidden: watch::Sender<Option<String>>,
    refusals: Mutex<BTreeMap<String, Refusals>>,
    /// Time without a message after which it is unknown whether a destination still refuses them.
    forget_refusals_after: Duration,
}

/// Refusals of one destination.
#[derive(Default)]
struct Refusals {
    /// Times of the first and the last one since a message was accepted.
    refusing: Option<(Timestamp, Instant)>,
    /// Number since the last log line.
    unlogged: u64,
    logged: Option<Instant>,
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
    pub(in crate::rabbit) fn new(forget_refusals_after: Duration) -> Self {
        let (all, refusals) = (Mutex::default(), Mutex::default());
        Self { all, forbidden: watch::Sender::new(None), refusals, forget_refusals_after }
    }

    /// Records that a destination has refused a message, and logs it, at most once a minute.
    pub(super) fn refused(&self, destination: &str) {
        let mut all = lock(&self.refusals);
        let refusals = all.entry(destination.to_owned()).or_default();
        let since = refusals.refusing.map_or_else(Timestamp::now, |(since, _)| since);
        refusals.refusing = Some((since, Instant::now()));
        refusals.unlogged += 1;
        if refusals.logged.is_none_or(|logged| logged.elapsed() >= REFUSALS_LOGGED_EVERY) {
            warn!(
                destination,
                refused = refusals.unlogged,
                "the broker refuses messages for a destination; their events wait in retry queues; check that its queue \
                 has a leader and room"
            );
            (refusals.unlogged, refusals.logged) = (0, Some(Instant::now()));
        }
    }

    /// Records that a destination has accepted a message.
    pub(super) fn accepted(&self, destination: &str) {
        let mut all = lock(&self.refusals);
        if all.get_mut(destination).and_then(|refusals| refusals.refusing.take()).is_some() {
            info!(destination, "the broker accepts messages for a destination again");
        }
    }

    /// Time from which a destination refuses messages.
    pub(in crate::rabbit) fn refuses(&self, destination: &str) -> Option<Timestamp> {
        let (since, last) = lock(&self.refusals).get(destination)?.refusing?;
        (last.elapsed() < self.forget_refusals_after).then_some(since)
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
        lock(&self.refusals).clear();
    }

    /// Returns true if a destination does not confirm messages, or may not be written to.
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
        let faults = DestinationFaults::new(Duration::from_secs(60));
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

    #[tokio::test(start_paused = true)]
    async fn a_refusal_holds_until_a_message_is_accepted_or_none_comes_any_more() {
        let faults = DestinationFaults::new(Duration::from_secs(60));
        faults.refused("dead-letters");
        let since = faults.refuses("dead-letters");
        assert!(since.is_some() && faults.reasons().is_empty() && !faults.contains("dead-letters"), "no unreadiness");
        tokio::time::advance(Duration::from_secs(59)).await;
        faults.refused("dead-letters");
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(faults.refuses("dead-letters"), since);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(faults.refuses("dead-letters"), None, "unknown");
        faults.refused("dead-letters");
        faults.accepted("dead-letters");
        assert_eq!(faults.refuses("dead-letters"), None);
    }
}
