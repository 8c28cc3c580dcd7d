//! Fleet as its rows show it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use handoffd_engine::event::OrganizationId;
use uuid::Uuid;

/// Longest time between two looks while a worker is leaving, whose organizations nobody has until they are taken.
const WHILE_LEAVING: Duration = Duration::from_millis(200);

/// Rows of the fleet, as of one renewal.
#[derive(Clone, Default, Debug)]
pub(super) struct FleetView {
    /// Workers by id.
    pub workers: BTreeMap<Uuid, WorkerRow>,
    /// Owners of organizations.
    pub owners: BTreeMap<OrganizationId, OwnerRow>,
    /// Organizations of each worker.
    pub lists: BTreeMap<Uuid, WorkerLists>,
}

/// Number of changes of what operators have set, as read over one connection. What was read over another one says nothing:
/// it may have been of a primary whose last changes the standby that took over does not have, and one that an operator made
/// at this worker may not have been counted before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Revision {
    /// Number of the connection.
    pub connection: u64,
    /// Number of changes.
    pub number: i64,
}

/// Row of a worker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct WorkerRow {
    /// Name for lists and logs.
    pub name: String,
    /// State.
    pub state: WorkerState,
    /// True once its lease is over by the server's clock.
    pub is_expired: bool,
    /// True if it can consume queues.
    pub able: bool,
    /// Number of changes of its lists.
    pub lists: i64,
}

/// State of a worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum WorkerState {
    /// It takes part.
    Joined,
    /// It gives back what it owns, and stops.
    Leaving,
    /// Another worker has declared it lost.
    Lost,
}

/// Organizations of a worker.
#[derive(Clone, Default, Debug)]
pub(super) struct WorkerLists {
    /// Number of changes so far.
    pub number: i64,
    /// Configured organizations.
    pub configured: BTreeSet<OrganizationId>,
    /// Organizations that were configured.
    pub former: BTreeSet<OrganizationId>,
}

/// Row of an organization's owner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct OwnerRow {
    /// Life that owns it; `None` if it was given back.
    pub worker: Option<Uuid>,
    /// Number of the term.
    pub term: i64,
    /// Reason for which it was given back.
    pub released: Option<String>,
}

impl WorkerState {
    /// Reads a state; one of a later version counts as taking part.
    pub(super) fn read(text: &str) -> Self {
        match text {
            "leaving" => Self::Leaving,
            "lost" => Self::Lost,
            _ => Self::Joined,
        }
    }
}

impl WorkerRow {
    /// Returns true if the worker can be given more.
    pub(super) fn receives(&self) -> bool {
        self.state == WorkerState::Joined && self.able && !self.is_expired
    }
}

impl FleetView {
    /// Returns true if a worker other than this one can be given more.
    pub(super) fn another_receives(&self, me: Uuid) -> bool {
        self.workers.iter().any(|(id, row)| *id != me && row.receives())
    }

    /// Returns true if the worker's row still counts: an organization that it owns is not free.
    pub(super) fn counts(&self, worker: Uuid) -> bool {
        self.workers.get(&worker).is_some_and(|row| row.state != WorkerState::Lost)
    }

    /// Returns the number of workers that take part and are not silent.
    pub(super) fn live(&self) -> usize {
        self.workers.values().filter(|row| row.state != WorkerState::Lost && !row.is_expired).count()
    }

    /// Returns the time until the next look at the fleet, which is usually this one.
    pub(super) fn next_look(&self, usually: Duration) -> Duration {
        let has_leaving = self.workers.values().any(|row| row.state == WorkerState::Leaving);
        if has_leaving { usually.min(WHILE_LEAVING) } else { usually }
    }

    /// Returns true if another worker that is live has the organization configured.
    pub(super) fn is_configured_elsewhere(&self, me: Uuid, organization: &OrganizationId) -> bool {
        let is_live = |id: &Uuid| self.workers.get(id).is_some_and(|row| row.state != WorkerState::Lost);
        self.lists.iter().any(|(id, lists)| *id != me && is_live(id) && lists.configured.contains(organization))
    }

    /// Returns the name of the organization's owner.
    pub(super) fn owner(&self, organization: &OrganizationId) -> Option<String> {
        let worker = self.owners.get(organization)?.worker?;
        self.workers.get(&worker).map(|row| row.name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_frequent_while_a_worker_is_leaving() {
        let row = |state| WorkerRow { name: "a".to_owned(), state, is_expired: false, able: true, lists: 0 };
        let second = Duration::from_secs(1);
        let mut view = FleetView { workers: [(Uuid::nil(), row(WorkerState::Joined))].into(), ..FleetView::default() };
        assert_eq!(view.next_look(second), second);
        view.workers.insert(Uuid::max(), row(WorkerState::Leaving));
        assert_eq!(view.next_look(second), WHILE_LEAVING);
        assert_eq!(view.next_look(WHILE_LEAVING / 2), WHILE_LEAVING / 2, "never rarer than usual");
    }
}
