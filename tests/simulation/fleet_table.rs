//! Leases and owners of organizations, as several workers share them in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handoffd_engine::event::OrganizationId;
use handoffd_engine::memory_store::MemoryStore;
use handoffd_engine::ports::fleet::Claim;
use uuid::Uuid;

use super::broker::Broker;
use super::scene::RunContext;

/// Lease of the workers.
pub const LEASE: Duration = Duration::from_secs(5);

/// Leases and owners, as the shared store holds them.
pub struct FleetTable {
    pub scene: Arc<RunContext>,
    pub memory: Arc<MemoryStore>,
    pub broker: Arc<Broker>,
    rows: Mutex<FleetRows>,
}

#[derive(Default)]
pub struct FleetRows {
    pub lives: BTreeMap<Uuid, LifeRow>,
    pub owners: BTreeMap<OrganizationId, OwnerRow>,
    numbers: u128,
}

pub struct LifeRow {
    process: u32,
    seen: Duration,
    pub is_lost: bool,
}

#[derive(Clone, Copy)]
pub struct OwnerRow {
    pub worker: Option<Uuid>,
    pub term: i64,
}

impl FleetTable {
    pub fn new(scene: Arc<RunContext>, memory: Arc<MemoryStore>, broker: Arc<Broker>) -> Arc<Self> {
        Arc::new(Self { scene, memory, broker, rows: Mutex::default() })
    }

    pub fn rows<T>(&self, at: impl FnOnce(&mut FleetRows) -> T) -> T {
        at(&mut self.rows.lock().unwrap())
    }

    /// Checks that the process of a request that begins owns the organization.
    pub fn asks(&self, process: u32, organization: &OrganizationId) {
        let is_owner = self.rows(|rows| {
            let owner = rows.owners.get(organization).and_then(|row| row.worker);
            owner.and_then(|owner| rows.lives.get(&owner)).is_some_and(|life| life.process == process)
        });
        if !is_owner {
            let text = format!("{organization}: a request of process {process}, which does not own it");
            self.broker.look(|state| state.notes.broken.insert(text));
        }
    }

    /// Inserts a new life.
    pub fn join(&self, process: u32) -> Uuid {
        let seen = self.scene.elapsed();
        self.rows(|rows| {
            rows.numbers += 1;
            let life = Uuid::from_u128(rows.numbers);
            rows.lives.insert(life, LifeRow { process, seen, is_lost: false });
            life
        })
    }

    /// Renews a life. Returns false if it is over.
    pub fn renew(&self, life: Uuid) -> bool {
        let now = self.scene.elapsed();
        self.rows(|rows| {
            let row = rows.lives.get_mut(&life).filter(|row| !row.is_lost);
            row.map(|row| row.seen = now).is_some()
        })
    }

    pub fn declare_lost(&self) {
        let now = self.scene.elapsed();
        self.rows(|rows| {
            for (life, row) in rows.lives.iter_mut().filter(|(_, row)| !row.is_lost && row.seen + LEASE < now) {
                self.scene.log(|| format!("worker {life} is declared lost"));
                row.is_lost = true;
            }
        });
    }

    /// Takes an organization. Earlier claims are void from then on.
    pub fn take(&self, life: Uuid, organization: &OrganizationId, before: Option<i64>) -> Option<Claim> {
        let claim = self.rows(|rows| {
            if rows.lives.get(&life).is_none_or(|row| row.is_lost) {
                return None;
            }
            let row = rows.owners.get(organization).copied();
            let counts = |worker: Uuid| rows.lives.get(&worker).is_some_and(|row| !row.is_lost);
            let is_free = row.is_none_or(|row| row.worker.is_none_or(|worker| worker == life || !counts(worker)));
            if !is_free || row.map(|row| row.term) != before {
                return None;
            }
            let term = before.unwrap_or(0) + 1;
            rows.owners.insert(organization.clone(), OwnerRow { worker: Some(life), term });
            Some(Claim { organization: organization.clone(), worker: life, term })
        })?;
        self.memory.set_owner(claim.clone());
        let now = self.scene.elapsed();
        self.broker.look(|state| state.check_abandoned(organization, now));
        self.scene.log(|| format!("worker {life} takes {organization} for term {}", claim.term));
        Some(claim)
    }

    pub fn release(&self, claim: &Claim) {
        let is_released = self.rows(|rows| {
            let row = rows.owners.get_mut(&claim.organization);
            let row = row.filter(|row| (row.worker, row.term) == (Some(claim.worker), claim.term));
            row.map(|row| row.worker = None).is_some()
        });
        if is_released {
            self.scene.log(|| format!("worker {} gives {} back", claim.worker, claim.organization));
            self.memory.set_owner(Claim { worker: Uuid::nil(), ..claim.clone() });
        }
    }

    /// Ends a life that has given everything back, or gives back what it still has.
    pub fn leave(&self, life: Uuid) {
        let owned: Vec<Claim> = self.rows(|rows| {
            rows.lives.remove(&life);
            let of_it = rows.owners.iter().filter(|(_, row)| row.worker == Some(life));
            of_it.map(|(id, row)| Claim { organization: id.clone(), worker: life, term: row.term }).collect()
        });
        for claim in &owned {
            self.release(claim);
        }
    }
}
