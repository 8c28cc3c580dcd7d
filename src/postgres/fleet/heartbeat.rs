//! Heartbeat: renews the lease, reads the fleet, and makes this worker's moves.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::fleet::Claim;
use handoffd_engine::ports::metrics::TakeoverReason;
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until, timeout};
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::super::errors::{FailureKind, ServerFailure};
use super::assignment::{self, FleetMoves, MoverState};
use super::cut_off::CutOffClock;
use super::holdings::HoldingStage;
use super::host::{FleetHost, HostedOrganizations};
use super::member::PostgresFleet;
use super::statements::{FleetTables, WorkerEntry, WorkerPulse};
use super::takeover;
use super::view::Revision;
use super::{lapse, reporting, self_stop};

/// Least time between two looks at the fleet.
const SHORTEST: Duration = Duration::from_millis(50);

/// Joins the fleet, and stays a member until it is left.
pub fn join_fleet(fleet: &Arc<PostgresFleet>, host: Arc<dyn FleetHost>) {
    self_stop::watch(fleet.pulse.clone(), fleet.options.lease);
    let heartbeat = Heartbeat {
        fleet: fleet.clone(),
        host,
        listed: None,
        moving: None,
        refreshing: None,
        owned: BTreeSet::new(),
        cut_off: CutOffClock::new(fleet.options.lease),
    };
    tokio::spawn(lapse::return_deliveries(fleet.clone(), heartbeat.host.clone()));
    tokio::spawn(reporting::exchange_reports(fleet.clone(), heartbeat.host.clone()));
    tokio::spawn(heartbeat.run());
}

struct Heartbeat {
    fleet: Arc<PostgresFleet>,
    host: Arc<dyn FleetHost>,
    /// Life that has joined, with the organizations that are written in its row.
    listed: Option<(Uuid, HostedOrganizations)>,
    /// Task that takes organizations.
    moving: Option<JoinHandle<()>>,
    /// Task that reads again what operators have set.
    refreshing: Option<JoinHandle<()>>,
    /// Organizations that this worker owned at the last renewal.
    owned: BTreeSet<OrganizationId>,
    /// Time for which only other workers have reached the broker.
    cut_off: CutOffClock,
}

impl Heartbeat {
    async fn run(mut self) {
        let closing = self.fleet.closing.clone();
        // While its connection is being opened for the first time, nothing has failed.
        let mut link = self.fleet.link.clone();
        let opening = timeout(self.fleet.options.lease, link.first_attempt());
        if closing.run_until_cancelled(opening).await.is_none() {
            return;
        }
        let mut reported = false;
        loop {
            self.fleet.pulse.tick();
            let sent = Instant::now();
            match timeout(self.fleet.options.lease, self.beat(sent)).await {
                Ok(Ok(())) => reported = false,
                Ok(Err(failure)) => self.failed(&failure, &mut reported),
                Err(_) => {
                    self.fleet.link.give_up();
                    let silent = format!("no answer within {:?}", self.fleet.options.lease);
                    self.failed(&ServerFailure::new(FailureKind::Unavailable, silent), &mut reported);
                }
            }
            let interval = self.interval();
            let rested = async {
                sleep(SHORTEST).await;
                tokio::select! {
                    () = sleep_until((sent + interval).into()) => {}
                    () = self.fleet.poked() => {}
                }
            };
            tokio::select! {
                () = rested => {}
                () = closing.cancelled() => return,
            }
        }
    }

    fn interval(&self) -> Duration {
        let state = self.fleet.lock();
        state.view.next_look(state.lease.interval())
    }

    fn failed(&mut self, failure: &ServerFailure, reported: &mut bool) {
        self.cut_off.reset();
        if !std::mem::replace(reported, true) {
            warn!(error = %failure, "could not renew the worker's lease; trying again");
        }
        self.fleet.not_renewed(failure);
    }

