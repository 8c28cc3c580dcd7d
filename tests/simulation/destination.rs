//! Destination behind its seam: slow, unreliable, and sometimes silent about completed requests.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use handoffd_engine::event::{Event, EventKey, OrganizationId};
use handoffd_engine::ports::destination::{Availability, Destination, Exchange, Performed, Unavailable};
use handoffd_engine::ports::fleet::Fleet;
use handoffd_engine::workflow::{Fault, Receipt, Remedy, Settings, Step, StepName};
use tokio::time::sleep;

use super::environment::{Environment, Moment};
use super::fleet_table::FleetTable;
use super::ledger::Ledger;
use super::people::at_once;
use super::scene::{ProcessLife, RunContext};
use super::script::Poison;
use super::spans::{KnownSpans, Spans};

/// Timeout of a request, and the latest time at which Dynamics may still carry it out.
const GIVEN_UP: Duration = Duration::from_secs(60);
const LATEST: Duration = Duration::from_secs(240);

/// All environments, and the requests of each event. They outlive the workers.
pub struct Destinations {
    pub scene: Arc<RunContext>,
    pub organizations: BTreeMap<OrganizationId, Arc<Settings>>,
    pub environments: Mutex<BTreeMap<OrganizationId, Environment>>,
    pub asked: Mutex<BTreeMap<EventKey, RequestStats>>,
    /// Events with a permanent defect.
    pub cursed: BTreeMap<EventKey, Poison>,
    /// Spans in which organizations can't take requests.
    pub spans: Spans,
    /// Steps that an organization's setup refuses, with the time spans.
    pub held: Mutex<Vec<(OrganizationId, StepName, Range<Duration>)>>,
    /// Times at which organizations are added during the run.
    pub added: BTreeMap<OrganizationId, Duration>,
    /// Ledger of decisions.
    pub ledger: Arc<Ledger>,
}

/// Requests of an event.
#[derive(Clone, Copy, Default)]
pub struct RequestStats {
    /// Time of the last request.
    pub at: Duration,
    /// Number of answers that spent an attempt.
    pub spent: u32,
    /// Time of the first such answer.
    pub failed: Option<Duration>,
    /// Deaths of the process caused since the event was last given up, and the highest such number.
    pub kills: (u32, u32),
}

/// Destination as seen by one process.
pub struct FakeCrm {
    pub cloud: Arc<Destinations>,
    pub life: ProcessLife,
    pub known: KnownSpans,
    pub fleet: Arc<dyn Fleet>,
    /// Owners of organizations, if there are several workers.
    pub owners: Option<Arc<FleetTable>>,
    /// Number of requests of an event in a span.
    pub refused: Mutex<BTreeMap<(EventKey, usize), u32>>,
}

impl Destinations {
    pub fn environment<T>(&self, organization: &OrganizationId, look: impl FnOnce(&mut Environment) -> T) -> T {
        look(self.environments.lock().unwrap().get_mut(organization).expect("the organization is configured"))
    }

    pub fn asked<T>(&self, key: &EventKey, look: impl FnOnce(&mut RequestStats) -> T) -> T {
        look(self.asked.lock().unwrap().entry(key.clone()).or_default())
    }

    /// Returns the current time span in which a step is refused.
    fn held(&self, organization: &OrganizationId, step: StepName) -> Option<Range<Duration>> {
        let (now, held) = (self.scene.elapsed(), self.held.lock().unwrap());
        let mut held = held.iter().filter(|(of, held, _)| of == organization && *held == step);
        held.find(|(_, _, span)| span.contains(&now)).map(|(_, _, span)| span.clone())
    }

    /// Performs a step; `None` if the case is no longer of the version to close.
    fn commit(self: &Arc<Self>, step: &Step, event: &Event) -> Option<Receipt> {
        let at = Moment { elapsed: self.scene.elapsed(), now: self.scene.now() };
        let organization = &event.key.organization_id;
        let receipt = self.environment(organization, |environment| environment.perform(step, event, at))?;
        self.scene.log(|| format!("committed {} for {}: {receipt:?}", step.name().as_str(), event.key.event_id));
        tokio::spawn(at_once(self.clone(), organization.clone(), receipt.clone()));
        Some(receipt)
    }
}

