//! Evaluation of the answers to a test's requests.

use handoffd_engine::workflow::{FallbackCustomer, Fault, QueueAssignment, Remedy, Settings, StepName};
use serde_json::Value;
use uuid::Uuid;

use super::fields::CaseFields;
use super::finding::{CheckResult, Finding, SetupHalf};
use crate::dynamics::classify::NO_CHATS;

/// Code for a missing privilege; other requests may still succeed.
const LACKS_PRIVILEGE: &str = "0x80040220";
/// Errors of Entra ID for an unknown environment.
const NO_ENVIRONMENT: [&str; 2] = ["AADSTS500011:", "AADSTS650057:"];

/// Answer to a request of the test.
pub(super) type CheckExchange = Result<Value, Fault>;

/// Decision about the remaining checks of a test.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rest {
    /// The remaining checks are made.
    GoesOn,
    /// The remaining checks are skipped, as they would all fail in the same way.
    IsSkipped,
}

/// Judges the token request.
pub(super) fn token(got: &Result<(), Fault>) -> (Finding, Rest) {
    match got {
        Ok(()) => (Finding::passed("token", "Entra ID issued a token").of_credentials(), Rest::GoesOn),
        Err(fault) => {
            let finding = Finding::fault("token", fault);
            let unknown_environment = NO_ENVIRONMENT.iter().any(|code| fault.message.contains(code));
            (if unknown_environment { finding } else { finding.of_credentials() }, Rest::IsSkipped)
        }
    }
}

/// Judges the probe: a read of cases.
pub(super) fn probe(settings: &Settings, asked: &CheckExchange) -> (Finding, Rest) {
    match asked {
        Ok(_) => (
            Finding::passed("probe", format!("the application user reads cases in {}", settings.environment_url)),
            Rest::GoesOn,
        ),
        // Dynamics rejected the first token, and Entra ID refused a second one.
        Err(fault) if fault.step == StepName::Token => {
            (Finding::fault("probe", fault).of_credentials(), Rest::IsSkipped)
        }
        Err(fault) => {
            let lacks_one = fault.code.as_deref() == Some(LACKS_PRIVILEGE);
            (Finding::fault("probe", fault), if lacks_one { Rest::GoesOn } else { Rest::IsSkipped })
        }
    }
}

/// Judges whether cases can be assigned to the owner. `reads` is true if the owner may read cases, `None` if unknown.
pub(super) fn owner(id: Uuid, asked: &CheckExchange, reads: Option<bool>) -> Finding {
    const CHECK: &str = "owner";
    match asked {
        Ok(user) if user["isdisabled"].as_bool() == Some(true) => Finding::failed(
            CHECK,
            format!("system user {id} is disabled"),
            "Enable the user that default_owner_id names (Power Platform admin center → environment → Settings → Users \
             + permissions → Users), or set default_owner_id to another user. Until then Dynamics refuses each case.",
        ),
        Ok(_) if reads == Some(false) => Finding::failed(
            CHECK,
            format!("system user {id} has no security role that allows Read on Case (prvReadIncident)"),
            "Assign a security role with Read on Case to the user that default_owner_id names (Power Platform admin \
             center → environment → Settings → Users + permissions → Users → Manage security roles), or set \
             default_owner_id to another user. The owner of a case must be allowed to read it.",
        ),
        Ok(_) => Finding::passed(CHECK, format!("system user {id} exists and is enabled")),
        Err(fault) if is_missing_row(fault) => Finding::failed(
            CHECK,
            format!("system user {id} does not exist"),
            "Set default_owner_id to the systemuserid of a user of this environment, not to a team or an Entra ID \
             object id.",
        ),
        Err(fault) => Finding::fault(CHECK, fault),
    }
}

/// Judges whether cases can be put into the queue. `fields` is `None` if they could not be read.
pub(super) fn queue(id: Uuid, settings: &Settings, asked: &CheckExchange, fields: Option<&CaseFields>) -> Finding {
    const CHECK: &str = "queue";
    let field = &settings.queue_field;
    let binds = fields.map(|fields| fields.binds(field));
    let how = match (settings.queue_assignment, binds) {
        (QueueAssignment::AddToQueue, _) | (QueueAssignment::Auto, Some(false)) => {
            "; cases are added to it by AddToQueue".to_owned()
        }
        (_, Some(true)) => format!("; cases are bound to it by {field}"),
        (_, _) => String::new(),
    };
    match (asked, settings.queue_assignment) {
        (Err(fault), _) if is_missing_row(fault) => Finding::failed(
            CHECK,
            format!("queue {id} does not exist"),
            "Set default_queue_id to the queueid of a queue of this environment (Customer Service admin center → \
             Queues).",
        ),
        (Err(fault), _) => Finding::fault(CHECK, fault),
        (Ok(queue), _) if is_inactive(queue) => Finding::failed(
            CHECK,
            format!("queue {id} is inactive"),
            "Activate the queue, or set default_queue_id to another queue.",
        ),
        (Ok(_), QueueAssignment::Bind) if binds == Some(false) => Finding::failed(
            CHECK,
            format!("queue {id} exists, but a case has no lookup {field:?} to bind it by"),
            "Set queue_assignment to \"auto\" or \"add_to_queue\", or correct queue_field.",
        ),
        (Ok(_), _) => Finding::passed(CHECK, format!("queue {id} exists{how}")),
    }
}

