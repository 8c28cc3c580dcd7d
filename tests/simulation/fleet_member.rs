//! Membership of one process in the fleet in memory. It keeps the rules of the adapter, each of which a flaw can break.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::fleet::{Claim, Fleet, FleetStatus, OwnershipState};
use tokio::sync::watch;
use tokio::time::sleep;
use uuid::Uuid;

use super::flaw::Flaw;
use super::fleet_table::{FleetTable, LEASE};
use super::scene::ProcessLife;

/// Interval of renewals.
const BEAT: Duration = Duration::from_secs(1);
/// Longest time of a statement.
const TRIP: Duration = Duration::from_millis(20);

/// Membership of one process.
pub struct FleetMember {
    table: Arc<FleetTable>,
    life: ProcessLife,
    state: Mutex<MemberState>,
    changes: watch::Sender<()>,
}

struct MemberState {
    life: Uuid,
    held: BTreeMap<OrganizationId, Holding>,
    renewed: Option<Duration>,
    live_since: Option<Duration>,
    is_leaving: bool,
}

#[derive(Clone, Copy)]
struct Holding {
    worker: Uuid,
    term: i64,
    stage: Stage,
    in_use: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Held,
    Returning,
    Over,
    Void,
}

impl FleetMember {
    /// Joins with a process.
    pub fn new(table: Arc<FleetTable>, life: ProcessLife) -> Arc<Self> {
        let state = MemberState {
            life: table.join(life.id),
            held: BTreeMap::new(),
            renewed: None,
            live_since: None,
            is_leaving: false,
        };
        let member = Arc::new(Self { table, life, state: Mutex::new(state), changes: watch::Sender::new(()) });
        tokio::spawn(member.clone().beats());
        member
    }

    /// Begins to give everything back.
    pub fn begin_leaving(&self) {
        self.look(|state| state.is_leaving = true);
        self.changes.send_replace(());
    }

    /// Gives everything back. Nothing may be in progress any more.
    pub fn leave(&self) {
        self.table.leave(self.look(|state| state.life));
    }

    fn look<T>(&self, at: impl FnOnce(&mut MemberState) -> T) -> T {
        at(&mut self.state.lock().unwrap())
    }

    fn now(&self) -> Duration {
        self.table.scene.elapsed()
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.table.broker.flaw == Some(flaw)
    }

    async fn beats(self: Arc<Self>) {
        while !self.life.is_over() {
            self.beat().await;
            sleep(BEAT).await;
            self.life.until_dead().await;
        }
    }

    /// Renews the lease and makes this worker's moves.
    async fn beat(&self) {
        let sent = self.now();
        self.table.scene.sleep_up_to(TRIP).await;
        self.life.until_dead().await;
        if self.table.scene.is_outage() {
            return self.look(|state| state.live_since = None);
        }
        if !self.table.renew(self.look(|state| state.life)) {
            return self.join_anew();
        }
        let is_established = self.look(|state| {
            let is_late = state.renewed.is_none_or(|last| sent.saturating_sub(last) > BEAT * 5 / 2);
            if is_late {
                state.live_since = None;
            }
            state.renewed = Some(sent);
            sent.saturating_sub(*state.live_since.get_or_insert(sent)) >= LEASE
        });
        if is_established {
            self.table.declare_lost();
        }
        self.give_back();
        self.take(is_established).await;
        self.changes.send_replace(());
    }

    fn join_anew(&self) {
        let life = self.table.join(self.life.id);
        self.look(|state| {
            for held in state.held.values_mut() {
                held.stage = Stage::Void;
            }
            state.held.retain(|_, held| held.in_use);
            (state.life, state.renewed, state.live_since) = (life, None, None);
        });
        self.table.scene.log(|| format!("process {} joins anew as {life}", self.life.id));
        self.changes.send_replace(());
    }

    /// Begins to give back what another worker is to have, and gives back what is over.
    fn give_back(&self) {
        let (share, is_leaving) = (self.share(), self.look(|state| state.is_leaving));
        let early = self.has(Flaw::GivesBackEarly);
        let over: Vec<Claim> = self.look(|state| {
            let mut owned = state.held.values().filter(|held| held.stage == Stage::Held).count();
            for held in state.held.values_mut().rev().filter(|held| held.stage == Stage::Held) {
                if owned > share || is_leaving {
                    held.stage = if held.in_use { Stage::Returning } else { Stage::Over };
                    owned -= 1;
                }
            }
            let is_over = |held: &Holding| held.stage == Stage::Over || (early && held.stage == Stage::Returning);
            let over = state.held.iter().filter(|(_, held)| is_over(held));
            over.map(|(id, held)| Claim { organization: id.clone(), worker: held.worker, term: held.term }).collect()
        });
        for claim in over {
            self.table.release(&claim);
            self.look(|state| {
                if state.held.get(&claim.organization).is_some_and(|held| held.stage == Stage::Over) {
                    state.held.remove(&claim.organization);
                }
            });
        }
    }