    /// Renews the lease once, and acts on what it finds.
    async fn beat(&mut self, sent: Instant) -> Result<(), ServerFailure> {
        let (client, connection) = self.fleet.link.connection()?;
        // An answer that takes longer than this is too late for the lease.
        let tables = FleetTables { client: &client, limit: self.fleet.options.lease * 7 / 10 };
        let me = self.join(&tables).await?;
        let pulse = WorkerPulse {
            is_leaving: self.fleet.is_leaving(),
            able: self.host.is_able(),
            in_flight: self.host.in_flight(),
        };
        // The client sends them in this order, in one trip.
        let (renewed, workers, owners, revision) =
            tokio::try_join!(tables.renew(me, pulse), tables.workers(), tables.owners(), tables.revision())?;
        if !renewed {
            warn!(worker = %me, "this worker was declared lost; joining again");
            self.fleet.lose();
            self.let_go();
            self.fleet.poke();
            return Ok(());
        }
        self.fleet.renewed(sent);
        {
            let mut state = self.fleet.lock();
            (state.view.workers, state.view.owners) = (workers, owners);
        }
        self.read_lists(&tables).await?;
        self.reconcile(sent);
        self.declare_lost(&tables).await?;
        self.keep_states(&tables).await?;
        self.move_organizations(me);
        self.release(&tables).await?;
        self.refresh(Revision { connection, number: revision });
        self.let_go();
        Ok(())
    }

    /// Joins with a new life if the last one is over, and writes which organizations this worker can own.
    async fn join(&mut self, tables: &FleetTables<'_>) -> Result<Uuid, ServerFailure> {
        let (life, hosted) = (self.fleet.lock().life, self.host.organizations());
        let options = &self.fleet.options;
        if self.listed.as_ref().is_none_or(|(joined, _)| *joined != life) {
            tables.join(WorkerEntry { id: life, name: &options.name, lease: options.lease }).await?;
            info!(worker = %life, name = options.name, "joined the fleet");
            self.listed = Some((life, HostedOrganizations::default()));
        }
        if self.listed.as_ref().is_some_and(|(_, listed)| *listed != hosted) {
            tables.list(life, &hosted).await?;
            self.listed = Some((life, hosted));
        }
        Ok(life)
    }

    /// Reads the organizations of workers that have changed them.
    async fn read_lists(&self, tables: &FleetTables<'_>) -> Result<(), ServerFailure> {
        let changed: Vec<Uuid> = {
            let mut state = self.fleet.lock();
            let view = &mut state.view;
            view.lists.retain(|id, _| view.workers.contains_key(id));
            let is_old = |id: &Uuid, lists: i64| view.lists.get(id).is_none_or(|known| known.number != lists);
            view.workers.iter().filter(|(id, row)| is_old(id, row.lists)).map(|(id, _)| *id).collect()
        };
        if !changed.is_empty() {
            let lists = tables.lists(&changed).await?;
            self.fleet.lock().view.lists.extend(lists);
        }
        Ok(())
    }

    /// Lets go of what the rows say is another's. Rows may be older than what was taken since they were asked for.
    fn reconcile(&self, sent: Instant) {
        let mut state = self.fleet.lock();
        let state = &mut *state;
        let is_mine = |id: &OrganizationId, worker: Uuid, term: i64| {
            state.view.owners.get(id).is_some_and(|row| row.worker == Some(worker) && row.term == term)
        };
        let of_rows = |stage| matches!(stage, HoldingStage::Held | HoldingStage::Returning(_));
        let held = state.holdings.iter().filter(|(_, held)| held.taken < sent && of_rows(held.stage));
        let lost: Vec<OrganizationId> =
            held.filter(|(id, held)| !is_mine(id, held.worker, held.term)).map(|(id, _)| id.clone()).collect();
        for organization in &lost {
            warn!(organization_id = %organization, "another worker owns the organization");
            state.holdings.lose(organization);
        }
        if !lost.is_empty() {
            self.fleet.changed();
        }
    }

    /// Declares silent workers lost, if this one has been live for long enough.
    async fn declare_lost(&self, tables: &FleetTables<'_>) -> Result<(), ServerFailure> {
        let is_due = {
            let state = self.fleet.lock();
            let is_silent = state.view.workers.values().any(|row| row.is_expired);
            is_silent && state.lease.is_established(Instant::now())
        };
        if is_due {
            let lost = tables.declare_lost().await?;
            for name in &lost {
                warn!(name, "a worker is lost: its lease is over");
            }
            if !lost.is_empty() {
                self.fleet.poke();
            }
        }
        Ok(())
    }