/// Judges the row that cases without a contact are linked to.
pub(super) fn fallback_customer(customer: FallbackCustomer, asked: &CheckExchange) -> Finding {
    const CHECK: &str = "fallback_customer";
    let named = customer_path(customer);
    match asked {
        Ok(row) if is_inactive(row) => Finding::failed(
            CHECK,
            format!("{named} is deactivated"),
            "Activate it in Dynamics, or set fallback_customer to another customer. Until then Dynamics refuses each \
             case without a contact.",
        ),
        Ok(_) => Finding::passed(CHECK, format!("{named} exists")),
        Err(fault) if is_missing_row(fault) => Finding::failed(
            CHECK,
            format!("{named} does not exist"),
            "Correct fallback_customer, or remove it to use a placeholder contact that the worker creates.",
        ),
        Err(fault) => Finding::unknown(CHECK, &named, fault),
    }
}

/// Judges the table of live work items and returns its schema name.
pub(super) fn chats(set: &str, asked: &CheckExchange) -> (Finding, Option<String>) {
    const CHECK: &str = "live_work_items";
    match asked {
        Ok(answer) => match answer["value"].get(0) {
            Some(table) => {
                let name = ["SchemaName", "LogicalName"].into_iter().find_map(|name| table[name].as_str());
                let name = name.unwrap_or(set).to_owned();
                (Finding::passed(CHECK, format!("the table of {set} exists")), Some(name))
            }
            None => (
                Finding::warned(
                    CHECK,
                    format!("the table of {set} does not exist; handoffs of web, sms and whatsapp will be blocked"),
                    NO_CHATS,
                ),
                None,
            ),
        },
        Err(fault) => (Finding::unknown(CHECK, &format!("the table of {set}"), fault), None),
    }
}

/// Judges the workstream of live work items.
pub(super) fn workstream(id: Uuid, asked: &CheckExchange) -> Finding {
    const CHECK: &str = "workstream";
    match asked {
        Ok(_) => Finding::passed(CHECK, format!("workstream {id} exists")),
        Err(fault) if is_missing_row(fault) => Finding::failed(
            CHECK,
            format!("workstream {id} does not exist"),
            "Set default_workstream_id to the id of a workstream of this environment (Customer Service admin center → \
             Workstreams).",
        ),
        Err(fault) if fault.status == Some(404) => Finding::warned(
            CHECK,
            format!("workstream {id} could not be checked; the environment has no workstreams of Omnichannel"),
            "Confirm default_workstream_id with the administrator of live work items in this environment.",
        ),
        Err(fault) => Finding::unknown(CHECK, &format!("workstream {id}"), fault),
    }
}

/// Compares `description_limit` with the length of the column.
pub(super) fn description_limit(limit: usize, asked: &CheckExchange) -> Finding {
    const CHECK: &str = "description_limit";
    let allowed = match asked {
        Ok(answer) => answer["MaxLength"].as_u64().and_then(|length| usize::try_from(length).ok()),
        Err(fault) => return Finding::unknown(CHECK, "the maximum length of a case's description", fault),
    };
    match allowed {
        None => Finding::warned(
            CHECK,
            "the maximum length of a case's description could not be checked",
            format!("Check that a case's description takes description_limit ({limit}) characters."),
        ),
        Some(allowed) if limit > allowed => Finding::failed(
            CHECK,
            format!("description_limit {limit} exceeds the {allowed} characters that a case's description takes"),
            format!("Set description_limit to {allowed} or less, or raise the column's maximum length."),
        ),
        Some(allowed) => Finding::passed(
            CHECK,
            format!("description_limit {limit} is within the {allowed} characters that a case's description takes"),
        ),
    }
}

