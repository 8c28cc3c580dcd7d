//! The CRM behind its seam: slow, moody, and now and then silent about what it has done.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use handoffd::crm::{Crm, Exchange, Performed, Shut, Standing};
use handoffd::event::{Event, EventKey, OrganizationId};
use handoffd::machine::{Fault, Receipt, Remedy, Settings, Step, StepName};
use tokio::time::sleep;

use super::environment::Environment;
use super::scene::{Life, Scene};
use super::script::Curse;

/// All environments, and what each event has asked for; they outlive the workers.
pub struct Cloud {
    pub scene: Arc<Scene>,
    pub organizations: BTreeMap<OrganizationId, Arc<Settings>>,
    pub environments: Mutex<BTreeMap<OrganizationId, Environment>>,
    pub asked: Mutex<BTreeMap<EventKey, Asked>>,
    /// Events that something is wrong with for good.
    pub cursed: BTreeMap<EventKey, Curse>,
}

/// What an event has asked for.
#[derive(Clone, Copy, Default)]
pub struct Asked {
    /// When it did so last.
    pub at: Duration,
    /// How many answers spent an attempt.
    pub spent: u32,
}

/// The cloud as one process sees it.
pub struct FakeCrm {
    pub cloud: Arc<Cloud>,
    pub life: Life,
}

impl Cloud {
    pub fn environment<T>(&self, organization: &OrganizationId, look: impl FnOnce(&mut Environment) -> T) -> T {
        look(self.environments.lock().unwrap().get_mut(organization).expect("it is configured"))
    }

    pub fn asked<T>(&self, key: &EventKey, look: impl FnOnce(&mut Asked) -> T) -> T {
        look(self.asked.lock().unwrap().entry(key.clone()).or_default())
    }

    fn commit(&self, step: &Step, event: &Event) -> Receipt {
        let receipt = self.environment(&event.key.organization_id, |environment| environment.perform(step, event));
        self.scene.tell(|| format!("committed {} for {}: {receipt:?}", step.name().as_str(), event.key.event_id));
        receipt
    }
}

#[async_trait]
impl Crm for FakeCrm {
    async fn perform(&self, step: &Step, event: &Event, _settings: &Settings) -> Performed {
        let scene = &self.cloud.scene;
        self.cloud.asked(&event.key, |asked| asked.at = scene.elapsed());
        let begun = scene.elapsed();
        let result = self.ask(step, event).await;
        if let Err(fault) = &result {
            self.cloud.asked(&event.key, |asked| asked.spent += u32::from(fault.remedy == Remedy::Retry));
            scene.tell(|| format!("FAULT {:?} of {} for {}", fault.remedy, fault.step.as_str(), event.key.event_id));
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
        self.cloud.organizations.get(organization).cloned()
    }

    fn standing(&self, organization: &OrganizationId) -> Standing {
        let scene = &self.cloud.scene;
        let shut = |seconds, why| Standing::Shut {
            until: scene.now().saturating_add(Duration::from_secs(seconds)).unwrap(),
            why,
        };
        if self.cloud.environment(organization, |environment| environment.profile.blocked) {
            return shut(30, Shut::Blocked);
        }
        if scene.fails(0.05) {
            let why = if scene.happens(0.5) { Shut::Throttled } else { Shut::Blocked };
            return shut(1 + scene.below(60) as u64, why);
        }
        Standing::Open { room: scene.pick(&[1, 4, 64]) }
    }
}

impl FakeCrm {
    async fn ask(&self, step: &Step, event: &Event) -> Result<Receipt, Fault> {
        let (scene, name) = (&self.cloud.scene, step.name());
        self.life.pass("before a request").await;
        match self.cloud.cursed.get(&event.key) {
            Some(Curse::Kills) => {
                if scene.happens(0.5) {
                    self.cloud.commit(step, event);
                }
                scene.dawdle(Duration::from_millis(300)).await;
                self.life.kill(|| format!("{} has ended the process", event.key.event_id)).await;
            }
            Some(Curse::Panics) => resume_unwind(Box::new("a curse")),
            None => {}
        }
        scene.may_panic(0.005);
        if self.cloud.environment(&event.key.organization_id, |environment| environment.profile.blocked) {
            return Err(fault(name, Remedy::Hold));
        }
        if let Some(remedy) = self.mood() {
            return Err(fault(name, remedy));
        }
        if scene.fails(0.02) {
            self.commit_late(step, event);
            sleep(Duration::from_secs(60)).await;
            self.life.go_on().await;
            return Err(fault(name, Remedy::Retry));
        }
        // What is on its way arrives, whatever becomes of who sent it.
        scene.dawdle(self.patience()).await;
        let receipt = self.cloud.commit(step, event);
        self.life.pass("a request under way").await;
        scene.dawdle(self.patience()).await;
        self.life.pass("after a request").await;
        scene.may_panic(0.005);
        if scene.fails(0.05) { Err(fault(name, Remedy::Retry)) } else { Ok(receipt) }
    }

    /// What it answers instead of doing anything.
    fn mood(&self) -> Option<Remedy> {
        let scene = &self.cloud.scene;
        let lot = scene.lot();
        let until = scene.now().checked_add(Duration::from_secs(1 + scene.below(120) as u64)).unwrap();
        let remedy = match lot {
            ..0.08 => Remedy::Retry,
            ..0.11 => Remedy::NotBefore(until),
            ..0.13 => Remedy::Hold,
            ..0.135 => Remedy::GiveUp,
            ..0.145 => Remedy::Crowded,
            _ => return None,
        };
        scene.fails(1.0).then_some(remedy)
    }

    /// The answer is given up, and the request is carried out after all.
    fn commit_late(&self, step: &Step, event: &Event) {
        let (cloud, step, event) = (self.cloud.clone(), step.clone(), event.clone());
        tokio::spawn(async move {
            cloud.scene.dawdle(Duration::from_secs(240)).await;
            cloud.commit(&step, &event);
        });
    }

    fn patience(&self) -> Duration {
        self.cloud.scene.pick(&[Duration::ZERO, Duration::from_millis(80), Duration::from_secs(2)])
    }
}

fn fault(step: StepName, remedy: Remedy) -> Fault {
    let message = "the dice".to_owned();
    Fault { remedy, step, status: None, code: None, message, advice: String::new(), request_id: None }
}
