//! Cases for every row of the classification table, in the table's order.

use std::collections::BTreeSet;

use super::*;
use StepName::{
    AssignQueue, CloseIncident, CreateContact, LookUpContact, PostIncident, PostLiveWorkItem, Probe, Token,
};

/// Answer to a step: status, code, message.
type Case = (StepName, u16, &'static str, &'static str);

/// Stands for any `NotBefore`.
const WAIT: Remedy = Remedy::NotBefore(jiff::Timestamp::UNIX_EPOCH);

#[rustfmt::skip]
const CASES: &[(Case, Remedy, &str)] = &[
    // Throttling.
    ((PostIncident, 429, "0x80072322", "Number of requests exceeded the limit of 6000"), WAIT, ""),
    ((Token, 429, "", ""), WAIT, ""),
    ((PostIncident, 503, "0x80072326", "Number of concurrent requests exceeded the limit of 52"), WAIT, ""),
    ((LookUpContact, 503, "retry-after", ""), WAIT, ""),
    // Outages of Entra ID.
    ((Token, 503, "", "<html>"), Remedy::Retry, ""),
    ((Token, 408, "invalid_client", "AADSTS7000215: too late"), Remedy::Retry, ""),
    ((Token, 400, "temporarily_unavailable", "AADSTS90099: later"), Remedy::Retry, ""),
    ((Token, 400, "invalid_request", "AADSTS90033: A transient error has occurred. Please try again."), Remedy::Retry, ""),
    // Refused tokens: the advice differs.
    ((Token, 401, "invalid_client", "AADSTS7000215: Invalid client secret provided."), Remedy::Hold, "not its Secret ID"),
    ((Token, 400, "invalid_client", "AADSTS7000215: Invalid client secret provided."), Remedy::Hold, "not its Secret ID"),
    ((Token, 401, "invalid_client", "AADSTS7000222: The provided client secret keys are expired."), Remedy::Hold, "has expired"),
    ((Token, 401, "invalid_client", "AADSTS700027: Client assertion contains an invalid signature. [Reason - The key was not found.]"), Remedy::Hold, "Upload the certificate"),
    ((Token, 401, "invalid_client", "AADSTS700024: Client assertion is not within its valid time range."), Remedy::Hold, "Synchronize the clock"),
    ((Token, 401, "invalid_client", "AADSTS700021: Client assertion application identifier doesn't match 'client_id' parameter."), Remedy::Hold, "dynamics.authority"),
    ((Token, 401, "invalid_client", "AADSTS700213: No matching federated identity record found for presented assertion subject 'x'."), Remedy::Hold, "federated credential"),
    ((Token, 400, "invalid_request", "AADSTS90002: Tenant 'x' not found."), Remedy::Hold, "Correct tenant_id"),
    ((Token, 400, "unauthorized_client", "AADSTS700016: Application was not found in the directory"), Remedy::Hold, "Correct client_id"),
    ((Token, 400, "unauthorized_client", "AADSTS7000112: Application is disabled."), Remedy::Hold, "Enable it in Entra ID"),
    ((Token, 400, "invalid_resource", "AADSTS500011: The resource principal was not found"), Remedy::Hold, "environment_url"),
    ((Token, 400, "invalid_grant", "AADSTS53003: Access has been blocked by Conditional Access policies."), Remedy::Hold, "conditional access"),
    ((Token, 400, "invalid_scope", "AADSTS1002012: The provided value for scope is not valid."), Remedy::Hold, "tenant_id, client_id and client_secret"),
    ((Token, 404, "", "<html>"), Remedy::Hold, "dynamics.authority"),
    ((Token, 401, "", ""), Remedy::Hold, "dynamics.authority"),
    ((Token, 302, "", ""), Remedy::Retry, "dynamics.authority"),
    // The application user.
    ((Probe, 403, "0x80042f09", "The user has not been assigned any roles."), Remedy::Hold, "has no security role"),
    ((PostIncident, 403, "0x80072560", "The user is not a member of the organization."), Remedy::Hold, "not a member"),
    ((PostIncident, 403, "0x80040225", "The specified user(Id = 1) is disabled."), Remedy::Hold, "Activate"),
    ((PostIncident, 403, "0x80040220", "is missing prvCreateIncident privilege"), Remedy::Hold, "lacks Create on Case"),
    ((LookUpContact, 400, "0x80040220", "SecLib::AccessCheckEx failed."), Remedy::Hold, "Manage roles"),
    ((PostIncident, 403, "", "The user lacks a privilege."), Remedy::Hold, "Manage roles"),
    ((PostIncident, 401, "", ""), Remedy::Hold, "New app user"),
    ((Probe, 401, "0x80048306", "who?"), Remedy::Hold, "New app user"),
    // The environment.
    ((PostIncident, 403, "0x8004a104", "The organization is disabled."), Remedy::Hold, "is disabled"),
    ((PostLiveWorkItem, 404, "0x8006088a", "Resource not found for the segment 'oc_liveworkitems'."), Remedy::Hold, "live_work_item_entity_set"),
    ((PostLiveWorkItem, 404, "", "Resource not found for the segment 'oc_liveworkitems'."), Remedy::Hold, "live_work_item_entity_set"),
    ((PostIncident, 404, "0x80060888", "Resource not found"), Remedy::Hold, "Customer Service"),
    ((PostIncident, 404, "", "Resource not found for the segment 'incidents'."), Remedy::Hold, "Customer Service"),
    ((LookUpContact, 404, "", ""), Remedy::Hold, "environment_url"),
    // Transient failures.
    ((PostIncident, 500, "0x80044150", "Generic SQL error."), Remedy::Retry, ""),
    ((PostIncident, 400, "0x80072031", "try again"), Remedy::Retry, ""),
    ((PostIncident, 400, "0x80040265", "The plug-in execution failed because of a time-out."), Remedy::Retry, "plug-in"),
    // Failures of the event.
    ((PostIncident, 500, "0x80040333", "a duplicate was detected"), Remedy::GiveUp, "duplicate detection rule"),
    ((PostIncident, 400, "0x0", "Invalid property 'x'"), Remedy::GiveUp, "ticket_properties"),
    ((PostIncident, 400, "0x80044331", "too long"), Remedy::GiveUp, "description_limit"),
    ((PostIncident, 400, "0x8004431a", "out of range"), Remedy::GiveUp, "default_priority"),
    ((PostIncident, 400, "0x80040265", "ISV code aborted the operation."), Remedy::GiveUp, "trace log"),
    ((PostIncident, 403, "0x80040265", "Your role may not do this."), Remedy::GiveUp, "trace log"),
    ((PostIncident, 500, "0x80040265", "Something broke."), Remedy::Retry, ""),
    ((CreateContact, 500, "0x80040265", "Something broke."), Remedy::GiveUp, "trace log"),
    ((LookUpContact, 403, "0x80040265", "Not for your role."), Remedy::GiveUp, "trace log"),
    ((CreateContact, 500, "0x80040265", "It timed out."), Remedy::Retry, "plug-in"),
    ((CloseIncident, 412, "0x80040265", "Fill in the resolution."), Remedy::GiveUp, "trace log"),
    ((CloseIncident, 412, "0x8004440a", "open activities"), Remedy::GiveUp, "finish or cancel"),
    ((PostIncident, 400, "0x80044410", "You should specify a parent contact or account."), Remedy::GiveUp, "fallback_customer"),
    ((AssignQueue, 404, "0x80040217", "queue With Id = 4 Does Not Exist"), Remedy::GiveUp, "default_queue_id"),
    ((PostIncident, 404, "0x80040217", "systemuser With Id = 3 Does Not Exist"), Remedy::GiveUp, "default_owner_id"),
    ((PostIncident, 413, "", ""), Remedy::GiveUp, "too large"),
    ((PostIncident, 400, "0x80040203", "Invalid argument"), Remedy::GiveUp, "as the message describes"),
    ((PostIncident, 405, "", ""), Remedy::GiveUp, "as the message describes"),
    ((PostIncident, 422, "", ""), Remedy::GiveUp, "as the message describes"),
    ((PostIncident, 403, "0x80048306", "Principal user (roleCount=2, privilegeCount=590) does not have right(s) for record"), Remedy::GiveUp, "access level"),
    ((PostIncident, 403, "", "does not have ReadAccess right(s) for record with id 1; roleCount=2"), Remedy::GiveUp, "access level"),
    ((LookUpContact, 403, "0x8004f506", "secured"), Remedy::GiveUp, "column security profile"),
    ((CreateContact, 403, "0x8004f502", "secured"), Remedy::GiveUp, "column security profile"),
    ((PostIncident, 403, "0x80095ffe", "access from your IP is blocked"), Remedy::Hold, "IP firewall"),
    ((LookUpContact, 500, "0x80040224", "An unexpected error occurred from ISV code."), Remedy::GiveUp, "trace log"),
    ((CreateContact, 500, "0x8004418d", "crashed"), Remedy::GiveUp, "trace log"),
    ((PostIncident, 500, "0x80040224", "An unexpected error occurred from ISV code."), Remedy::Retry, "trace log"),
    ((CreateContact, 412, "0x80060892", "Entity Key violated"), Remedy::GiveUp, "alternate key"),
    ((PostIncident, 400, "0x80040517", "An inactive customer cannot be set as the parent"), Remedy::GiveUp, "deactivated"),
    ((CloseIncident, 400, "0x8004440a", "open activities"), Remedy::GiveUp, "finish or cancel"),
    // Everything else.
    ((PostIncident, 403, "", "IP address is not in the allowed range"), Remedy::Retry, "firewall"),
    ((PostIncident, 418, "", "I am a teapot"), Remedy::Retry, ""),
    ((PostIncident, 500, "", "<html>"), Remedy::Retry, ""),
];

