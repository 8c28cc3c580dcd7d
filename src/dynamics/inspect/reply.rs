//! What the answers to a test's requests say.

use handoffd_engine::workflow::{FallbackCustomer, Fault, QueueAssignment, Remedy, Settings, StepName};
use serde_json::Value;
use uuid::Uuid;

use super::fields::Fields;
use super::finding::{Finding, Found, Half};
use crate::dynamics::classify::NO_CHATS;

/// A missing privilege; other requests may still go well.
const LACKS_PRIVILEGE: &str = "0x80040220";
/// What Entra ID says when it is the environment that it does not know.
const NO_ENVIRONMENT: [&str; 2] = ["AADSTS500011:", "AADSTS650057:"];

/// What a request of the test came back with.
pub(super) type Asked = Result<Value, Fault>;

/// Whether the rest of a test makes sense.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rest {
    /// Dynamics answers.
    GoesOn,
    /// It would all fail in the same way.
    IsSkipped,
}

/// Whether Entra ID gives a token.
pub(super) fn token(got: &Result<(), Fault>) -> (Finding, Rest) {
    match got {
        Ok(()) => (Finding::passed("token", "Entra ID gives a token").of_credentials(), Rest::GoesOn),
        Err(fault) => {
            let finding = Finding::fault("token", fault);
            let unknown_environment = NO_ENVIRONMENT.iter().any(|code| fault.message.contains(code));
            (if unknown_environment { finding } else { finding.of_credentials() }, Rest::IsSkipped)
        }
    }
}

/// Whether Dynamics answers the application at all.
pub(super) fn probe(settings: &Settings, asked: &Asked) -> (Finding, Rest) {
    match asked {
        Ok(_) => (Finding::passed("probe", format!("{} lets it read cases", settings.environment_url)), Rest::GoesOn),
        // A token that Dynamics does not take was given all the same; a second one was refused by Entra ID.
        Err(fault) if fault.step == StepName::Token => {
            (Finding::fault("probe", fault).of_credentials(), Rest::IsSkipped)
        }
        Err(fault) => {
            let lacks_one = fault.code.as_deref() == Some(LACKS_PRIVILEGE);
            (Finding::fault("probe", fault), if lacks_one { Rest::GoesOn } else { Rest::IsSkipped })
        }
    }
}

/// Whether cases can be given to the owner. `reads`: whether it may read cases, where that could be told.
pub(super) fn owner(id: Uuid, asked: &Asked, reads: Option<bool>) -> Finding {
    const CHECK: &str = "owner";
    match asked {
        Ok(user) if user["isdisabled"].as_bool() == Some(true) => Finding::failed(
            CHECK,
            format!("system user {id} is disabled"),
            "Enable the user that default_owner_id names (Power Platform admin center → environment → Settings → Users + \
             permissions → Users), or set default_owner_id to another: each event would be refused.",
        ),
        Ok(_) if reads == Some(false) => Finding::failed(
            CHECK,
            format!("system user {id} has no security role that allows Read on Case (prvReadIncident)"),
            "A case can only be owned by a user who may read it: assign a security role with Read on Case to the user that \
             default_owner_id names (Power Platform admin center → environment → Settings → Users + permissions → Users → \
             Manage security roles), or set default_owner_id to another user.",
        ),
        Ok(_) => Finding::passed(CHECK, format!("system user {id} is there and enabled")),
        Err(fault) if is_missing_row(fault) => Finding::failed(
            CHECK,
            format!("there is no system user {id}"),
            "Correct default_owner_id: the systemuserid of a user of this environment (a team or an Entra ID object id is \
             none).",
        ),
        Err(fault) => Finding::fault(CHECK, fault),
    }
}

