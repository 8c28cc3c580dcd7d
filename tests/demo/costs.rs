//! Attributes each request to Dynamics to an event. The requests are those that the simulator received; the worker's
//! history only identifies their event, by the response's request id. A request whose response was lost has no such id,
//! and is identified by the record that it names.

use std::collections::{BTreeMap, HashMap};

use anyhow::Result;
use serde_json::Value;

use crate::dynamics::{Snapshot, get};
use crate::event::EventFile;
use crate::stage::Stage;

/// Requests by event.
pub struct Costs {
    by_sample: BTreeMap<&'static str, usize>,
    /// Requests not attributed to an event; must be 0.
    pub unexplained: usize,
}

impl Costs {
    /// Reads each event's history from the worker.
    pub async fn find(
        stage: &Stage,
        files: &BTreeMap<&'static str, EventFile>,
        snapshot: &Snapshot,
        outcomes: &[Value],
    ) -> Result<Self> {
        let mut whose: HashMap<String, &'static str> = HashMap::new();
        for (name, file) in files {
            let Some(outcome) = outcomes.iter().find(|outcome| file.is_source_of(outcome)) else { continue };
            let meta = &outcome["data"]["session_meta"];
            if outcome["data"]["route"] == "incident" && file.summary.is_some() {
                whose.entry(text(&meta["dynamics365_incident_id"])).or_insert(name);
            }
            let id = text(&outcome["data"]["source_event_id"]);
            let shown =
                get(&stage.client, &format!("{}/api/v1/outcomes/{}/{id}", stage.worker, file.organization)).await?;
            for entry in shown["history"].as_array().into_iter().flatten() {
                whose.entry(text(&entry["request_id"])).or_insert(name);
            }
        }
        Ok(Self::count(&snapshot.requests, &whose))
    }

    fn count(requests: &[Value], whose: &HashMap<String, &'static str>) -> Self {
        let mut costs = Self { by_sample: BTreeMap::new(), unexplained: 0 };
        for request in requests {
            let keys = [&request["request_id"], &request["body"]["incidentid"]].map(text);
            match keys.iter().find_map(|key| whose.get(key)) {
                Some(name) => *costs.by_sample.entry(name).or_default() += 1,
                None => costs.unexplained += 1,
            }
        }
        costs
    }

    /// Number of requests of a sample.
    pub fn of(&self, name: &str) -> usize {
        self.by_sample.get(name).copied().unwrap_or(0)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}
