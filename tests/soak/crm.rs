//! Simulated Dynamics of three organizations, with faults.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use dynamics_simulator::{Environment, EnvironmentOptions, Profile, Running, Script, SimulatorOptions, serve};
use serde_json::{Value, json};

use crate::support::worker::http;

/// Organizations, each with an environment of the same name.
pub const ORGANIZATIONS: [&str; 3] = ["org_acme", "org_globex", "org_initech"];
/// Marks a summary whose incident Dynamics refuses permanently.
pub const REFUSED: &str = "refused by a plug-in";
/// Probability of each of the faults below per request: some 5 % altogether.
const EACH: f64 = 0.004;

/// All environments.
pub struct Crm {
    running: Running,
    client: reqwest::Client,
    /// Number of faults of removed scripts.
    past: AtomicU64,
    seed: Mutex<u64>,
}

/// Kind of trouble of an organization.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// No faults except permanent refusals.
    Nothing,
    /// The usual faults.
    Usual,
    /// An expired secret.
    BadSecret,
    /// An application user without roles.
    NoRoles,
    /// No responses.
    Hangs,
    /// Rate-limited requests.
    Throttled,
    /// Refused connections, approximately.
    Away,
}

impl Crm {
    /// Starts the environments, with the usual faults.
    pub async fn play(seed: u64) -> Self {
        let profiles = [Profile::OpenCx, Profile::Stock, Profile::OpenCx];
        let environments = ORGANIZATIONS.iter().zip(profiles);
        let environments = environments.map(|(name, profile)| {
            let mut options = EnvironmentOptions::new(name, profile);
            options.settings.latency_ms = 20;
            options
        });
        let running = serve(SimulatorOptions { environments: environments.collect() }).await.expect("a simulator");
        let crm = Self { running, client: http(), past: AtomicU64::new(0), seed: Mutex::new(seed) };
        for organization in ORGANIZATIONS {
            crm.put(organization, Trouble::Usual).await;
        }
        crm
    }

    /// URL of an organization.
    pub fn url(&self, organization: &str) -> String {
        self.environment(organization).url()
    }

    /// All rows of a table.
    pub fn rows(&self, organization: &str, table: &str) -> Vec<Value> {
        self.environment(organization).records(table)
    }

    /// Number of rows that events create.
    pub fn records(&self) -> usize {
        ORGANIZATIONS.iter().map(|id| self.rows(id, "incidents").len() + self.rows(id, "oc_liveworkitems").len()).sum()
    }

    /// Number of requests with a fault so far.
    pub async fn faults(&self) -> u64 {
        let mut sum = self.past.load(Ordering::Relaxed);
        for organization in ORGANIZATIONS {
            sum += self.fired(organization).await;
        }
        sum
    }

    /// Sets the trouble of an organization.
    pub async fn put(&self, organization: &str, trouble: Trouble) {
        self.clear(organization).await;
        let environment = self.environment(organization);
        let refusal = json!({ "status": 400, "code": "0x80040265", "message": "A plug-in refused it." });
        self.script(organization, json!({ "operation": "incidents.create", "containing": REFUSED, "fault": refusal }));
        let secret = if trouble == Trouble::BadSecret { "expired" } else { "valid" };
        let user = if trouble == Trouble::NoRoles { "no_roles" } else { "present" };
        environment.configure(&json!({ "secret": secret, "application_user": user })).expect("settings that are known");
        match trouble {
            Trouble::Usual => {
                for fault in usual() {
                    self.script(organization, json!({ "operation": "*", "probability": EACH, "fault": fault }));
                }
                for fault in [json!({ "status": 503 }), json!("hang"), json!("garbage")] {
                    self.script(organization, json!({ "operation": "token", "probability": 0.02, "fault": fault }));
                }
            }
            // An existing token would stay valid for an hour.
            Trouble::BadSecret => environment.revoke_tokens(),
            Trouble::NoRoles | Trouble::Nothing => {}
            Trouble::Hangs => {
                let mix = [("hang", 0.5), ("hang_after_commit", 1.0)];
                for (fault, probability) in mix {
                    self.script(organization, json!({ "operation": "*", "probability": probability, "fault": fault }));
                }
            }
            Trouble::Throttled => {
                let answer = json!({ "status": 429, "code": "0x80072322", "message": "Too many.", "retry_after": 2 });
                self.script(organization, json!({ "operation": "*", "fault": answer }));
            }
            Trouble::Away => self.script(organization, json!({ "operation": "*", "fault": "reset_before" })),
        }
    }

    /// Removes all faults except permanent refusals.
    pub async fn calm(&self) {
        for organization in ORGANIZATIONS {
            self.put(organization, Trouble::Nothing).await;
        }
    }

    fn environment(&self, organization: &str) -> &Environment {
        self.running.environment(organization).expect("a configured organization")
    }

    /// Adds a permanent script with its own random numbers.
    fn script(&self, organization: &str, mut script: Value) {
        let mut seed = self.seed.lock().expect("the lock is not poisoned");
        *seed = seed.wrapping_add(1);
        script["seed"] = (*seed).into();
        script["times"] = Value::Null;
        let script: Script = serde_json::from_value(script).expect("a script");
        self.environment(organization).script(script);
    }

    async fn clear(&self, organization: &str) {
        self.past.fetch_add(self.fired(organization).await, Ordering::Relaxed);
        self.environment(organization).clear_faults();
    }

    async fn fired(&self, organization: &str) -> u64 {
        let answer = self.client.get(format!("{}/_simulator/faults", self.url(organization))).send().await;
        let Ok(answer) = answer else { return 0 };
        let scripts: Value = serde_json::from_slice(&answer.bytes().await.unwrap_or_default()).unwrap_or_default();
        let scripts = scripts.as_array().into_iter().flatten();
        scripts.filter(|script| script["containing"].is_null()).filter_map(|script| script["fired"].as_u64()).sum()
    }
}

/// One fault of every kind.
fn usual() -> Vec<Value> {
    let mut faults: Vec<Value> = [500, 502, 503, 504, 408].map(|status| json!({ "status": status })).to_vec();
    faults.push(json!({ "status": 429, "code": "0x80072322", "message": "Too many.", "retry_after": 1 }));
    faults.push(json!({ "status": 503, "retry_after": 1 }));
    faults.extend(
        ["reset_before", "reset_after_commit", "hang", "hang_after_commit", "garbage", "truncate"].map(Value::from),
    );
    faults
}
