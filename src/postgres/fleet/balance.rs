//! Assignment of organizations to workers: spread evenly, moved as little as possible. Pure.
//!
//! Every worker computes it from the same rows and makes its own moves only. A worker that computes it from older rows
//! makes a move that is undone later, at worst: who owns what is decided by the rows.

use std::collections::VecDeque;

/// Worker, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct BalanceWorker {
    /// True if it can be given more. One that can't keeps what it has, unless it gives up.
    pub receives: bool,
    /// True if it gives what it has to any worker that can be given more. One that receives does not.
    pub gives_up: bool,
}

/// Organization, as far as it matters here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct BalanceOrganization {
    /// Index of its owner.
    pub owner: Option<usize>,
    /// True for each worker that may own it.
    pub eligible: Vec<bool>,
    /// True if it is configured. One that was removed is no load: it only has an owner for what its queue still holds.
    pub is_load: bool,
}

/// Returns the index of the worker that is to own each organization; `None` if none can.
pub(super) fn assign(workers: &[BalanceWorker], organizations: &[BalanceOrganization]) -> Vec<Option<usize>> {
    let mut plan = Plan {
        workers,
        organizations,
        assigned: organizations.iter().map(|one| keeps(workers, one)).collect(),
        loads: vec![0; workers.len()],
    };
    for (owner, one) in plan.assigned.iter().zip(organizations) {
        if let Some(owner) = owner.filter(|_| one.is_load) {
            plan.loads[owner] += 1;
        }
    }
    plan.place_unowned();
    while plan.improve() {}
    plan.assigned
}

/// Returns the owner that an organization has and may keep. Better one that must not have it than none: it keeps its
/// events waiting.
fn keeps(workers: &[BalanceWorker], one: &BalanceOrganization) -> Option<usize> {
    let is_needed = || !(0..workers.len()).any(|worker| workers[worker].receives && one.eligible[worker]);
    one.owner.filter(|owner| (one.eligible[*owner] && !workers[*owner].gives_up) || is_needed())
}

struct Plan<'a> {
    workers: &'a [BalanceWorker],
    organizations: &'a [BalanceOrganization],
    assigned: Vec<Option<usize>>,
    loads: Vec<usize>,
}

