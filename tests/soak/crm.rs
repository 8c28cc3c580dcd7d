//! Simulated Dynamics of all organizations, with faults and quick reps.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use dynamics_simulator::{
    Environment, EnvironmentOptions, JournalEntry, Profile, RepScript, Running, Script, SimulatorOptions, serve,
};
use serde_json::{Value, json};

use crate::support::worker::http;

/// First organizations, each with an environment of the same name.
const NAMED: [&str; 3] = ["org_acme", "org_globex", "org_initech"];
/// Marks a summary whose incident Dynamics refuses permanently.
pub const REFUSED: &str = "refused by a plug-in";
/// Probability of each of the faults below per request: some 5 % altogether.
const EACH: f64 = 0.004;
/// Seconds in `Retry-After` of an organization in trouble: longer than a takeover takes.
pub const THROTTLED_S: u64 = 15;
/// Beginnings of the ids of cases that a rep reopens as soon as they are closed, with the rep's delay in milliseconds.
const REOPENED: [(char, u64); 3] = [('a', 0), ('b', 300), ('c', 2000)];

/// All organizations: three, or `ORGANIZATIONS` of the environment.
pub fn organizations() -> &'static [String] {
    static ALL: OnceLock<Vec<String>> = OnceLock::new();
    ALL.get_or_init(|| {
        let count = std::env::var("ORGANIZATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(NAMED.len());
        let further = (NAMED.len()..count).map(|number| format!("org_{number:02}"));
        NAMED.iter().map(ToString::to_string).chain(further).collect()
    })
}

/// True for an organization whose Dynamics is as installed.
pub fn is_stock(organization: &str) -> bool {
    organizations().iter().position(|id| id == organization).is_some_and(|nth| nth % 3 == 1)
}

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
        let environments = organizations().iter().map(|name| {
            let profile = if is_stock(name) { Profile::Stock } else { Profile::OpenCx };
            let mut options = EnvironmentOptions::new(name, profile);
            options.settings.latency_ms = 20;
            options
        });
        let running = serve(SimulatorOptions { environments: environments.collect() }).await.expect("a simulator");
        let crm = Self { running, client: http(), past: AtomicU64::new(0), seed: Mutex::new(seed) };
        for organization in organizations() {
            for (start, after) in REOPENED {
                for operation in ["incidents.update", "CloseIncident"] {
                    crm.rep(
                        organization,
                        json!({
                            "operation": operation, "containing": format!("incidents({start}"), "times": null,
                            "after_ms": after, "does": "reopen",
                        }),
                    );
                }
            }
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
        organizations()
            .iter()
            .map(|id| self.rows(id, "incidents").len() + self.rows(id, "oc_liveworkitems").len())
            .sum()
    }

    /// Number of requests with a fault so far.
    pub async fn faults(&self) -> u64 {
        let mut sum = self.past.load(Ordering::Relaxed);
        for organization in organizations() {
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
                let answer =
                    json!({ "status": 429, "code": "0x80072322", "message": "Too many.", "retry_after": THROTTLED_S });
                self.script(organization, json!({ "operation": "*", "fault": answer }));
            }
            Trouble::Away => self.script(organization, json!({ "operation": "*", "fault": "reset_before" })),
        }
    }

    /// Removes all faults except permanent refusals.
    pub async fn calm(&self) {
        for organization in organizations() {
            self.put(organization, Trouble::Nothing).await;
        }
    }

    /// Number of times that reps have reopened each case.
    pub fn reopened(&self) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for organization in organizations() {
            for action in self.environment(organization).rep_actions().into_iter().filter(|action| action.done) {
                *counts.entry(action.key.to_string()).or_default() += 1;
            }
        }
        counts
    }

    /// Largest number of concurrent requests of an organization since the last call.
    pub fn take_peak(&self, organization: &str) -> usize {
        self.environment(organization).take_peak()
    }

    /// All requests of an organization that are journaled.
    pub fn requests(&self, organization: &str) -> Vec<JournalEntry> {
        self.environment(organization).requests()
    }

    /// Adds a rep.
    fn rep(&self, organization: &str, script: Value) {
        let script: RepScript = serde_json::from_value(script).expect("a rep's script");
        self.environment(organization).add_rep_script(script);
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
