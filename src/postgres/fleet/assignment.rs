//! Moves of one worker: the organizations that it gives back, and those that it takes. Pure.

use std::collections::BTreeSet;

use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::metrics::TakeoverReason;
use uuid::Uuid;

use super::balance::{BalanceOrganization, BalanceWorker, assign};
use super::view::{FleetView, OwnerRow, WorkerRow, WorkerState};

/// Moves of one worker.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct FleetMoves {
    /// Organizations to give back.
    pub give: Vec<OrganizationId>,
    /// Organizations to take.
    pub take: Vec<FreeOrganization>,
}

/// Organization that nobody owns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct FreeOrganization {
    /// Organization.
    pub organization: OrganizationId,
    /// Term of the last owner; 0 if there was none.
    pub term: i64,
    /// Reason for which it is free; `None` if it never had an owner, or this worker is in its row already.
    pub why: Option<TakeoverReason>,
}

/// State of the worker whose moves are computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct MoverState {
    /// Life of the worker.
    pub id: Uuid,
    /// True if it may take from lost workers.
    pub is_established: bool,
    /// True if it gives what it has to workers that can receive.
    pub gives_up: bool,
}

/// Returns the moves of a worker. `is_held` is true for what it holds already.
pub(super) fn moves(view: &FleetView, state: MoverState, is_held: impl Fn(&OrganizationId) -> bool) -> FleetMoves {
    let MoverState { id: me, is_established, gives_up } = state;
    let members: Vec<Uuid> =
        view.workers.iter().filter(|(_, row)| row.state == WorkerState::Joined).map(|(id, _)| *id).collect();
    let Some(mine) = members.iter().position(|id| *id == me) else { return FleetMoves::default() };
    let workers: Vec<BalanceWorker> = members
        .iter()
        .map(|id| {
            let gives_up = gives_up && *id == me;
            // One that is silent, or has not read its rows yet, keeps what it has.
            BalanceWorker { receives: !gives_up && view.workers.get(id).is_some_and(WorkerRow::receives), gives_up }
        })
        .collect();
    let listed = |id: &Uuid| view.lists.get(id);
    let all: BTreeSet<&OrganizationId> =
        members.iter().filter_map(listed).flat_map(|lists| lists.configured.iter().chain(&lists.former)).collect();
    // What a leaving worker owns comes back by itself.
    let is_elsewhere = |row: &OwnerRow| row.worker.is_some_and(|id| view.counts(id) && !members.contains(&id));
    let all: Vec<&OrganizationId> =
        all.into_iter().filter(|id| !view.owners.get(*id).is_some_and(is_elsewhere)).collect();
    let organizations: Vec<BalanceOrganization> = all.iter().map(|id| organization(view, &members, id)).collect();
    let assigned = assign(&workers, &organizations);
    let mut moves = FleetMoves::default();
    for ((id, organization), to) in all.into_iter().zip(&organizations).zip(assigned) {
        let row = view.owners.get(id);
        match (organization.owner == Some(mine), to == Some(mine)) {
            (true, false) => moves.give.push(id.clone()),
            (_, true) if !is_held(id) => moves.take.extend(match row {
                Some(row) => free(view, (me, is_established), id, row),
                None => Some(FreeOrganization { organization: id.clone(), term: 0, why: None }),
            }),
            (_, true) | (false, false) => {}
        }
    }
    moves
}

/// Builds the entry of an organization. Only workers that have it configured may own it; if there is none, those that
/// remember it, to empty its queue.
fn organization(view: &FleetView, members: &[Uuid], id: &OrganizationId) -> BalanceOrganization {
    let has = |worker: &Uuid, former: bool| {
        view.lists.get(worker).is_some_and(|lists| if former { &lists.former } else { &lists.configured }.contains(id))
    };
    let former = !members.iter().any(|worker| has(worker, false));
    let owner = view.owners.get(id).and_then(|row| row.worker);
    BalanceOrganization {
        owner: owner.and_then(|owner| members.iter().position(|id| *id == owner)),
        eligible: members.iter().map(|worker| has(worker, former)).collect(),
        is_load: !former,
    }
}