/// Whether cases can be put into the queue. `fields` are none where they could not be read.
pub(super) fn queue(id: Uuid, settings: &Settings, asked: &Asked, fields: Option<&Fields>) -> Finding {
    const CHECK: &str = "queue";
    let field = &settings.queue_field;
    let binds = fields.map(|fields| fields.binds(field));
    let how = match (settings.queue_assignment, binds) {
        (QueueAssignment::AddToQueue, _) | (QueueAssignment::Auto, Some(false)) => {
            "; cases get into it by AddToQueue".to_owned()
        }
        (_, Some(true)) => format!("; cases are bound to it by {field}"),
        (_, _) => String::new(),
    };
    match (asked, settings.queue_assignment) {
        (Err(fault), _) if is_missing_row(fault) => Finding::failed(
            CHECK,
            format!("there is no queue {id}"),
            "Correct default_queue_id: the queueid of a queue of this environment (Customer Service admin center → Queues).",
        ),
        (Err(fault), _) => Finding::fault(CHECK, fault),
        (Ok(queue), _) if is_inactive(queue) => Finding::failed(
            CHECK,
            format!("queue {id} is inactive"),
            "Activate the queue, or set default_queue_id to another.",
        ),
        (Ok(_), QueueAssignment::Bind) if binds == Some(false) => Finding::failed(
            CHECK,
            format!("queue {id} is there, but a case has no lookup {field:?} to bind it by"),
            "Set queue_assignment to \"auto\" or \"add_to_queue\", or correct queue_field.",
        ),
        (Ok(_), _) => Finding::passed(CHECK, format!("queue {id} is there{how}")),
    }
}

/// Whether the row that cases without a contact are linked to is there.
pub(super) fn fallback_customer(customer: FallbackCustomer, asked: &Asked) -> Finding {
    const CHECK: &str = "fallback_customer";
    let named = customer_path(customer);
    match asked {
        Ok(row) if is_inactive(row) => Finding::failed(
            CHECK,
            format!("{named} is deactivated"),
            "Activate it in Dynamics, or set fallback_customer to another: each case without a contact would be refused.",
        ),
        Ok(_) => Finding::passed(CHECK, format!("{named} is there")),
        Err(fault) if is_missing_row(fault) => Finding::failed(
            CHECK,
            format!("there is no {named}"),
            "Correct fallback_customer, or leave it out: then the worker makes a placeholder contact.",
        ),
        Err(fault) => Finding::unknown(CHECK, &named, fault),
    }
}

/// Whether the environment has the table of live work items; its schema name.
pub(super) fn chats(set: &str, asked: &Asked) -> (Finding, Option<String>) {
    const CHECK: &str = "live_work_items";
    match asked {
        Ok(answer) => match answer["value"].get(0) {
            Some(table) => {
                let name = ["SchemaName", "LogicalName"].into_iter().find_map(|name| table[name].as_str());
                let name = name.unwrap_or(set).to_owned();
                (Finding::passed(CHECK, format!("the table of {set} is there")), Some(name))
            }
            None => (
                Finding::warned(
                    CHECK,
                    format!("there is no table {set}: handoffs of web, sms and whatsapp would block the organization"),
                    NO_CHATS,
                ),
                None,
            ),
        },
        Err(fault) => (Finding::unknown(CHECK, &format!("the table of {set}"), fault), None),
    }
}

/// Whether the workstream of live work items is there.
pub(super) fn workstream(id: Uuid, asked: &Asked) -> Finding {
    const CHECK: &str = "workstream";
    match asked {
        Ok(_) => Finding::passed(CHECK, format!("workstream {id} is there")),
        Err(fault) if is_missing_row(fault) => Finding::failed(
            CHECK,
            format!("there is no workstream {id}"),
            "Correct default_workstream_id: the id of a workstream of this environment (Customer Service admin center → \
             Workstreams).",
        ),
        Err(fault) if fault.status == Some(404) => Finding::warned(
            CHECK,
            format!("the environment has no workstreams of Omnichannel: whether {id} is right can't be told"),
            "Look up default_workstream_id with whoever set up live work items in this environment.",
        ),
        Err(fault) => Finding::unknown(CHECK, &format!("workstream {id}"), fault),
    }
}

/// Whether the description fits.
pub(super) fn description_limit(limit: usize, asked: &Asked) -> Finding {
    const CHECK: &str = "description_limit";
    let allowed = match asked {
        Ok(answer) => answer["MaxLength"].as_u64().and_then(|length| usize::try_from(length).ok()),
        Err(fault) => return Finding::unknown(CHECK, "how long a description may be", fault),
    };
    match allowed {
        None => Finding::warned(
            CHECK,
            "the environment does not tell how long a description may be",
            format!("Make sure that a case's description takes description_limit ({limit}) characters."),
        ),
        Some(allowed) if limit > allowed => Finding::failed(
            CHECK,
            format!("description_limit is {limit}, a case's description takes {allowed}"),
            format!("Set description_limit to {allowed} or less, or have the column's maximum length raised."),
        ),
        Some(allowed) => Finding::passed(CHECK, format!("{limit} of the {allowed} that a case's description takes")),
    }
}

