//! Organizations that this worker owns, from the taking to the release. Pure.
//!
//! What the engine has begun must end before an organization is released, or before it is taken again: so the entry of a
//! lost organization stays until the engine has let go of it.

use std::collections::BTreeMap;
use std::time::Instant;

use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::fleet::Claim;
use handoffd_engine::ports::metrics::TakeoverReason;
use uuid::Uuid;

/// Organizations of one worker.
#[derive(Default, Debug)]
pub(super) struct Holdings(BTreeMap<OrganizationId, Holding>);

/// Organization of this worker.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Holding {
    /// Life of the worker that took it.
    pub worker: Uuid,
    /// Number of the term.
    pub term: i64,
    /// Time at which it was taken.
    pub taken: Instant,
    /// True once the engine has begun to consume.
    is_in_use: bool,
    /// Stage between taking and release.
    pub stage: HoldingStage,
}

/// Stage between taking and release.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum HoldingStage {
    /// The engine may consume.
    Held,
    /// The engine finishes what is in progress.
    Returning(TakeoverReason),
    /// The row is to be released: nothing is in progress, or the organization is given up.
    Over(TakeoverReason),
    /// The term is over; the engine lets go.
    Void,
}

impl Holdings {
    /// Adds an organization that was taken.
    pub(super) fn take(&mut self, claim: Claim, taken: Instant) {
        let Claim { organization, worker, term } = claim;
        self.0.insert(organization, Holding { worker, term, taken, is_in_use: false, stage: HoldingStage::Held });
    }

    /// Returns an organization's entry.
    pub(super) fn get(&self, organization: &OrganizationId) -> Option<&Holding> {
        self.0.get(organization)
    }

    /// Returns the life that owns an organization, if it is one of this worker's.
    pub(super) fn holder(&self, organization: &OrganizationId) -> Option<Uuid> {
        let held = self.0.get(organization).filter(|held| held.stage != HoldingStage::Void)?;
        Some(held.worker)
    }

    /// Returns the life for which requests may begin, if the organization is one of this worker's. None begins once nothing
    /// is in progress any more: a probe would still be under way when the next owner begins.
    pub(super) fn actor(&self, organization: &OrganizationId) -> Option<Uuid> {
        let held = self.0.get(organization)?;
        matches!(held.stage, HoldingStage::Held | HoldingStage::Returning(_)).then_some(held.worker)
    }

    /// Returns the claim under which an organization may be consumed.
    pub(super) fn claim(&self, organization: &OrganizationId) -> Option<Claim> {
        let held = self.0.get(organization).filter(|held| held.stage == HoldingStage::Held)?;
        Some(Claim { organization: organization.clone(), worker: held.worker, term: held.term })
    }

    /// Returns true while the claim is the present one, also of an organization that is being given back.
    pub(super) fn holds(&self, claim: &Claim) -> bool {
        let held = self.0.get(&claim.organization);
        held.is_some_and(|held| held.is_of(claim) && held.stage != HoldingStage::Void)
    }

    /// Records that the engine begins to consume. Returns false if it must not.
    pub(super) fn begin(&mut self, claim: &Claim) -> bool {
        let held = self.0.get_mut(&claim.organization).filter(|held| held.is_of(claim));
        let Some(held) = held.filter(|held| held.stage == HoldingStage::Held) else { return false };
        held.is_in_use = true;
        true
    }

    /// Begins to give an organization back. Returns true if the engine is to end its consumer.
    pub(super) fn give_back(&mut self, organization: &OrganizationId, why: TakeoverReason) -> bool {
        let Some(held) = self.0.get_mut(organization).filter(|held| held.stage == HoldingStage::Held) else {
            return false;
        };
        held.stage = if held.is_in_use { HoldingStage::Returning(why) } else { HoldingStage::Over(why) };
        true
    }

    /// Gives an organization up: its row is released at once, and what is in progress of it begins no request any more.
    /// Returns true if the engine is to end its consumer.
    pub(super) fn give_up(&mut self, organization: &OrganizationId) -> bool {
        let held = self.0.get_mut(organization);
        let Some(held) = held.filter(|held| matches!(held.stage, HoldingStage::Held | HoldingStage::Returning(_)))
        else {
            return false;
        };
        held.stage = HoldingStage::Over(TakeoverReason::Lost);
        true
    }

    /// Records that nothing of an organization is in progress any more.
    pub(super) fn over(&mut self, claim: &Claim) {
        let Some(held) = self.0.get_mut(&claim.organization).filter(|held| held.is_of(claim)) else { return };
        held.is_in_use = false;
        match held.stage {
            HoldingStage::Void => _ = self.0.remove(&claim.organization),
            HoldingStage::Returning(why) => held.stage = HoldingStage::Over(why),
            // Only a worker that stops ends its consumers by itself.
            HoldingStage::Held => held.stage = HoldingStage::Over(TakeoverReason::Left),
            HoldingStage::Over(_) => {}
        }
    }