impl Plan<'_> {
    /// Gives each organization without an eligible owner to the worker that has the fewest.
    fn place_unowned(&mut self) {
        for nth in 0..self.organizations.len() {
            if self.assigned[nth].is_some() {
                continue;
            }
            let takers = (0..self.workers.len()).filter(|worker| self.takes(*worker, nth));
            let Some(taker) = takers.min_by_key(|worker| self.loads[*worker]) else { continue };
            self.assigned[nth] = Some(taker);
            self.loads[taker] += usize::from(self.organizations[nth].is_load);
        }
    }

    fn takes(&self, worker: usize, organization: usize) -> bool {
        self.workers[worker].receives && self.organizations[organization].eligible[worker]
    }

    /// Moves one organization from the worker with the most to the one with the fewest, if they differ by two or more.
    /// Where no organization of the one may go to the other, several move, each one worker further. Returns false if
    /// nothing is left to improve.
    fn improve(&mut self) -> bool {
        let mut busiest: Vec<usize> = (0..self.workers.len()).collect();
        busiest.sort_by_key(|worker| std::cmp::Reverse(self.loads[*worker]));
        for from in busiest {
            let path = self.path(from);
            if !path.is_empty() {
                for (organization, to) in &path {
                    self.assigned[*organization] = Some(*to);
                }
                self.loads[from] -= 1;
                self.loads[path[path.len() - 1].1] += 1;
                return true;
            }
        }
        false
    }

    /// Returns the moves, each of an organization to the next worker, that lead from a worker to the one with the fewest
    /// organizations that can be reached, if it has at least two fewer.
    fn path(&self, from: usize) -> Vec<(usize, usize)> {
        let mut reached: Vec<Option<(usize, usize)>> = vec![None; self.workers.len()];
        let (mut waiting, mut order) = (VecDeque::from([from]), Vec::new());
        while let Some(at) = waiting.pop_front() {
            let moves = |nth: &usize| self.assigned[*nth] == Some(at) && self.organizations[*nth].is_load;
            for organization in (0..self.assigned.len()).rev().filter(moves) {
                for (to, how) in reached.iter_mut().enumerate() {
                    if to != from && how.is_none() && self.takes(to, organization) {
                        *how = Some((at, organization));
                        order.push(to);
                        waiting.push_back(to);
                    }
                }
            }
        }
        let fewest = order.into_iter().min_by_key(|worker| self.loads[*worker]);
        let Some(mut to) = fewest.filter(|to| self.loads[*to] + 2 <= self.loads[from]) else { return Vec::new() };
        let mut path = Vec::new();
        while to != from {
            let Some((at, organization)) = reached[to] else { return Vec::new() };
            path.push((organization, to));
            to = at;
        }
        path.reverse();
        path
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn workers(count: usize) -> Vec<BalanceWorker> {
        vec![BalanceWorker { receives: true, gives_up: false }; count]
    }

    fn loads(count: usize, assigned: &[Option<usize>]) -> Vec<usize> {
        (0..count).map(|worker| assigned.iter().filter(|owner| **owner == Some(worker)).count()).collect()
    }

    fn moved(organizations: &[BalanceOrganization], assigned: &[Option<usize>]) -> usize {
        let pairs = organizations.iter().zip(assigned);
        pairs.filter(|(one, owner)| one.owner.is_some() && one.owner != **owner).count()
    }

    /// Fewest moves after which no two workers differ by more than one: the largest shares go to those with the most.
    fn fewest_moves(count: usize, organizations: &[BalanceOrganization]) -> usize {
        let owners: Vec<_> = organizations.iter().map(|one| one.owner).collect();
        let mut before = loads(count, &owners);
        before.sort_unstable_by_key(|load| std::cmp::Reverse(*load));
        let (share, larger) = (organizations.len() / count, organizations.len() % count);
        before.iter().enumerate().map(|(nth, load)| load.saturating_sub(share + usize::from(nth < larger))).sum()
    }

    fn fleets() -> impl Strategy<Value = (usize, Vec<BalanceOrganization>)> {
        (1_usize..6).prop_flat_map(|count| {
            let owner = proptest::option::of(0..count);
            let all =
                owner.prop_map(move |owner| BalanceOrganization { owner, eligible: vec![true; count], is_load: true });
            (Just(count), vec(all, 0..40))
        })
    }

    fn restricted() -> impl Strategy<Value = (usize, Vec<BalanceOrganization>)> {
        (1_usize..6).prop_flat_map(|count| {
            let one = (proptest::option::of(0..count), vec(any::<bool>(), count));
            let one = one.prop_map(|(owner, eligible)| BalanceOrganization { owner, eligible, is_load: true });
            (Just(count), vec(one, 0..40))
        })
    }

    proptest! {
        #[test]
        fn all_workers_get_as_many_with_the_fewest_moves((count, organizations) in fleets()) {
            let assigned = assign(&workers(count), &organizations);
            let loads = loads(count, &assigned);
            prop_assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1, "{loads:?}");
            prop_assert_eq!(loads.iter().sum::<usize>(), organizations.len());
            prop_assert_eq!(moved(&organizations, &assigned), fewest_moves(count, &organizations));
        }

        #[test]
        fn an_organization_goes_only_to_a_worker_that_has_it((count, organizations) in restricted()) {
            let assigned = assign(&workers(count), &organizations);
            let loads = loads(count, &assigned);
            for (one, owner) in organizations.iter().zip(&assigned) {
                if !one.eligible.contains(&true) {
                    prop_assert_eq!(*owner, one.owner);
                    continue;
                }
                let owner = owner.unwrap();
                prop_assert!(one.eligible[owner]);
                for other in (0..count).filter(|other| one.eligible[*other]) {
                    prop_assert!(loads[owner] <= loads[other] + 1, "{owner} could give one to {other}: {loads:?}");
                }
            }
        }

        #[test]
        fn a_settled_fleet_stays_as_it_is((count, organizations) in restricted()) {
            let assigned = assign(&workers(count), &organizations);
            let settled: Vec<_> = organizations.iter().zip(&assigned)
                .map(|(one, owner)| BalanceOrganization { owner: *owner, ..one.clone() }).collect();
            prop_assert_eq!(assign(&workers(count), &settled), assigned);
        }

        #[test]
        fn a_worker_that_can_not_take_keeps_what_it_has((count, organizations) in fleets()) {
            let mut workers = workers(count);
            workers[0].receives = false;
            let assigned = assign(&workers, &organizations);
            let pairs = organizations.iter().zip(&assigned);
            prop_assert!(pairs.clone().all(|(one, owner)| *owner != Some(0) || one.owner == Some(0)));
        }

        #[test]
        fn a_worker_that_gives_up_keeps_only_what_no_other_can_have((count, organizations) in restricted()) {
            let mut workers = workers(count);
            workers[0] = BalanceWorker { receives: false, gives_up: true };
            let assigned = assign(&workers, &organizations);
            for (one, owner) in organizations.iter().zip(&assigned) {
                let has_taker = one.eligible[1..].contains(&true);
                prop_assert_eq!(*owner == Some(0), one.owner == Some(0) && !has_taker, "{:?} {:?}", one, owner);
            }
        }

        #[test]
        fn removed_organizations_stay_where_they_are_and_do_not_count(
            (count, mut organizations) in fleets(), removed in vec(any::<bool>(), 40),
        ) {
            let is_removed = |nth: usize| removed[nth];
            organizations.iter_mut().enumerate().for_each(|(nth, one)| one.is_load = !is_removed(nth));
            let assigned = assign(&workers(count), &organizations);
            let (gone, live): (Vec<usize>, Vec<usize>) = (0..organizations.len()).partition(|nth| is_removed(*nth));
            let live: Vec<_> = live.into_iter().map(|nth| assigned[nth]).collect();
            let loads = loads(count, &live);
            prop_assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1, "{loads:?}");
            for nth in gone {
                prop_assert!(organizations[nth].owner.is_none_or(|owner| assigned[nth] == Some(owner)));
                prop_assert!(assigned[nth].is_some(), "its queue has to be emptied");
            }
        }

        #[test]
        fn nothing_moves_while_no_worker_can_take((count, organizations) in fleets()) {
            let workers = vec![BalanceWorker { receives: false, gives_up: true }; count];
            let owners: Vec<_> = organizations.iter().map(|one| one.owner).collect();
            prop_assert_eq!(assign(&workers, &organizations), owners);
        }
    }
}