/// Reports how long the subject of a live work item may be; a longer summary is cut.
pub(super) fn subject_length(asked: &Asked) -> Finding {
    const CHECK: &str = "subject_length";
    match asked.as_ref().map(|answer| answer["MaxLength"].as_u64()) {
        Ok(Some(length)) => Finding::passed(
            CHECK,
            format!(
                "subject of a live work item takes {length} characters; longer summaries are cut, with the warning subject_cut"
            ),
        ),
        Ok(None) => Finding::skipped(CHECK, "the length of a live work item's subject could not be checked"),
        Err(fault) => Finding::unchecked(CHECK, "the length of a live work item's subject", fault),
    }
}

/// Reports whether the environment takes transcripts as attachments.
pub(super) fn attachments(asked: &Asked) -> Finding {
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
        "attachments of type txt are blocked: long transcripts become notes of text"
    } else {
        "attachments of type txt are allowed: long transcripts are attached to their case"
    };
    Finding::passed(CHECK, message)
}

/// Whether the priority is one of the environment's.
pub(super) fn priority(priority: u8, asked: &Asked) -> Finding {
    const CHECK: &str = "priority";
    let answer = match asked {
        Ok(answer) => answer,
        Err(fault) => return Finding::unknown(CHECK, "the priorities of a case", fault),
    };
    let options = answer["OptionSet"]["Options"].as_array().into_iter().flatten();
    let allowed: Vec<i64> = options.filter_map(|option| option["Value"].as_i64()).collect();
    if allowed.contains(&i64::from(priority)) || allowed.is_empty() {
        return Finding::passed(CHECK, format!("default_priority {priority} is one of a case's"));
    }
    let names: Vec<String> = allowed.iter().map(ToString::to_string).collect();
    Finding::failed(
        CHECK,
        format!("default_priority is {priority}, a case takes {}", names.join(", ")),
        "Set default_priority to one of these, or add the choice to the column prioritycode.",
    )
}

/// The finding about properties, where a row that one of them binds is not there, or takes no case.
pub(super) fn bound_row(finding: Finding, key: &str, path: &str, asked: &Asked) -> Finding {
    match asked {
        Ok(row) if key.starts_with("customerid") && is_inactive(row) && finding.result != Found::Failed => {
            Finding::failed(
                finding.check,
                format!("{path}, which {key} binds, is deactivated"),
                format!(
                    "Activate it, or correct {key:?} under [ticket_properties]: each event would be a dead letter."
                ),
            )
        }
        Err(fault) if is_missing_row(fault) && finding.result != Found::Failed => Finding::failed(
            finding.check,
            format!("there is no {path}, which {key} binds"),
            format!("Correct or remove {key:?} under [ticket_properties]: each event would be a dead letter."),
        ),
        _ => finding,
    }
}

/// `contacts(<id>)` or `accounts(<id>)`
pub(super) fn customer_path(customer: FallbackCustomer) -> String {
    match customer {
        FallbackCustomer::Contact(id) => format!("contacts({id})"),
        FallbackCustomer::Account(id) => format!("accounts({id})"),
    }
}

/// What is not made after a failure of that half.
pub(super) fn skipped(after: &Finding, checks: &[&'static str]) -> Vec<Finding> {
    let why = match after.half {
        Half::Credentials => "not looked at: there is no token to ask with",
        Half::Environment => "not looked at: Dynamics does not let the application in",
    };
    checks.iter().map(|check| Finding::skipped(check, why)).collect()
}

/// True for a row that is not active.
fn is_inactive(row: &Value) -> bool {
    row["statecode"].as_i64().is_some_and(|state| state != 0)
}

/// Whether it is one row that is not there, and not a whole table or environment.
fn is_missing_row(fault: &Fault) -> bool {
    fault.status == Some(404) && fault.remedy == Remedy::GiveUp
}

#[cfg(test)]
mod tests;