/// Returns the organization if it may be taken now.
fn free(
    view: &FleetView,
    (me, is_established): (Uuid, bool),
    id: &OrganizationId,
    row: &OwnerRow,
) -> Option<FreeOrganization> {
    let why = match row.worker {
        None => Some(match row.released.as_deref() {
            Some(LEFT) => TakeoverReason::Left,
            Some(LOST) => TakeoverReason::Lost,
            _ => TakeoverReason::Balance,
        }),
        Some(owner) if owner == me => None,
        Some(owner) if view.counts(owner) => return None,
        Some(_) if !is_established => return None,
        Some(_) => Some(TakeoverReason::Lost),
    };
    Some(FreeOrganization { organization: id.clone(), term: row.term, why })
}

/// Column `released` of what a worker that stops gives back.
const LEFT: &str = "left";
/// Column `released` of what a worker gives up that can't reach the broker.
const LOST: &str = "lost";
/// Column `released` of what is given back to be spread evenly.
const BALANCE: &str = "balance";

/// Returns the content of column `released` for a reason.
pub(super) fn released(why: TakeoverReason) -> &'static str {
    match why {
        TakeoverReason::Left => LEFT,
        TakeoverReason::Lost => LOST,
        TakeoverReason::Balance => BALANCE,
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::WorkerLists;
    use super::*;

    const ALL: [&str; 4] = ["a", "b", "c", "d"];

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn view(workers: &[u128], owners: &[(&str, Option<u128>)]) -> FleetView {
        let mut view = FleetView::default();
        for worker in workers {
            let row = WorkerRow {
                name: worker.to_string(),
                state: WorkerState::Joined,
                is_expired: false,
                able: true,
                lists: 1,
            };
            view.workers.insert(id(*worker), row);
            let configured = ALL.iter().map(|name| OrganizationId::from(*name)).collect();
            view.lists.insert(id(*worker), WorkerLists { number: 1, configured, former: BTreeSet::new() });
        }
        for (organization, worker) in owners {
            let row = OwnerRow { worker: worker.map(id), term: 7, released: None };
            view.owners.insert((*organization).into(), row);
        }
        view
    }

    /// Moves of a worker that holds what is its own by the rows.
    fn moves(view: &FleetView, me: Uuid, is_established: bool) -> FleetMoves {
        moves_of(view, MoverState { id: me, is_established, gives_up: false })
    }

    fn moves_of(view: &FleetView, mover: MoverState) -> FleetMoves {
        super::moves(view, mover, |id| view.owners.get(id).is_some_and(|row| row.worker == Some(mover.id)))
    }

    fn names(moves: &FleetMoves) -> (Vec<&str>, Vec<&str>) {
        let take = moves.take.iter().map(|free| free.organization.as_str()).collect();
        (moves.give.iter().map(OrganizationId::as_str).collect(), take)
    }

    #[test]
    fn the_first_worker_takes_all_at_once() {
        let moves = moves(&view(&[1], &[]), id(1), false);
        assert_eq!(names(&moves), (vec![], ALL.to_vec()));
        assert!(moves.take.iter().all(|free| (free.term, free.why) == (0, None)));
    }

    #[test]
    fn a_joining_worker_gets_half_as_it_is_given_back() {
        let all_of_1 = ALL.map(|name| (name, Some(1)));
        let before = view(&[1, 2], &all_of_1);
        assert_eq!(names(&moves(&before, id(1), true)), (vec!["c", "d"], vec![]));
        assert_eq!(names(&moves(&before, id(2), true)), (vec![], vec![]));
        let half = view(&[1, 2], &[("a", Some(1)), ("b", Some(1)), ("c", None), ("d", Some(1))]);
        assert_eq!(names(&moves(&half, id(1), true)), (vec!["d"], vec![]));
        let taken = moves(&half, id(2), false);
        assert_eq!(names(&taken), (vec![], vec!["c"]));
        assert_eq!((taken.take[0].term, taken.take[0].why), (7, Some(TakeoverReason::Balance)));
    }

    #[test]
    fn only_an_established_worker_takes_from_a_lost_one() {
        let mut lost = view(&[1, 2], &ALL.map(|name| (name, Some(1))));
        lost.workers.get_mut(&id(1)).unwrap().is_expired = true;
        assert_eq!(names(&moves(&lost, id(2), true)), (vec![], vec![]), "nobody has declared it lost");
        lost.workers.get_mut(&id(1)).unwrap().state = WorkerState::Lost;
        assert_eq!(names(&moves(&lost, id(2), false)), (vec![], vec![]));
        let taken = moves(&lost, id(2), true);
        assert_eq!(names(&taken), (vec![], ALL.to_vec()));
        assert!(taken.take.iter().all(|free| free.why == Some(TakeoverReason::Lost)));
        assert_eq!(names(&moves(&lost, id(1), true)), (vec![], vec![]), "it is no member any more");
    }

    #[test]
    fn nothing_moves_while_workers_are_silent_after_an_outage() {
        let owners = [("a", Some(1)), ("b", Some(1)), ("c", Some(2)), ("d", Some(3))];
        let mut outage = view(&[1, 2, 3], &owners);
        for worker in [2, 3] {
            outage.workers.get_mut(&id(worker)).unwrap().is_expired = true;
        }
        assert_eq!(names(&moves(&outage, id(1), true)), (vec![], vec![]));
    }

    #[test]
    fn an_organization_moves_to_a_worker_that_has_it_configured() {
        let mut view = view(&[1, 2], &[("a", Some(1)), ("b", Some(1)), ("c", Some(2)), ("d", Some(2))]);
        let lists = view.lists.get_mut(&id(1)).unwrap();
        lists.configured.remove(&OrganizationId::from("b"));
        lists.former.insert("b".into());
        assert_eq!(names(&moves(&view, id(1), true)).0, ["b"]);
        view.lists.get_mut(&id(2)).unwrap().configured.remove(&OrganizationId::from("b"));
        assert_eq!(names(&moves(&view, id(1), true)), (vec![], vec![]));
    }

    #[test]
    fn what_a_leaving_worker_owns_is_taken_once_it_is_given_back() {
        let mut leaving = view(&[1, 2], &[("a", Some(1)), ("b", None), ("c", Some(2)), ("d", Some(2))]);
        leaving.workers.get_mut(&id(1)).unwrap().state = WorkerState::Leaving;
        leaving.owners.get_mut(&OrganizationId::from("b")).unwrap().released = Some(LEFT.to_owned());
        let taken = moves(&leaving, id(2), false);
        assert_eq!(names(&taken), (vec![], vec!["b"]));
        assert_eq!(taken.take[0].why, Some(TakeoverReason::Left));
    }

    #[test]
    fn a_worker_that_gives_up_gives_back_what_another_one_can_take_at_once() {
        let owners = [("a", Some(1)), ("b", Some(1)), ("c", Some(2)), ("d", Some(2))];
        let mut cut_off = view(&[1, 2], &owners);
        cut_off.workers.get_mut(&id(1)).unwrap().able = false;
        let gives_up = MoverState { id: id(1), is_established: true, gives_up: true };
        assert_eq!(names(&moves(&cut_off, id(1), true)), (vec![], vec![]), "not yet");
        assert_eq!(names(&moves_of(&cut_off, gives_up)), (vec!["a", "b"], vec![]));
        assert_eq!(names(&moves(&cut_off, id(2), true)), (vec![], vec![]), "nobody takes what is not given back");
        cut_off.lists.get_mut(&id(2)).unwrap().configured.remove(&OrganizationId::from("a"));
        assert_eq!(names(&moves_of(&cut_off, gives_up)), (vec!["b"], vec![]), "the other one does not have it");
        cut_off.owners.insert("b".into(), OwnerRow { worker: None, term: 7, released: Some(LOST.to_owned()) });
        assert_eq!(names(&moves_of(&cut_off, gives_up)), (vec![], vec![]));
        let taken = moves(&cut_off, id(2), false);
        assert_eq!(names(&taken), (vec![], vec!["b"]));
        assert_eq!(taken.take[0].why, Some(TakeoverReason::Lost));
        cut_off.workers.get_mut(&id(2)).unwrap().able = false;
        assert_eq!(names(&moves_of(&cut_off, gives_up)), (vec![], vec![]), "the broker is away for all");
    }

    #[test]
    fn a_row_of_its_own_that_it_does_not_hold_is_taken_again() {
        let view = view(&[1], &[("a", Some(1))]);
        let taken =
            super::moves(&view, MoverState { id: id(1), is_established: false, gives_up: false }, |_| false).take;
        assert_eq!((taken[0].term, taken[0].why), (7, None), "the answer to its taking was lost");
    }
}