fn seen((_, status, code, text): Case) -> Answer {
    let retry_after = (code == "retry-after").then(|| "7".to_owned());
    let code = if retry_after.is_some() { "" } else { code };
    Answer { retry_after, ..answer(status, code, text) }
}

#[test]
fn every_row_has_a_case_and_every_case_its_remedy_and_advice() {
    let mut decided = BTreeSet::new();
    for (case, remedy, advice) in CASES {
        let answer = seen(*case);
        let error = answer.error();
        let verdict = classify(case.0, None, &answer, &error, at(NOW));
        match verdict.remedy {
            Remedy::NotBefore(_) => assert_eq!(*remedy, WAIT, "{case:?}"),
            other => assert_eq!(other, *remedy, "{case:?}"),
        }
        assert!(verdict.advice.contains(advice), "{case:?}: {}", verdict.advice);
        assert_eq!(verdict.advice.is_empty(), advice.is_empty(), "{case:?}: {}", verdict.advice);
        let text = error.message.to_lowercase();
        let wait = answer.retry_after.as_deref().and_then(|text| wait(text, at(NOW)));
        let seen = SeenAnswer { step: case.0, status: answer.status, code: &error.code, text: &text, wait };
        decided.extend(ROWS.iter().position(|row| row.fits(&seen)));
    }
    let missing: Vec<usize> = (0..ROWS.len()).filter(|row| !decided.contains(row)).collect();
    assert!(missing.is_empty(), "no case is decided by rows {missing:?}");
}

#[test]
fn each_fault_of_the_setup_has_its_own_advice() {
    let held = CASES.iter().filter(|(_, remedy, _)| *remedy == Remedy::Hold);
    let advice: BTreeSet<String> =
        held.map(|(case, ..)| classify(case.0, None, &seen(*case), &seen(*case).error(), at(NOW)).advice).collect();
    assert!(advice.len() >= 17, "{advice:#?}");
    for advice in advice {
        assert!(advice.contains(". ") && advice.ends_with('.'), "the fault, then the action: {advice}");
    }
}
