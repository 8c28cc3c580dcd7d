//! Owners of organizations over time: who lost one when and how, and how long it took until it went on elsewhere.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rand::rngs::SmallRng;
use rand::seq::IteratorRandom;
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::crm::organizations;
use crate::stage::{DRAIN_S, HEARTBEAT_S, LEASE_S, REQUEST_S, Stage};

/// Interval at which the owners are read.
const EVERY: Duration = Duration::from_millis(50);
/// Limit of an answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Time after an outage in which takeovers count as disturbed: a taker must have been live for a lease first.
const RECOVERY: Duration = Duration::from_secs(2 * LEASE_S + 5);
/// Longest time until an owner that was killed or suspended is declared lost.
const UNDECLARED: Duration = Duration::from_secs(LEASE_S + 1);
/// Time in which a worker that joins must have its share.
const JOIN_LIMIT: Duration = Duration::from_secs(30);

/// Kind of an owner's end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum LossKind {
    /// SIGKILL.
    Killed,
    /// SIGSTOP.
    Suspended,
    /// SIGTERM.
    Stopped,
    /// Start of a worker, until it has its share.
    Joined,
}

/// Observer of owners.
#[derive(Default)]
pub struct OwnerWatch {
    state: Mutex<WatchState>,
}

/// Outage of PostgreSQL or the broker, until dropped.
pub struct Outage(Arc<OwnerWatch>);

#[derive(Default)]
struct WatchState {
    /// Life and name of each owner at the last look.
    owners: HashMap<String, (Uuid, String)>,
    losses: Vec<OwnerLoss>,
    joins: Vec<JoiningWorker>,
    taken: Vec<Takeover>,
    reserved: HashSet<usize>,
    outages: usize,
    recovered: Option<Instant>,
    /// Times at which organizations were throttled for long.
    throttled: Vec<(String, Timestamp, Option<Timestamp>)>,
    /// Looks at which a lost owner's requests came on top of the limit, and those that were too many.
    above: [usize; 2],
}

/// Loss of an organization by its owner.
struct OwnerLoss {
    organization: String,
    life: Uuid,
    kind: LossKind,
    at: Instant,
    at_time: Timestamp,
    is_disturbed: bool,
    /// True until another owner has it, or the same one again.
    is_open: bool,
    /// Time from which nothing of the lost owner is in progress any more.
    over: Option<Instant>,
}

impl OwnerLoss {
    /// Returns true if the owner may not be declared lost yet, and others still count on it.
    fn is_recent(&self) -> bool {
        matches!(self.kind, LossKind::Killed | LossKind::Suspended) && self.at.elapsed() < UNDECLARED
    }
}

/// Worker that has started and has not its share yet.
struct JoiningWorker {
    name: String,
    share: usize,
    at: Instant,
    is_disturbed: bool,
}

struct Takeover {
    kind: LossKind,
    took: Duration,
    is_disturbed: bool,
}

