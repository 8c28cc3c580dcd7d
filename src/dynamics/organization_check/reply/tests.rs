use handoffd_engine::workflow::samples::settings;
use serde_json::json;

use super::*;
use crate::dynamics::organization_check::CheckResult;

fn fault(status: u16, code: &str, remedy: Remedy) -> Fault {
    Fault {
        remedy,
        step: StepName::Probe,
        status: Some(status),
        code: Some(code.to_owned()),
        message: "said so".to_owned(),
        advice: String::new(),
        request_id: None,
    }
}

fn missing_row() -> CheckExchange {
    Err(fault(404, "0x80040217", Remedy::GiveUp))
}

fn missing_table() -> CheckExchange {
    Err(fault(404, "0x8006088a", Remedy::Hold))
}

#[test]
fn a_token_that_is_refused_for_the_environment_is_the_other_half() {
    let refused = |message: &str| Err(Fault { message: message.to_owned(), ..fault(400, "x", Remedy::Hold) });
    assert_eq!(token(&refused("AADSTS7000215: Invalid client secret provided.")).0.half, SetupHalf::Credentials);
    assert_eq!(token(&refused("AADSTS500011: The resource principal …")).0.half, SetupHalf::Environment);
    assert_eq!(token(&Ok(())), (Finding::passed("token", "Entra ID issued a token").of_credentials(), Rest::GoesOn));
}

#[test]
fn a_missing_privilege_does_not_end_the_test_and_a_missing_user_does() {
    let settings = settings();
    assert_eq!(probe(&settings, &Err(fault(403, "0x80040220", Remedy::Hold))).1, Rest::GoesOn);
    assert_eq!(probe(&settings, &Err(fault(401, "", Remedy::Hold))).1, Rest::IsSkipped);
    assert_eq!(probe(&settings, &missing_table()).1, Rest::IsSkipped);
}

#[test]
fn an_owner_must_exist_be_enabled_and_read_cases() {
    let id = Uuid::nil();
    let result = |asked: &CheckExchange, reads| owner(id, asked, reads).result;
    assert_eq!(result(&Ok(json!({ "isdisabled": false })), Some(true)), CheckResult::Passed);
    assert_eq!(result(&Ok(json!({ "isdisabled": false })), None), CheckResult::Passed);
    assert_eq!(result(&Ok(json!({ "isdisabled": false })), Some(false)), CheckResult::Failed);
    assert_eq!(result(&Ok(json!({ "isdisabled": true })), Some(true)), CheckResult::Failed);
    assert!(owner(id, &missing_row(), None).advice.contains("default_owner_id"));
}

#[test]
fn a_queue_must_exist_be_active_and_accept_cases() {
    let (id, there) = (Uuid::nil(), Ok(json!({ "statecode": 0 })));
    let none = CaseFields::default();
    let some =
        CaseFields::read(&json!({}), &json!({"value": [{ "ReferencingEntityNavigationPropertyName": "queueid" }]}));
    for (assignment, fields, expected, says) in [
        (QueueAssignment::Auto, &some, CheckResult::Passed, "bound to it by queueid"),
        (QueueAssignment::Auto, &none, CheckResult::Passed, "by AddToQueue"),
        (QueueAssignment::Bind, &none, CheckResult::Failed, "no lookup \"queueid\""),
        (QueueAssignment::AddToQueue, &some, CheckResult::Passed, "by AddToQueue"),
    ] {
        let settings = Settings { queue_assignment: assignment, ..settings() };
        let finding = queue(id, &settings, &there, Some(fields));
        assert_eq!(finding.result, expected, "{finding:?}");
        assert!(finding.message.contains(says), "{finding:?}");
    }
    let settings = settings();
    assert_eq!(queue(id, &settings, &Ok(json!({ "statecode": 1 })), None).result, CheckResult::Failed);
    assert!(queue(id, &settings, &missing_row(), None).advice.contains("default_queue_id"));
}

#[test]
fn a_missing_table_of_live_work_items_is_a_warning() {
    let (finding, table) = chats("oc_liveworkitems", &Ok(json!({ "value": [] })));
    assert_eq!((finding.result, table), (CheckResult::Warned, None));
    assert!(finding.advice.contains("Omnichannel"));
    let (_, table) = chats("x", &Ok(json!({ "value": [{ "SchemaName": "oc_LiveWorkItem" }] })));
    assert_eq!(table.as_deref(), Some("oc_LiveWorkItem"));
}