    /// Records that an organization's term is over.
    pub(super) fn lose(&mut self, organization: &OrganizationId) {
        if let Some(held) = self.0.get_mut(organization) {
            held.stage = HoldingStage::Void;
            if !held.is_in_use {
                self.0.remove(organization);
            }
        }
    }

    /// Records that the row of an organization is released.
    pub(super) fn released(&mut self, organization: &OrganizationId) {
        if self.0.get(organization).is_some_and(|held| matches!(held.stage, HoldingStage::Over(_))) {
            self.lose(organization);
        }
    }

    /// Iterates over all entries, by organization.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&OrganizationId, &Holding)> {
        self.0.iter()
    }

    /// Returns the number of organizations that are owned.
    pub(super) fn owned(&self) -> usize {
        self.0.values().filter(|held| held.stage != HoldingStage::Void).count()
    }
}

impl Holding {
    fn is_of(&self, claim: &Claim) -> bool {
        (self.worker, self.term) == (claim.worker, claim.term)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(term: i64) -> Claim {
        Claim { organization: "org".into(), worker: Uuid::nil(), term }
    }

    fn held() -> Holdings {
        let mut holdings = Holdings::default();
        holdings.take(claim(1), Instant::now());
        holdings
    }

    fn stage(holdings: &Holdings) -> Option<HoldingStage> {
        holdings.get(&"org".into()).map(|held| held.stage)
    }

    #[test]
    fn an_organization_is_released_only_once_it_is_over() {
        let mut holdings = held();
        assert!(holdings.begin(&claim(1)));
        assert!(holdings.give_back(&"org".into(), TakeoverReason::Balance));
        assert_eq!((holdings.claim(&"org".into()), holdings.holds(&claim(1))), (None, true), "its events may end");
        assert_eq!(holdings.actor(&"org".into()), Some(Uuid::nil()));
        holdings.released(&"org".into());
        assert_eq!(stage(&holdings), Some(HoldingStage::Returning(TakeoverReason::Balance)));
        holdings.over(&claim(1));
        assert_eq!(stage(&holdings), Some(HoldingStage::Over(TakeoverReason::Balance)));
        assert_eq!((holdings.actor(&"org".into()), holdings.holder(&"org".into())), (None, Some(Uuid::nil())));
        holdings.released(&"org".into());
        assert_eq!(stage(&holdings), None);
    }

    #[test]
    fn one_that_the_engine_never_began_is_over_at_once() {
        let mut holdings = held();
        holdings.give_back(&"org".into(), TakeoverReason::Balance);
        assert_eq!(stage(&holdings), Some(HoldingStage::Over(TakeoverReason::Balance)));
        assert!(!holdings.begin(&claim(1)));
        let mut holdings = held();
        holdings.lose(&"org".into());
        assert_eq!(stage(&holdings), None);
    }

    #[test]
    fn a_lost_one_stays_until_the_engine_has_let_go() {
        let mut holdings = held();
        holdings.begin(&claim(1));
        holdings.lose(&"org".into());
        assert_eq!((stage(&holdings), holdings.holds(&claim(1))), (Some(HoldingStage::Void), false));
        assert_eq!(holdings.owned(), 0);
        holdings.over(&claim(2));
        assert_eq!(stage(&holdings), Some(HoldingStage::Void), "of another term");
        holdings.over(&claim(1));
        assert_eq!(stage(&holdings), None);
    }

    #[test]
    fn one_that_is_given_up_is_released_before_the_engine_has_let_go() {
        for is_returning in [false, true] {
            let mut holdings = held();
            holdings.begin(&claim(1));
            if is_returning {
                holdings.give_back(&"org".into(), TakeoverReason::Balance);
            }
            assert!(holdings.give_up(&"org".into()) && !holdings.give_up(&"org".into()));
            assert_eq!(stage(&holdings), Some(HoldingStage::Over(TakeoverReason::Lost)));
            assert_eq!((holdings.actor(&"org".into()), holdings.claim(&"org".into())), (None, None));
            holdings.released(&"org".into());
            assert_eq!((stage(&holdings), holdings.holds(&claim(1))), (Some(HoldingStage::Void), false));
            holdings.over(&claim(1));
            assert_eq!(stage(&holdings), None);
        }
    }

    #[test]
    fn a_worker_that_stops_gives_back_what_ends() {
        let mut holdings = held();
        holdings.begin(&claim(1));
        holdings.over(&claim(1));
        assert_eq!(stage(&holdings), Some(HoldingStage::Over(TakeoverReason::Left)));
    }
}