impl OwnerWatch {
    /// Reads the owners until closed.
    pub async fn watch(self: Arc<Self>, stage: Arc<Stage>, closing: CancellationToken) {
        let Some(postgres) = stage.postgres.clone() else { return };
        while !closing.is_cancelled() {
            let look = async {
                let client = connect(postgres.url()).await?;
                while let Some(owners) = read(&client).await {
                    self.see(owners);
                    tokio::time::sleep(EVERY).await;
                }
                Some(())
            };
            _ = closing.run_until_cancelled(look).await;
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Records that a worker ends or is suspended.
    pub fn lost(&self, name: &str, kind: LossKind) {
        let mut state = self.lock();
        let is_disturbed = state.is_disturbed() || state.losses.iter().any(OwnerLoss::is_recent);
        // Organizations that are assigned to an owner that has just been lost wait until that one is declared lost.
        state.losses.iter_mut().filter(|loss| loss.is_open).for_each(|loss| loss.is_disturbed = true);
        let (at, at_time) = (Instant::now(), Timestamp::now());
        // An earlier life of the same name may not be replaced yet.
        let is_known = |life: Uuid| state.losses.iter().any(|loss| loss.is_open && loss.life == life);
        let owned = state.owners.iter().filter(|(_, (life, owner))| owner == name && !is_known(*life));
        let losses: Vec<OwnerLoss> = owned
            .map(|(organization, (life, _))| OwnerLoss {
                organization: organization.clone(),
                life: *life,
                kind,
                at,
                at_time,
                is_disturbed,
                is_open: true,
                over: None,
            })
            .collect();
        state.losses.extend(losses);
        state.joins.retain(|joining| joining.name != name);
        // The death of one that could take over delays another's takeover.
        if kind == LossKind::Suspended {
            state.joins.iter_mut().for_each(|joining| joining.is_disturbed = true);
        }
    }

    /// Records that a worker starts, whose share is awaited.
    pub fn started(&self, name: &str, workers: usize) {
        let mut state = self.lock();
        let (share, is_disturbed) = (organizations().len() / workers, state.is_disturbed());
        state.joins.push(JoiningWorker { name: name.to_owned(), share, at: Instant::now(), is_disturbed });
    }

    /// Reserves a place where nothing is being done to the worker.
    pub fn reserve(&self, dice: &mut SmallRng, places: usize) -> Option<usize> {
        let mut state = self.lock();
        let place = (0..places).filter(|place| !state.reserved.contains(place)).choose(dice)?;
        state.reserved.insert(place);
        Some(place)
    }

    /// Frees a reserved place.
    pub fn free(&self, place: usize) {
        self.lock().reserved.remove(&place);
    }

    /// Records that the suspended worker goes on.
    pub fn woken(&self) {
        let mut state = self.lock();
        let over = Instant::now() + Duration::from_secs(REQUEST_S + 1);
        for loss in state.losses.iter_mut().filter(|loss| loss.kind == LossKind::Suspended && loss.over.is_none()) {
            loss.over = Some(over);
        }
    }

    /// Records an outage of PostgreSQL or the broker.
    pub fn outage(self: &Arc<Self>) -> Outage {
        let mut state = self.lock();
        state.outages += 1;
        state.losses.iter_mut().filter(|loss| loss.is_open).for_each(|loss| loss.is_disturbed = true);
        state.joins.iter_mut().for_each(|joining| joining.is_disturbed = true);
        drop(state);
        Outage(self.clone())
    }

    /// Records the begin or the end of a long throttling.
    pub fn troubled(&self, organization: &str, is_throttled: bool) {
        let (mut state, now) = (self.lock(), Timestamp::now());
        if is_throttled {
            state.throttled.push((organization.to_owned(), now, None));
        } else {
            let open = state.throttled.iter_mut().filter(|(id, _, end)| id == organization && end.is_none());
            open.for_each(|(_, _, end)| *end = Some(now));
        }
    }

    /// True if requests of the organization were answered with the long `Retry-After` at this time.
    pub fn is_throttled(&self, organization: &str, at: Timestamp) -> bool {
        let state = self.lock();
        let mut all = state.throttled.iter();
        all.any(|(id, from, to)| id == organization && *from <= at && to.is_none_or(|to| at < to))
    }

    /// True if the organization lost its owner in this time.
    pub fn lost_within(&self, organization: &str, from: Timestamp, to: Timestamp) -> bool {
        let state = self.lock();
        state.losses.iter().any(|loss| loss.organization == organization && from <= loss.at_time && loss.at_time <= to)
    }

    /// Number of lost owners of an organization that may still have requests in progress.
    pub fn lost_owners(&self, organization: &str) -> usize {
        let (state, now) = (self.lock(), Instant::now());
        let counts = |loss: &&OwnerLoss| {
            let is_lost = matches!(loss.kind, LossKind::Killed | LossKind::Suspended);
            is_lost && loss.organization == organization && loss.over.is_none_or(|over| now < over)
        };
        state.losses.iter().filter(counts).count()
    }

    /// Counts a look at which there were more requests than one owner may have.
    pub fn above_limit(&self, is_allowed: bool) {
        self.lock().above[usize::from(!is_allowed)] += 1;
    }

    /// Prints the times of takeovers against contract 11.
    pub fn report(&self) {
        let state = self.lock();
        if state.taken.is_empty() {
            return;
        }
        let drain = Duration::from_secs(DRAIN_S);
        let limits = [
            (LossKind::Killed, "killed", Duration::from_secs(LEASE_S + 5)),
            (LossKind::Suspended, "suspended", Duration::from_secs(LEASE_S + 2 * HEARTBEAT_S + 5)),
            (LossKind::Stopped, "stopped", drain),
            (LossKind::Joined, "joined, until it has its share", JOIN_LIMIT),
        ];
        println!("  organizations that went on elsewhere, by the end of their owner");
        for (kind, what, limit) in limits {
            for (is_disturbed, when) in [(false, ""), (true, ", with another fault meanwhile")] {
                let of_kind = |one: &&Takeover| one.kind == kind && one.is_disturbed == is_disturbed;
                let mut times: Vec<f64> =
                    state.taken.iter().filter(of_kind).map(|one| one.took.as_secs_f64()).collect();
                times.sort_by(f64::total_cmp);
                let Some(worst) = times.last() else { continue };
                let (median, count, limit) = (times[times.len() / 2], times.len(), limit.as_secs());
                println!(
                    "    {:<54} {count:>5}, median {median:.1} s, worst {worst:.1} s, limit {limit} s",
                    format!("{what}{when}")
                );
            }
        }
        println!(
            "  looks at which a lost owner's requests came on top         {}, too many {}",
            state.above[0], state.above[1]
        );
        let left = state.losses.iter().filter(|loss| loss.is_open).count();
        println!("  organizations without an owner at the end                  {left}");
    }

    fn see(&self, owners: HashMap<String, (Uuid, String)>) {
        let (mut state, now) = (self.lock(), Instant::now());
        let state = &mut *state;
        for loss in state.losses.iter_mut().filter(|loss| loss.is_open) {
            let Some((life, _)) = owners.get(&loss.organization) else { continue };
            if *life != loss.life {
                loss.is_open = false;
                if loss.kind == LossKind::Killed {
                    loss.over = Some(now + Duration::from_secs(REQUEST_S + 1));
                }
                let took = loss.at.elapsed();
                state.taken.push(Takeover { kind: loss.kind, took, is_disturbed: loss.is_disturbed });
            } else if loss.over.is_some() {
                // It woke in time.
                loss.is_open = false;
            }
        }
        let mut count: HashMap<&str, usize> = HashMap::new();
        for (_, name) in owners.values() {
            *count.entry(name).or_default() += 1;
        }
        let has_share =
            |joining: &JoiningWorker| count.get(joining.name.as_str()).copied().unwrap_or(0) >= joining.share;
        for joining in state.joins.iter().filter(|joining| has_share(joining)) {
            let took = joining.at.elapsed();
            state.taken.push(Takeover { kind: LossKind::Joined, took, is_disturbed: joining.is_disturbed });
        }
        state.joins.retain(|joining| !has_share(joining));
        state.owners = owners;
    }

    fn lock(&self) -> MutexGuard<'_, WatchState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WatchState {
    fn is_disturbed(&self) -> bool {
        self.outages > 0 || self.recovered.is_some_and(|at| at.elapsed() < RECOVERY)
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.outages -= 1;
        state.recovered = Some(Instant::now());
    }
}

async fn connect(url: &str) -> Option<Client> {
    let (client, connection) = tokio::time::timeout(PATIENCE, tokio_postgres::connect(url, NoTls)).await.ok()?.ok()?;
    tokio::spawn(connection);
    Some(client)
}

async fn read(client: &Client) -> Option<HashMap<String, (Uuid, String)>> {
    const OWNERS: &str = "SELECT convert_from(o.organization, 'UTF8'), o.worker, coalesce(w.name, '') \
         FROM handoffd_owners o LEFT JOIN handoffd_workers w ON w.id = o.worker WHERE o.worker IS NOT NULL";
    let rows = tokio::time::timeout(PATIENCE, client.query(OWNERS, &[])).await.ok()?.ok()?;
    Some(rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect())
}
