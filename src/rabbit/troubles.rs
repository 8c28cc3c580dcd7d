//! Destinations that do not take what is published to them, and why: the reasons for which the worker is not ready.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use tokio::sync::watch;

use super::{lock, tell_news};

/// Exchanges and queues in trouble.
pub(super) struct Troubles {
    all: Mutex<BTreeMap<String, Trouble>>,
    /// Why no event is to be taken, if one of them may not be written to.
    forbidden: watch::Sender<Option<String>>,
}

/// The trouble of one destination.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Trouble {
    /// The broker has not confirmed a message for longer than `broker.confirm_timeout`.
    Unconfirmed,
    /// This user may not write there.
    Forbidden(String),
}

impl Troubles {
    pub(super) fn new() -> Self {
        Self { all: Mutex::default(), forbidden: watch::Sender::new(None) }
    }

    /// A destination is in trouble. Whether that is news.
    pub(super) fn begins(&self, destination: &str, trouble: Trouble) -> bool {
        let mut all = self.lock();
        let news = all.get(destination) != Some(&trouble);
        all.insert(destination.to_owned(), trouble);
        self.publish(&all);
        news
    }

    /// A destination takes messages. Whether that is news.
    pub(super) fn ends(&self, destination: &str) -> bool {
        let mut all = self.lock();
        let news = all.remove(destination).is_some();
        if news {
            self.publish(&all);
        }
        news
    }

    /// The connection has ended: on the next one all is to be found out anew.
    pub(super) fn forget(&self) {
        let mut all = self.lock();
        all.clear();
        self.publish(&all);
    }

    /// True for a destination that is in trouble.
    pub(super) fn has(&self, destination: &str) -> bool {
        self.lock().contains_key(destination)
    }

    /// Why the worker is not ready.
    pub(super) fn reasons(&self) -> Vec<String> {
        self.lock().iter().map(|(destination, trouble)| trouble.in_words(destination)).collect()
    }

    /// Why no event is to be taken; none while all destinations may be written to.
    pub(super) fn forbidden(&self) -> watch::Receiver<Option<String>> {
        self.forbidden.subscribe()
    }

    fn publish(&self, all: &BTreeMap<String, Trouble>) {
        let forbidden = all.iter().find(|(_, trouble)| matches!(trouble, Trouble::Forbidden(_)));
        let reason = forbidden.map(|(destination, trouble)| trouble.in_words(destination));
        tell_news(&self.forbidden, reason);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Trouble>> {
        lock(&self.all)
    }
}

impl Trouble {
    fn in_words(&self, destination: &str) -> String {
        match self {
            Self::Unconfirmed => format!(
                "the broker does not confirm messages for `{destination}`: see whether its queue has a leader; retrying automatically"
            ),
            Self::Forbidden(problem) => {
                format!("may not write to `{destination}` ({problem}): grant the permission; retrying automatically")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_news_once_and_names_its_destination() {
        let troubles = Troubles::new();
        let forbidden = troubles.forbidden();
        assert!(troubles.begins("handoffd.retry.5s", Trouble::Unconfirmed));
        assert!(!troubles.begins("handoffd.retry.5s", Trouble::Unconfirmed));
        assert_eq!(*forbidden.borrow(), None, "others are taken as before");
        assert!(troubles.begins("opencx.outcomes", Trouble::Forbidden("ACCESS_REFUSED".to_owned())));
        let reasons = troubles.reasons();
        assert!(reasons[0].contains("handoffd.retry.5s") && reasons[1].contains("opencx.outcomes"), "{reasons:?}");
        assert!(forbidden.borrow().as_ref().is_some_and(|why| why.contains("opencx.outcomes")));
        assert!(troubles.ends("opencx.outcomes") && !troubles.ends("opencx.outcomes"));
        assert_eq!(*forbidden.borrow(), None);
        troubles.forget();
        assert!(troubles.reasons().is_empty());
    }
}