#[test]
fn a_workstream_can_be_wrong_or_unverifiable() {
    assert_eq!(workstream(Uuid::nil(), &Ok(json!({}))).result, CheckResult::Passed);
    assert_eq!(workstream(Uuid::nil(), &missing_row()).result, CheckResult::Failed);
    assert_eq!(workstream(Uuid::nil(), &missing_table()).result, CheckResult::Warned);
}

#[test]
fn limits_are_compared_with_the_columns() {
    let length = |length| Ok(json!({ "MaxLength": length }));
    assert_eq!(description_limit(2000, &length(2000)).result, CheckResult::Passed);
    assert!(description_limit(4000, &length(2000)).advice.contains("2000 or less"));
    assert_eq!(description_limit(4000, &Ok(json!({}))).result, CheckResult::Warned);
    let options = Ok(json!({ "OptionSet": { "Options": [{ "Value": 1 }, { "Value": 2 }, { "Value": 3 }] } }));
    assert_eq!(priority(2, &options).result, CheckResult::Passed);
    assert!(priority(4, &options).message.contains("expected one of 1, 2, 3"));
}

#[test]
fn a_fallback_customer_must_exist_and_be_active() {
    let customer = FallbackCustomer::Account(Uuid::nil());
    let result = |asked: &CheckExchange| fallback_customer(customer, asked).result;
    assert_eq!(result(&Ok(json!({ "statecode": 0 }))), CheckResult::Passed);
    assert_eq!(result(&Ok(json!({ "statecode": 1 }))), CheckResult::Failed);
    assert_eq!(result(&missing_row()), CheckResult::Failed);
    assert_eq!(result(&Err(fault(403, "0x80040220", Remedy::Hold))), CheckResult::Warned);
}

#[test]
fn limits_that_the_worker_adapts_to_are_a_note() {
    let refused = || Err(fault(403, "0x80040220", Remedy::Hold));
    for (finding, result, says) in [
        (subject_length(&Ok(json!({ "MaxLength": 200 }))), CheckResult::Passed, "takes 200 characters"),
        (subject_length(&Ok(json!({}))), CheckResult::Skipped, "could not be checked"),
        (subject_length(&refused()), CheckResult::Skipped, "could not be checked: said so (403 0x80040220)"),
        (attachments(&Ok(blocked(Some("exe;TXT;js")))), CheckResult::Passed, "txt are blocked"),
        (attachments(&Ok(blocked(Some("exe; .txt")))), CheckResult::Passed, "txt are blocked"),
        (attachments(&Ok(blocked(Some("exe;txtx")))), CheckResult::Passed, "txt are allowed"),
        (attachments(&Ok(blocked(None))), CheckResult::Passed, "txt are allowed"),
        (attachments(&Ok(json!({ "value": [] }))), CheckResult::Skipped, "could not be checked"),
        (attachments(&refused()), CheckResult::Skipped, "could not be checked: said so (403 0x80040220)"),
    ] {
        assert_eq!((finding.result, finding.advice.as_str()), (result, ""), "{finding:?}");
        assert!(finding.message.contains(says), "{finding:?}");
    }
}

fn blocked(types: Option<&str>) -> Value {
    json!({ "value": [{ "blockedattachments": types }] })
}

#[test]
fn a_bound_row_must_exist() {
    let fine = Finding::passed("ticket_properties", "");
    let row = |finding: &Finding, asked: &CheckExchange| {
        bound_row(finding.clone(), "subjectid@odata.bind", "subjects(1)", asked)
    };
    assert_eq!(row(&fine, &Ok(json!({}))), fine);
    assert!(
        row(&fine, &missing_row()).message.contains("subjects(1), which subjectid@odata.bind binds, does not exist")
    );
    let inactive = Ok(json!({ "statecode": 1 }));
    assert_eq!(row(&fine, &inactive), fine, "only a customer must be active");
    let customer = bound_row(fine.clone(), "customerid_account@odata.bind", "accounts(1)", &inactive);
    assert!(customer.message.contains("is deactivated"), "{customer:?}");
    let failed = Finding::failed("ticket_properties", "first", "");
    assert_eq!(row(&failed, &missing_row()), failed, "the first failure is reported");
}