    /// Largest number of organizations of a worker when they are spread evenly.
    fn share(&self) -> usize {
        let organizations = self.table.broker.configured.borrow().len();
        let members = self.table.rows(|rows| rows.lives.values().filter(|row| !row.is_lost).count());
        organizations.div_ceil(members.max(1))
    }

    async fn take(&self, is_established: bool) {
        let organizations = self.table.broker.configured.borrow().clone();
        for organization in organizations {
            let (life, owned, skip) = self.look(|state| {
                let owned = state.held.values().filter(|held| held.stage == Stage::Held).count();
                (state.life, owned, state.is_leaving || state.held.contains_key(&organization))
            });
            let (is_free, before) = self.table.rows(|rows| {
                let Some(row) = rows.owners.get(&organization) else { return (true, None) };
                let is_lost = |worker: Uuid| rows.lives.get(&worker).is_none_or(|row| row.is_lost);
                let is_free = match row.worker {
                    None => true,
                    Some(worker) => worker == life || (is_established && is_lost(worker)),
                };
                (is_free, Some(row.term))
            });
            if skip || !is_free || owned >= self.share() {
                continue;
            }
            self.table.scene.sleep_up_to(TRIP).await;
            self.life.until_dead().await;
            if self.table.broker.consumers(&organization) > 0 && !self.has(Flaw::IgnoresConsumers) {
                continue;
            }
            self.table.scene.sleep_up_to(TRIP).await;
            self.life.until_dead().await;
            let claim = self.table.take(life, &organization, before);
            self.look(|state| {
                let Some(claim) = claim.filter(|claim| claim.worker == state.life) else { return };
                let held = Holding { worker: claim.worker, term: claim.term, stage: Stage::Held, in_use: false };
                state.held.insert(organization.clone(), held);
            });
        }
    }
}

#[async_trait]
impl Fleet for FleetMember {
    fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    fn ownership(&self, organization: &OrganizationId) -> OwnershipState {
        self.look(|state| {
            let held = state.held.get(organization).filter(|held| held.stage == Stage::Held && !state.is_leaving);
            held.map_or(OwnershipState::None, |held| {
                OwnershipState::Term(Claim { organization: organization.clone(), worker: held.worker, term: held.term })
            })
        })
    }

    fn begin(&self, claim: &Claim) -> bool {
        self.look(|state| {
            let held = state.held.get_mut(&claim.organization);
            let held =
                held.filter(|held| held.stage == Stage::Held && (held.worker, held.term) == (claim.worker, claim.term));
            held.map(|held| held.in_use = true).is_some()
        })
    }

    fn may_act(&self, organization: &OrganizationId) -> bool {
        let (now, ignores) = (self.now(), self.has(Flaw::NoSelfStop));
        self.look(|state| {
            let held = state.held.get(organization);
            let is_owned = held.is_some_and(|held| held.stage != Stage::Void && held.worker == state.life);
            let is_fresh = state.renewed.is_some_and(|renewed| now.saturating_sub(renewed) < LEASE * 7 / 10);
            is_owned && (is_fresh || ignores)
        })
    }

    fn holds(&self, claim: &Claim) -> bool {
        let now = self.now();
        self.look(|state| {
            let held = state.held.get(&claim.organization);
            let is_present =
                |held: &Holding| held.stage != Stage::Void && (held.worker, held.term) == (claim.worker, claim.term);
            held.is_some_and(is_present) && state.renewed.is_some_and(|renewed| now.saturating_sub(renewed) < LEASE)
        })
    }

    fn released(&self, claim: &Claim) {
        self.look(|state| {
            let Some(held) = state.held.get_mut(&claim.organization) else { return };
            if (held.worker, held.term) != (claim.worker, claim.term) {
                return;
            }
            held.in_use = false;
            match held.stage {
                Stage::Void => _ = state.held.remove(&claim.organization),
                Stage::Held | Stage::Returning | Stage::Over => held.stage = Stage::Over,
            }
        });
    }

    fn state_changed(&self, _: &OrganizationId) {}

    fn is_configured_elsewhere(&self, _: &OrganizationId) -> bool {
        false
    }

    async fn may_be_configured_elsewhere(&self, _: &OrganizationId) -> bool {
        self.life.until_dead().await;
        self.table.scene.is_outage()
    }

    fn owner(&self, _: &OrganizationId) -> Option<String> {
        None
    }

    fn status(&self) -> FleetStatus {
        FleetStatus { workers: 1, owned: None, lease_age_seconds: 0.0 }
    }
}
