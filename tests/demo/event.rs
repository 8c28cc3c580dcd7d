//! A sample's file, as far as the demonstration has to know it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

/// An event file.
pub struct EventFile {
    /// Where.
    pub path: PathBuf,
    /// What is published, byte for byte.
    pub body: Vec<u8>,
    /// Whose event; empty when it can't be read.
    pub organization: String,
    /// Its id; none where it has none of its own.
    pub id: Option<String>,
    /// Its session.
    pub session: String,
    /// Every sample has another one: it finds the record in Dynamics.
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

    /// Whether anything of it can be read.
    pub fn is_readable(&self) -> bool {
        !self.organization.is_empty()
    }

    /// Whether an outcome (contract of the outcomes exchange) is this event's.
    pub fn is_source_of(&self, outcome: &Value) -> bool {
        let data = &outcome["data"];
        let named = match &self.id {
            Some(id) => data["source_event_id"] == id.as_str(),
            // Only the webhook has no id of its own: a resolution.
            None => {
                let resolution = outcome["event"].as_str().is_some_and(|event| event.contains(".resolution."));
                resolution && data["session_id"] == self.session.as_str()
            }
        };
        named && outcome["organization_id"] == self.organization.as_str()
    }
}
