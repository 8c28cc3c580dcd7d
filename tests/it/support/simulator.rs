//! Dynamics 365 and Entra ID, simulated inside the test.

use dynamics_simulator::{Environment, JournalEntry, Profile, Running, Script, SimulatorOptions, serve};
use serde_json::{Value, json};

use super::worker::http;

/// Simulated environment.
pub struct Simulator {
    running: Running,
}

/// Secret that the simulator accepts; it must not be in any log.
pub const SECRET: &str = "simulator-secret";
/// Existing queue.
pub const QUEUE: &str = "44444444-4444-4444-4444-444444444444";
/// Existing system user.
pub const OWNER: &str = "33333333-3333-3333-3333-333333333333";
/// Existing account.
pub const ACCOUNT: &str = "77777777-7777-7777-7777-777777777777";

impl Simulator {
    /// Starts a simulator.
    pub async fn start(profile: Profile) -> Self {
        Self { running: serve(SimulatorOptions::one("acme", profile)).await.unwrap() }
    }

    /// Environment for all other operations.
    pub fn environment(&self) -> &Environment {
        self.running.first()
    }

    /// URL of both the environment and the authority.
    pub fn url(&self) -> String {
        self.environment().url()
    }

    /// All rows of a table.
    pub fn rows(&self, table: &str) -> Vec<Value> {
        self.environment().records(table)
    }

    /// All cases.
    pub fn incidents(&self) -> Vec<Value> {
        self.rows("incidents")
    }

    /// All contacts.
    pub fn contacts(&self) -> Vec<Value> {
        self.rows("contacts")
    }

    /// Number of requests of this operation.
    pub fn count(&self, operation: &str) -> u64 {
        self.environment().count(operation)
    }

    /// Operations so far except tokens, in the order in which they ended.
    pub fn operations(&self) -> Vec<String> {
        let requests = self.environment().requests();
        requests.into_iter().map(|entry| entry.operation).filter(|operation| operation != "token").collect()
    }

    /// Runs a future and returns the operations it took.
    pub async fn during(&self, work: impl Future<Output = ()>) -> Vec<String> {
        let before = self.operations().len();
        work.await;
        self.operations().split_off(before)
    }

    /// Requests of one operation.
    pub fn requests(&self, operation: &str) -> Vec<JournalEntry> {
        self.environment().requests().into_iter().filter(|entry| entry.operation == operation).collect()
    }

    /// Last body sent to this operation.
    pub fn sent(&self, operation: &str) -> Value {
        let last = self.requests(operation).pop().unwrap_or_else(|| panic!("no {operation}"));
        serde_json::from_slice(&last.body.unwrap()).unwrap()
    }

    /// Adds a fault script, in the format of `docs/SIMULATOR.md`.
    pub fn fault(&self, script: &Value) {
        let script: Script = serde_json::from_value(script.clone()).unwrap();
        self.environment().script(script);
    }

    /// Refuses a number of requests of this operation.
    pub fn refuse(&self, operation: &str, times: u64, status: u16, code: &str, message: &str) {
        let answer = json!({ "status": status, "code": code, "message": message });
        self.fault(&json!({ "operation": operation, "times": times, "fault": answer }));
    }

    /// Number of requests affected by faults so far, including those that hang.
    pub async fn fired(&self) -> u64 {
        let answer = http().get(format!("{}/_simulator/faults", self.url())).send().await.unwrap();
        let scripts: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        scripts.as_array().unwrap().iter().filter_map(|script| script["fired"].as_u64()).sum()
    }

    /// Changes columns of a row, as a person in Dynamics does.
    pub async fn edit(&self, table: &str, row: &Value) {
        let request = http().post(self.control(table)).body(row.to_string());
        assert!(request.send().await.unwrap().status().is_success());
    }

    /// Deletes a row, as a person in Dynamics does.
    pub async fn delete(&self, table: &str, key: &str) {
        let request = http().delete(format!("{}&key={key}", self.control(table)));
        assert!(request.send().await.unwrap().status().is_success());
    }

    /// All scripts with their hit counts, including hits by requests not answered yet.
    pub async fn scripts(&self) -> Value {
        let answer = http().get(format!("{}/_simulator/faults", self.url())).send().await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    /// Number of requests being answered now.
    pub async fn under_way(&self) -> u64 {
        self.counted().await["in_flight"].as_u64().unwrap()
    }

    /// Peak number of concurrent requests since [`Self::forget`].
    pub async fn peak(&self) -> u64 {
        self.counted().await["peak_in_flight"].as_u64().unwrap()
    }

    /// Number of all requests so far without token requests, including those of unknown operations and without a
    /// response.
    pub async fn total(&self) -> u64 {
        self.counted().await["total"].as_u64().unwrap() - self.count("token")
    }

    async fn counted(&self) -> Value {
        let answer = http().get(format!("{}/_simulator/requests?count=1", self.url())).send().await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    /// Clears the record of requests.
    pub async fn forget(&self) {
        let request = http().delete(format!("{}/_simulator/requests", self.url()));
        assert!(request.send().await.unwrap().status().is_success());
    }

    fn control(&self, table: &str) -> String {
        format!("{}/_simulator/records?table={table}", self.url())
    }
}
