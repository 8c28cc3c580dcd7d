//! Which privileges the application user needs, by what its organization wants of it. Least privilege: nothing that no
//! event needs.

use std::collections::BTreeSet;

use serde_json::Value;

use super::finding::Finding;
use crate::dynamics::classify::lacking;
use crate::machine::{CloseWith, QueueAssignment, Settings};

/// A privilege that some event needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Need {
    /// Its name; where environments differ, any of these will do.
    pub(super) names: Vec<String>,
    /// How sure it is that it is needed.
    pub(super) urgency: Urgency,
}

/// How sure it is that a privilege is needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Urgency {
    /// Events wait without it.
    Always,
    /// They do in an environment that wants the action instead of the property; which one it is, an event finds out.
    Perhaps,
}

/// All that events of this organization may need. `chats` is the schema name of the table of live work items.
pub(super) fn needed(settings: &Settings, chats: Option<&str>) -> Vec<Need> {
    use Urgency::{Always, Perhaps};
    let mut needs = Vec::new();
    let mut add = |urgency, names: &[&str]| {
        needs.push(Need { names: names.iter().map(|name| format!("prv{name}")).collect(), urgency });
    };
    for verb in ["Create", "Read", "Write", "Append", "AppendTo"] {
        add(Always, &[&format!("{verb}Incident")]);
    }
    for verb in ["Create", "Read", "AppendTo"] {
        add(Always, &[&format!("{verb}Contact")]);
    }
    add(Always, &["CreateNote"]);
    add(Always, &["AppendNote"]);
    if settings.default_owner_id.is_some() {
        add(Always, &["ReadUser"]);
    }
    if settings.default_queue_id.is_some() {
        add(Always, &["ReadQueue"]);
        add(Always, &["AppendToQueue"]);
        let by_action = match settings.queue_assignment {
            QueueAssignment::AddToQueue => Some(Always),
            QueueAssignment::Auto => Some(Perhaps),
            QueueAssignment::Bind => None,
        };
        for verb in by_action.iter().flat_map(|_| ["Create", "Read", "Write", "Append"]) {
            add(by_action.unwrap_or(Perhaps), &[&format!("{verb}QueueItem")]);
        }
    }
    // A case resolution is an activity, whose privileges all activities share; some environments have its own.
    match settings.close_with {
        CloseWith::CloseIncident => add(Always, &["CreateActivity", "CreateIncidentResolution"]),
        CloseWith::Auto => add(Perhaps, &["CreateActivity", "CreateIncidentResolution"]),
        CloseWith::Patch => {}
    }
    if let Some(table) = chats {
        add(Always, &[&format!("Create{table}")]);
    }
    needs
}

/// The names in the answer of `RetrieveUserPrivileges`, in lower case.
pub(super) fn held(answer: &Value) -> BTreeSet<String> {
    let privileges = answer["RolePrivileges"].as_array().into_iter().flatten();
    privileges.filter_map(|privilege| Some(privilege["PrivilegeName"].as_str()?.to_lowercase())).collect()
}

/// Whether the answer of `RetrieveUserPrivilegeByPrivilegeName` has it.
pub(super) fn has(answer: &Value) -> bool {
    answer["RolePrivileges"].as_array().is_some_and(|privileges| !privileges.is_empty())
}

impl Need {
    /// Whether one of its names is among these.
    pub(super) fn is_met(&self, held: &BTreeSet<String>) -> bool {
        self.names.iter().any(|name| held.contains(&name.to_lowercase()))
    }

    /// The name to ask for.
    pub(super) fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }
}

/// What was found out about all that is needed.
pub(super) fn judged(all: &[Need], missing: &[Need], unknown: &[Need]) -> Finding {
    let names = |needs: &[Need], urgency: Urgency| -> Vec<String> {
        needs.iter().filter(|need| need.urgency == urgency).map(|need| need.name().to_owned()).collect()
    };
    let (surely, perhaps) = (names(missing, Urgency::Always), names(missing, Urgency::Perhaps));
    if !surely.is_empty() {
        return Finding::failed("privileges", format!("missing: {}", surely.join(", ")), lacking(&surely));
    }
    if !unknown.is_empty() {
        let message = format!("{} of {} privileges could not be asked for", unknown.len(), all.len());
        return Finding::warned(
            "privileges",
            message,
            "An event that lacks one blocks the organization and names it; compare the role with docs/CONFIGURATION.md.",
        );
    }
    if !perhaps.is_empty() {
        let message = format!("missing, and needed where the environment insists on an action: {}", perhaps.join(", "));
        return Finding::warned("privileges", message, lacking(&perhaps));
    }
    Finding::passed("privileges", format!("all {} that events need", all.len()))
}
