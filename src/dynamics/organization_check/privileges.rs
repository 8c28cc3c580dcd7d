//! Privileges that the application user needs for its organization's settings. Least privilege: only those that some event needs.

use std::collections::BTreeSet;

use handoffd_engine::workflow::{CloseWith, QueueAssignment, Settings};
use serde_json::Value;

use super::finding::Finding;
use crate::dynamics::classify::lacking;

/// Privilege that some event needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Need {
    /// Names of the privilege. Environments differ, and any one of them suffices.
    pub(super) names: Vec<String>,
    /// Circumstances under which it is needed.
    pub(super) urgency: Urgency,
}

/// Circumstances under which a privilege is needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Urgency {
    /// Always: events wait without it.
    Always,
    /// Only in an environment that requires the action instead of the property, which the first event reveals.
    Perhaps,
    /// Only after a lost answer, to check the result of the request.
    Looks,
}

/// Returns all privileges that events of this organization may need. `chats` is the schema name of the table of live work items.
pub(super) fn needed(settings: &Settings, chats: Option<&str>) -> Vec<Need> {
    use Urgency::{Always, Looks, Perhaps};
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
    add(Looks, &["ReadNote"]);
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
    // A case resolution is an activity and shares the privileges of activities; some environments have separate ones.
    let by_action = match settings.close_with {
        CloseWith::CloseIncident => Some(Always),
        CloseWith::Auto => Some(Perhaps),
        CloseWith::Patch => None,
    };
    for verb in by_action.iter().flat_map(|_| ["Create", "Append"]) {
        add(by_action.unwrap_or(Perhaps), &[&format!("{verb}Activity"), &format!("{verb}IncidentResolution")]);
    }
    add(Looks, &["ReadActivity", "ReadIncidentResolution"]);
    if let Some(table) = chats {
        add(Always, &[&format!("Create{table}")]);
        add(Looks, &[&format!("Read{table}")]);
    }
    needs
}

/// Returns the names in the answer of `RetrieveUserPrivileges`, in lower case.
pub(super) fn held(answer: &Value) -> BTreeSet<String> {
    let privileges = answer["RolePrivileges"].as_array().into_iter().flatten();
    privileges.filter_map(|privilege| Some(privilege["PrivilegeName"].as_str()?.to_lowercase())).collect()
}

/// Reports whether the answer of `RetrieveUserPrivilegeByPrivilegeName` has the privilege; `None` for an answer of another shape.
pub(super) fn has(answer: &Value) -> Option<bool> {
    answer["RolePrivileges"].as_array().map(|privileges| !privileges.is_empty())
}

impl Need {
    /// Returns true if one of its names is in `held`.
    pub(super) fn is_met(&self, held: &BTreeSet<String>) -> bool {
        self.names.iter().any(|name| held.contains(&name.to_lowercase()))
    }

    /// Returns the name to query and report.
    pub(super) fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }
}

/// Combines the results for all needed privileges into one finding.
pub(super) fn judged(all: &[Need], missing: &[Need], unknown: &[Need]) -> Finding {
    let names = |needs: &[Need], urgency: Urgency| -> Vec<String> {
        needs.iter().filter(|need| need.urgency == urgency).map(|need| need.name().to_owned()).collect()
    };
    let surely = names(missing, Urgency::Always);
    let (perhaps, looks) = (names(missing, Urgency::Perhaps), names(missing, Urgency::Looks));
    if !surely.is_empty() {
        return Finding::failed("privileges", format!("missing: {}", surely.join(", ")), lacking(&surely));
    }
    if !unknown.is_empty() {
        let message = format!("{} of {} privileges could not be checked", unknown.len(), all.len());
        return Finding::warned(
            "privileges",
            message,
            "Compare the application user's role with docs/DYNAMICS.md. A missing privilege blocks the organization \
             and is named then.",
        );
    }
    if !perhaps.is_empty() || !looks.is_empty() {
        let needed = [("where the environment requires an action", &perhaps), ("after a lost answer", &looks)];
        let needed = needed.iter().filter(|(_, names)| !names.is_empty());
        let needed: Vec<String> = needed.map(|(when, names)| format!("{when}: {}", names.join(", "))).collect();
        let message = format!("missing; needed {}", needed.join("; "));
        return Finding::warned("privileges", message, lacking(&[perhaps, looks].concat()));
    }
    Finding::passed("privileges", format!("all {} required privileges granted", all.len()))
}

#[cfg(test)]
mod tests {
    use super::super::finding::CheckResult;
    use super::*;
    use handoffd_engine::workflow::samples::settings_with;

    fn named(needs: &[Need], urgency: Urgency) -> Vec<&str> {
        needs.iter().filter(|need| need.urgency == urgency).map(Need::name).collect()
    }

    #[test]
    fn checks_after_a_lost_answer_need_additional_privileges() {
        let bare = settings_with(|settings| settings.close_with = CloseWith::Patch);
        let looks = needed(&bare, Some("oc_LiveWorkItem"));
        assert_eq!(named(&looks, Urgency::Looks), ["prvReadNote", "prvReadActivity", "prvReadoc_LiveWorkItem"]);
        let queued = settings_with(|settings| {
            settings.default_queue_id = Some(uuid::Uuid::nil());
            settings.queue_assignment = QueueAssignment::AddToQueue;
        });
        assert!(named(&needed(&queued, None), Urgency::Always).contains(&"prvReadQueueItem"));
        assert!(!named(&needed(&bare, None), Urgency::Always).contains(&"prvReadQueueItem"));
    }

    #[test]
    fn a_privilege_that_only_some_events_need_is_a_warning_with_its_condition() {
        let need = |name: &str, urgency| Need { names: vec![name.to_owned()], urgency };
        let look = need("prvReadActivity", Urgency::Looks);
        let action = need("prvCreateQueueItem", Urgency::Perhaps);
        let always = need("prvCreateIncident", Urgency::Always);
        let of = |missing: &[&Need]| judged(&[], &missing.iter().copied().cloned().collect::<Vec<_>>(), &[]);
        let finding = of(&[&look]);
        assert_eq!(
            (finding.result, finding.message.contains("after a lost answer: prvReadActivity")),
            (CheckResult::Warned, true)
        );
        assert!(finding.advice.contains("Read on Activity (prvReadActivity)"), "{finding:?}");
        let both = of(&[&look, &action]);
        assert!(
            both.message.contains("an action: prvCreateQueueItem; after a lost answer: prvReadActivity"),
            "{both:?}"
        );
        assert_eq!(of(&[&look, &always]).result, CheckResult::Failed);
        assert_eq!(of(&[]).result, CheckResult::Passed);
    }
}