    /// Writes what the next owners have to know.
    async fn keep_states(&self, tables: &FleetTables<'_>) -> Result<(), ServerFailure> {
        let unsaved = std::mem::take(&mut self.fleet.lock().unsaved);
        let mut unsaved: Vec<OrganizationId> = unsaved.into_iter().collect();
        while let Some(organization) = unsaved.last() {
            let claim = {
                let state = self.fleet.lock();
                let held = state.holdings.get(organization).filter(|held| held.worker == state.life);
                held.map(|held| Claim { organization: organization.clone(), worker: held.worker, term: held.term })
            };
            if let Some((claim, state)) = claim.zip(self.host.state(organization))
                && let Err(failure) = tables.keep_state(&claim, &state).await
            {
                self.fleet.lock().unsaved.extend(unsaved);
                return Err(failure);
            }
            unsaved.pop();
        }
        Ok(())
    }

    /// Begins to give back what another worker is to have, and to take what this one is to have.
    fn move_organizations(&mut self, me: Uuid) {
        let (FleetMoves { give, take }, gives_up) = {
            let (mut state, now) = (self.fleet.lock(), Instant::now());
            let is_cut_off = !self.host.reaches_broker() && state.view.another_receives(me);
            let gives_up = self.cut_off.look(is_cut_off, now);
            let this = MoverState { id: me, is_established: state.lease.is_established(now), gives_up };
            let moves = assignment::moves(&state.view, this, |id| state.holdings.get(id).is_some());
            state.awaited.retain(|id, _| moves.take.iter().any(|free| free.organization == *id));
            (moves, gives_up)
        };
        let given: Vec<&OrganizationId> = {
            let holdings = &mut self.fleet.lock().holdings;
            let mut gives = |id: &OrganizationId| {
                if gives_up { holdings.give_up(id) } else { holdings.give_back(id, TakeoverReason::Balance) }
            };
            give.iter().filter(|id| gives(id)).collect()
        };
        for organization in &given {
            debug!(organization_id = %organization, "giving an organization back");
        }
        if !given.is_empty() {
            self.fleet.changed();
        }
        if gives_up && !given.is_empty() {
            warn!(
                organizations = given.len(),
                "can't reach the broker, which another worker reaches; giving organizations up"
            );
        }
        let is_moving = self.moving.as_ref().is_some_and(|moving| !moving.is_finished());
        if !take.is_empty() && !is_moving && self.host.is_able() && !self.fleet.is_leaving() {
            let taking = takeover::take_all(self.fleet.clone(), self.host.clone(), me, take);
            self.moving = Some(tokio::spawn(taking));
        }
    }

    /// Releases the rows of organizations of which nothing is in progress any more.
    async fn release(&self, tables: &FleetTables<'_>) -> Result<(), ServerFailure> {
        let over: Vec<(Claim, TakeoverReason)> = {
            let state = self.fleet.lock();
            let over = state.holdings.iter().filter_map(|(id, held)| match held.stage {
                // A probe of the organization may still be under way. For what is given up nobody waits.
                HoldingStage::Over(why) if why == TakeoverReason::Lost || self.host.is_idle(id) => {
                    Some((Claim { organization: id.clone(), worker: held.worker, term: held.term }, why))
                }
                _ => None,
            });
            over.collect()
        };
        for (claim, why) in over {
            tables.release(&claim, why).await?;
            info!(organization_id = %claim.organization, reason = assignment::released(why), "gave an organization back");
            self.fleet.lock().holdings.released(&claim.organization);
        }
        Ok(())
    }

    /// Reports the organizations that this worker owns no more since the last renewal.
    fn let_go(&mut self) {
        let owned: BTreeSet<OrganizationId> = {
            let state = self.fleet.lock();
            let held = state.holdings.iter().filter(|(id, _)| state.holdings.holder(id).is_some());
            held.map(|(id, _)| id.clone()).collect()
        };
        for organization in std::mem::replace(&mut self.owned, owned) {
            if !self.owned.contains(&organization) {
                self.host.let_go(&organization);
            }
        }
    }

    /// Reads again what operators have set, if it has changed. The heartbeat does not wait for it.
    fn refresh(&mut self, revision: Revision) {
        let is_refreshing = self.refreshing.as_ref().is_some_and(|refreshing| !refreshing.is_finished());
        if is_refreshing || self.fleet.applied.try_lock().is_ok_and(|applied| *applied == Some(revision)) {
            return;
        }
        let (fleet, host) = (self.fleet.clone(), self.host.clone());
        self.refreshing = Some(tokio::spawn(async move { _ = takeover::read_changes(&fleet, &*host, revision).await }));
    }
}