#[async_trait]
impl Destination for FakeCrm {
    async fn perform(&self, step: &Step, event: &Event, _settings: &Settings) -> Performed {
        let scene = &self.cloud.scene;
        self.cloud.asked(&event.key, |asked| asked.at = scene.elapsed());
        let begun = scene.elapsed();
        let result = self.ask(step, event).await;
        if let Err(fault) = &result {
            if fault.remedy == Remedy::Retry {
                self.cloud.asked(&event.key, |asked| {
                    asked.spent += 1;
                    asked.failed.get_or_insert(scene.elapsed());
                });
            }
            scene.log(|| format!("FAULT {:?} of {} for {}", fault.remedy, fault.step.as_str(), event.key.event_id));
        }
        let exchange = Exchange {
            at: scene.now(),
            step: step.name(),
            elapsed: scene.elapsed().saturating_sub(begun),
            status: None,
            code: None,
            error: None,
            request_id: None,
        };
        Performed { result, exchanges: vec![exchange] }
    }

    fn settings(&self, organization: &OrganizationId) -> Option<Arc<Settings>> {
        let is_there = self.cloud.added.get(organization).is_none_or(|at| *at <= self.cloud.scene.elapsed());
        self.cloud.organizations.get(organization).filter(|_| is_there).cloned()
    }

    fn availability(&self, organization: &OrganizationId) -> Availability {
        if self.life.is_over() {
            // A caller that polls without ever awaiting a call would otherwise keep running until the end of the run.
            resume_unwind(Box::new("the process is dead"));
        }
        if !self.fleet.may_act(organization) {
            return Availability::Unavailable(Unavailable::NotOwned);
        }
        match self.known.of(&self.cloud.spans, organization) {
            Some(span) => Availability::Unavailable(span.why),
            None => Availability::Available { room: self.cloud.scene.room(organization) },
        }
    }

    async fn step_available(&self, organization: &OrganizationId, step: StepName) {
        self.life.until_dead().await;
        while let Some(held) = self.cloud.held(organization, step) {
            sleep(held.end.saturating_sub(self.cloud.scene.elapsed())).await;
        }
        self.life.until_dead().await;
    }

    async fn available(&self, organization: &OrganizationId) {
        self.life.until_dead().await;
        loop {
            self.known.end(&self.cloud.spans, organization).await;
            if self.fleet.may_act(organization) {
                break;
            }
            // A `watch` channel wakes its receivers in a random order, and no seed would repeat.
            sleep(LOOK).await;
        }
        self.life.until_dead().await;
    }
}

/// Interval at which a worker without a lease looks for it.
const LOOK: Duration = Duration::from_millis(100);

impl FakeCrm {
    async fn ask(&self, step: &Step, event: &Event) -> Result<Receipt, Fault> {
        let (scene, name) = (&self.cloud.scene, step.name());
        self.life.pass("before a request").await;
        // As the adapter does, right before it sends.
        if !self.fleet.may_act(&event.key.organization_id) {
            return Err(fault(name, Remedy::NotBefore(scene.now())));
        }
        if let Some(owners) = &self.owners {
            owners.asks(self.life.id, &event.key.organization_id);
        }
        if self.cloud.ledger.asks(&event.key) {
            self.cloud.asked(&event.key, |asked| asked.kills.0 = 0);
        }
        if let Some(fault) = self.refusal(step, event) {
            scene.sleep_up_to(Duration::from_millis(80)).await;
            return Err(fault);
        }
        if let Some(fault) = self.refuses_step(name, &event.key.organization_id) {
            scene.sleep_up_to(Duration::from_millis(80)).await;
            return Err(fault);
        }
        match self.cloud.cursed.get(&event.key) {
            Some(Poison::Kills) => {
                if scene.happens(0.5) {
                    self.cloud.commit(step, event);
                }
                scene.sleep_up_to(Duration::from_millis(300)).await;
                self.cloud
                    .asked(&event.key, |asked| asked.kills = (asked.kills.0 + 1, asked.kills.1.max(asked.kills.0 + 1)));
                self.life.kill(|| format!("{} ended the process", event.key.event_id)).await;
            }
            Some(Poison::Panics) => resume_unwind(Box::new("simulated panic of a cursed event")),
            None => {}
        }
        scene.may_panic(0.005);
        if let Some(remedy) = self.random_fault(&event.key.organization_id) {
            return Err(fault(name, remedy));
        }
        if scene.fails(0.02) {
            // A closing or a move that Dynamics carries out after its timeout, or after the end of its sender, can undo anything,
            // and no check can detect that.
            if matches!(name, StepName::CloseIncident | StepName::AssignQueue) {
                scene.sleep_up_to(GIVEN_UP).await;
                if !self.life.is_frozen() {
                    self.life.until_dead().await;
                    self.cloud.commit(step, event);
                }
            } else {
                self.commit_late(step, event);
                sleep(GIVEN_UP).await;
            }
            self.life.until_dead().await;
            return Err(fault(name, Remedy::Retry));
        }
        // A request in transit arrives, even if its sender dies.
        scene.sleep_up_to(self.patience()).await;
        let receipt = self.cloud.commit(step, event);
        self.life.pass("a request under way").await;
        scene.sleep_up_to(self.patience()).await;
        self.life.pass("after a request").await;
        scene.may_panic(0.005);
        if scene.fails(0.05) {
            Err(fault(name, Remedy::Retry))
        } else {
            receipt.ok_or_else(|| fault(name, Remedy::Retry))
        }
    }

