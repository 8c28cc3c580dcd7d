//! Records and requests in Dynamics, read from the simulator and not from the worker's reports.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Environments of the simulator, by name.
pub struct Dynamics {
    client: reqwest::Client,
    /// URL by name.
    pub environments: BTreeMap<String, String>,
}

/// Consistent copy of all records and requests.
pub struct Snapshot {
    /// Tables with their rows, by environment.
    pub records: BTreeMap<String, Value>,
    /// Requests in the order in which they ended, without token requests.
    pub requests: Vec<Value>,
    /// Number of token requests.
    pub tokens: usize,
}

impl Dynamics {
    /// Environments listed in the simulator's ready file.
    pub fn new(client: reqwest::Client, ready: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let all = ready.as_array().into_iter().flatten();
        Self { client, environments: all.map(|one| (text(&one["name"]), text(&one["url"]))).collect() }
    }

    /// Adds a fault script to an environment.
    pub async fn fail(&self, environment: &str, script: &Value) -> Result<()> {
        let url = format!("{}/_simulator/faults", self.environments[environment]);
        let answer = self.client.post(url).body(script.to_string()).send().await?;
        ensure!(answer.status().is_success(), "the simulator rejects {script}: {}", answer.text().await?);
        Ok(())
    }

    /// Number of requests, without token requests.
    pub async fn count(&self) -> Result<usize> {
        Ok(self.snapshot().await?.requests.len())
    }

    /// Reads all records and requests.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        let mut snapshot = Snapshot { records: BTreeMap::new(), requests: Vec::new(), tokens: 0 };
        for (name, url) in &self.environments {
            let records = get(&self.client, &format!("{url}/_simulator/records")).await?;
            snapshot.records.insert(name.clone(), records);
            let journal = get(&self.client, &format!("{url}/_simulator/requests?body=1")).await?;
            let all = journal.as_array().cloned().unwrap_or_default();
            let (tokens, requests): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| one["operation"] == "token");
            snapshot.tokens += tokens.len();
            snapshot.requests.extend(requests);
        }
        Ok(snapshot)
    }
}

impl Snapshot {
    /// Rows of a table.
    pub fn rows(&self, environment: &str, table: &str) -> impl Iterator<Item = &Value> {
        self.records.get(environment).and_then(|tables| tables[table].as_array()).into_iter().flatten()
    }

    /// Every case of every environment.
    pub fn cases(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.of_all("incidents")
    }

    /// Every live work item of every environment.
    pub fn work_items(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.of_all("oc_liveworkitems")
    }

    fn of_all(&self, table: &'static str) -> impl Iterator<Item = (&str, &Value)> {
        let names = self.records.keys();
        names.flat_map(move |name| self.rows(name, table).map(move |row| (name.as_str(), row)))
    }
}

/// Sends a `GET` and returns the JSON body.
pub async fn get(client: &reqwest::Client, url: &str) -> Result<Value> {
    let answer = client.get(url).send().await.with_context(|| format!("{url} does not respond"))?;
    let status = answer.status();
    let body = answer.bytes().await?;
    ensure!(status.is_success(), "{url} responded {status}: {}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).with_context(|| format!("the response of {url} is not JSON"))
}