/// Reports the maximum length of a live work item's subject. Longer summaries are cut.
pub(super) fn subject_length(asked: &CheckExchange) -> Finding {
    const CHECK: &str = "subject_length";
    match asked.as_ref().map(|answer| answer["MaxLength"].as_u64()) {
        Ok(Some(length)) => Finding::passed(
            CHECK,
            format!(
                "a live work item's subject takes {length} characters; longer summaries are cut with the warning \
                 subject_cut"
            ),
        ),
        Ok(None) => Finding::skipped(CHECK, "the length of a live work item's subject could not be checked"),
        Err(fault) => Finding::unchecked(CHECK, "the length of a live work item's subject", fault),
    }
}

/// Reports whether the environment takes transcripts as attachments.
pub(super) fn attachments(asked: &CheckExchange) -> Finding {
    const CHECK: &str = "attachments";
    let answer = match asked {
        Ok(answer) => answer,
        Err(fault) => return Finding::unchecked(CHECK, "the environment's blocked attachment types", fault),
    };
    let Some(organization) = answer["value"].get(0) else {
        return Finding::skipped(CHECK, "the environment's blocked attachment types could not be checked");
    };
    let mut blocked = organization["blockedattachments"].as_str().unwrap_or_default().split(';');
    let is_blocked = blocked.any(|extension| extension.trim().trim_start_matches('.').eq_ignore_ascii_case("txt"));
    let message = if is_blocked {
        "attachments of type txt are blocked; long transcripts become notes of text"
    } else {
        "attachments of type txt are allowed; long transcripts are attached to their case"
    };
    Finding::passed(CHECK, message)
}

/// Judges whether the environment has the default priority.
pub(super) fn priority(priority: u8, asked: &CheckExchange) -> Finding {
    const CHECK: &str = "priority";
    let answer = match asked {
        Ok(answer) => answer,
        Err(fault) => return Finding::unknown(CHECK, "the priorities of a case", fault),
    };
    let options = answer["OptionSet"]["Options"].as_array().into_iter().flatten();
    let allowed: Vec<i64> = options.filter_map(|option| option["Value"].as_i64()).collect();
    if allowed.contains(&i64::from(priority)) || allowed.is_empty() {
        return Finding::passed(CHECK, format!("default_priority {priority} is a valid case priority"));
    }
    let names: Vec<String> = allowed.iter().map(ToString::to_string).collect();
    Finding::failed(
        CHECK,
        format!("default_priority {priority} is not a valid case priority; expected one of {}", names.join(", ")),
        "Set default_priority to one of these, or add the choice to the column prioritycode.",
    )
}

/// Returns the finding about `ticket_properties`, changed to a failure if a row that one of them binds is missing or deactivated.
pub(super) fn bound_row(finding: Finding, key: &str, path: &str, asked: &CheckExchange) -> Finding {
    match asked {
        Ok(row) if key.starts_with("customerid") && is_inactive(row) && finding.result != CheckResult::Failed => {
            Finding::failed(
                finding.check,
                format!("{path}, which {key} binds, is deactivated"),
                format!(
                    "Activate it, or correct {key:?} under [ticket_properties]. Until then each handoff to a case \
                     becomes a dead letter."
                ),
            )
        }
        Err(fault) if is_missing_row(fault) && finding.result != CheckResult::Failed => Finding::failed(
            finding.check,
            format!("{path}, which {key} binds, does not exist"),
            format!(
                "Correct or remove {key:?} under [ticket_properties]. Until then each handoff to a case becomes a dead \
                 letter."
            ),
        ),
        _ => finding,
    }
}

/// Returns the path `contacts(<id>)` or `accounts(<id>)`.
pub(super) fn customer_path(customer: FallbackCustomer) -> String {
    match customer {
        FallbackCustomer::Contact(id) => format!("contacts({id})"),
        FallbackCustomer::Account(id) => format!("accounts({id})"),
    }
}

/// Returns skipped findings for the checks after a failure.
pub(super) fn skipped(after: &Finding, checks: &[&'static str]) -> Vec<Finding> {
    let why = match after.half {
        SetupHalf::Credentials => "not checked; no token was issued",
        SetupHalf::Environment => "not checked; Dynamics does not admit the application",
    };
    checks.iter().map(|check| Finding::skipped(check, why)).collect()
}

/// Returns true for a row that is not active.
fn is_inactive(row: &Value) -> bool {
    row["statecode"].as_i64().is_some_and(|state| state != 0)
}

/// Returns true if one row is missing rather than a whole table or environment.
fn is_missing_row(fault: &Fault) -> bool {
    fault.status == Some(404) && fault.remedy == Remedy::GiveUp
}

#[cfg(test)]
mod tests;