    /// Returns the fault of an unavailable organization, which the worker thereby discovers.
    fn refusal(&self, step: &Step, event: &Event) -> Option<Fault> {
        let (scene, organization) = (&self.cloud.scene, &event.key.organization_id);
        let (number, span) = self.cloud.spans.now(organization).into_iter().max_by_key(|(_, span)| span.until)?;
        self.known.meet(organization, number);
        let often = {
            let mut refused = self.refused.lock().unwrap();
            let count = refused.entry((event.key.clone(), number)).or_default();
            *count += 1;
            *count
        };
        self.cloud.ledger.refused(event, span, often);
        let until = scene.now().checked_add(span.until.saturating_sub(scene.elapsed())).unwrap();
        let remedy = if span.why == Unavailable::Throttled { Remedy::NotBefore(until) } else { Remedy::Hold };
        Some(fault(step.name(), remedy))
    }

    /// Makes an organization's setup refuse a single step for a while, at random.
    fn refuses_step(&self, step: StepName, organization: &OrganizationId) -> Option<Fault> {
        let scene = &self.cloud.scene;
        if self.cloud.held(organization, step).is_none() && scene.fails(0.01) {
            let from = scene.elapsed();
            let span = from..from + Duration::from_secs(1 + scene.below(400) as u64);
            scene.log(|| format!("{organization} refuses {}: {span:?}", step.as_str()));
            self.cloud.held.lock().unwrap().push((organization.clone(), step, span));
        }
        let held = self.cloud.held(organization, step)?;
        let since = scene.now().checked_sub(scene.elapsed().saturating_sub(held.start)).unwrap();
        Some(fault(step, Remedy::HoldStep(since)))
    }

    /// Returns a random fault instead of an effect. An organization throttled or blocked here stays so for a while.
    fn random_fault(&self, organization: &OrganizationId) -> Option<Remedy> {
        let scene = &self.cloud.scene;
        let lot = scene.random();
        if lot >= 0.135 || !scene.fails(1.0) {
            return None;
        }
        let length = Duration::from_secs(1 + scene.below(120) as u64);
        let until = scene.now().checked_add(length).unwrap();
        let (remedy, why) = match lot {
            ..0.08 => return Some(Remedy::Retry),
            ..0.105 => (Remedy::NotBefore(until), Unavailable::Throttled),
            ..0.125 => (Remedy::Hold, Unavailable::Blocked),
            _ => return Some(Remedy::GiveUp),
        };
        self.cloud.spans.begin(organization, length, why);
        for (number, _) in self.cloud.spans.now(organization) {
            self.known.meet(organization, number);
        }
        Some(remedy)
    }

    /// Carries a request out after its timeout.
    fn commit_late(&self, step: &Step, event: &Event) {
        let (cloud, step, event) = (self.cloud.clone(), step.clone(), event.clone());
        tokio::spawn(async move {
            cloud.scene.sleep_up_to(LATEST).await;
            cloud.commit(&step, &event);
        });
    }

    fn patience(&self) -> Duration {
        self.cloud.scene.pick(&[Duration::ZERO, Duration::from_millis(80), Duration::from_secs(2)])
    }
}

fn fault(step: StepName, remedy: Remedy) -> Fault {
    let message = "simulated fault".to_owned();
    Fault { remedy, step, status: None, code: None, message, advice: String::new(), request_id: None }
}
