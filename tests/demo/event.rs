//! File of a sample event, with the fields that the demonstration uses.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

/// Event file.
pub struct EventFile {
    /// Path of the file.
    pub path: PathBuf,
    /// Published bytes.
    pub body: Vec<u8>,
    /// Organization of the event; empty if it can't be read.
    pub organization: String,
    /// Event id, if the event has one.
    pub id: Option<String>,
    /// Session id.
    pub session: String,
    /// Summary, unique among the samples, which identifies the record in Dynamics.
    pub summary: Option<String>,
}

impl EventFile {
    /// Reads `tests/demo/events/<name>.json`.
    pub fn read(project: &Path, name: &str) -> Result<Self> {
        let path = project.join("tests/demo/events").join(name).with_extension("json");
        let body = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let fields: Value = serde_json::from_slice(&body).unwrap_or_default();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let data = &fields["data"];
        Ok(Self {
            path,
            organization: text(&fields["organization_id"]).or(text(&fields["organizationid"])).unwrap_or_default(),
            id: text(&fields["event_id"]).or(text(&fields["id"])),
            session: text(&data["session_id"]).or(text(&data["conversation_id"])).unwrap_or_default(),
            summary: text(&data["summary"]),
            body,
        })
    }

    /// Returns true if the file is an event with an organization.
    pub fn is_readable(&self) -> bool {
        !self.organization.is_empty()
    }

    /// Returns true if an outcome (contract of the outcomes exchange) belongs to this event.
    pub fn is_source_of(&self, outcome: &Value) -> bool {
        let data = &outcome["data"];
        let named = if let Some(id) = &self.id {
            data["source_event_id"] == id.as_str()
        } else {
            // Only the webhook, a resolution, has no id of its own.
            let resolution = outcome["event"].as_str().is_some_and(|event| event.contains(".resolution."));
            resolution && data["session_id"] == self.session.as_str()
        };
        named && outcome["organization_id"] == self.organization.as_str()
    }
}
