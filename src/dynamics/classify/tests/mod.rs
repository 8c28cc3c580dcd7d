mod rows;

use bytes::Bytes;
use handoffd_engine::workflow::samples::at;
use serde_json::json;

use super::*;

const NOW: &str = "2026-11-22T10:15:00Z";

fn answer(status: u16, code: &str, message: &str) -> Answer {
    let body = Bytes::from(json!({ "error": { "code": code, "message": message } }).to_string());
    Answer { status, body, ..Answer::default() }
}

fn plain(status: u16, body: &str) -> Answer {
    Answer { status, body: Bytes::from(body.to_owned()), ..Answer::default() }
}

fn throttled(status: u16, retry_after: &str) -> Answer {
    Answer { retry_after: Some(retry_after.to_owned()), ..answer(status, "", "") }
}

fn verdict_of(step: StepName, answer: &Answer) -> Classified {
    classify(step, None, answer, &answer.error(), at(NOW))
}

fn remedy(answer: &Answer) -> Remedy {
    verdict_of(StepName::PostIncident, answer).remedy
}

/// Remedy to wait this many seconds.
fn after(seconds: u64) -> Remedy {
    Remedy::NotBefore(at(NOW) + Duration::from_secs(seconds))
}

#[test]
fn transient_statuses_are_retried() {
    for status in [408, 500, 502, 503, 504] {
        assert_eq!(remedy(&answer(status, "", "")), Remedy::Retry, "{status}");
        assert_eq!(remedy(&plain(status, "<html>Bad Gateway</html>")), Remedy::Retry, "{status} from a gateway");
    }
}

#[test]
fn an_unforeseen_answer_is_retried() {
    for status in [100, 202, 206, 299, 301, 302, 307, 402, 406, 409, 410, 412, 415, 418, 451, 501, 505, 599] {
        assert_eq!(remedy(&plain(status, "")), Remedy::Retry, "{status}");
    }
}

#[test]
fn transient_codes_are_retried_whatever_the_status() {
    for code in ["0x80044150", "0x80044151", "0x80073000", "0x80072031", "0X80072031"] {
        for status in [400, 404, 500, 503] {
            assert_eq!(remedy(&answer(status, code, "SQL timeout")), Remedy::Retry, "{status} {code}");
        }
    }
    for message in
        ["The plug-in execution failed because of a time-out.", "The operation has timed out", "timeout expired"]
    {
        assert_eq!(remedy(&answer(400, "0x80040265", message)), Remedy::Retry, "{message}");
    }
}

#[test]
fn failures_of_the_event_are_permanent_with_advice() {
    for (status, code, message) in [
        (400, "0x0", "Invalid property 'x' was found"),
        (400, "0x80048d19", "Error identified in Payload"),
        (400, "0x80044331", "A validation error occurred."),
        (400, "0x8004431a", "A validation error occurred."),
        (400, "0x80040203", "Invalid argument"),
        (400, "0x80040265", "ISV code aborted the operation."),
        (500, "0x80040333", "A record was not created or updated because a duplicate was detected"),
        (400, "", ""),
        (405, "", ""),
        (413, "", ""),
        (422, "", ""),
        (404, "0x80040217", "systemuser With Id = 3333 Does Not Exist"),
        (404, "", "queue With Id = 4444 Does Not Exist"),
        (400, "0x80044410", "You should specify a parent contact or account."),
    ] {
        let verdict = verdict_of(StepName::PostIncident, &answer(status, code, message));
        assert_eq!(verdict.remedy, Remedy::GiveUp, "{status} {code}");
        assert!(!verdict.advice.is_empty(), "{status} {code}");
    }
}

#[test]
fn the_advice_names_the_setting_to_correct() {
    for (step, status, code, expected) in [
        (StepName::PostIncident, 400, "0x0", "ticket_properties"),
        (StepName::PostIncident, 400, "0x80044331", "description_limit"),
        (StepName::PostIncident, 400, "0x8004431a", "default_priority"),
        (StepName::PostIncident, 400, "0x80044410", "fallback_customer"),
        (StepName::PostIncident, 404, "0x80040217", "default_owner_id"),
        (StepName::AssignQueue, 404, "0x80040217", "default_queue_id"),
        (StepName::PostIncident, 400, "0x80040265", "plug-in"),
        (StepName::PostLiveWorkItem, 404, "0x8006088a", "live_work_item_entity_set"),
        (StepName::PostIncident, 404, "0x8006088a", "Customer Service"),
        (StepName::PostIncident, 400, "0x8004a104", "disabled"),
        (StepName::PostIncident, 401, "", "Application"),
    ] {
        let advice = verdict_of(step, &answer(status, code, "")).advice;
        assert!(advice.contains(expected), "{status} {code}: {advice}");
    }
}

#[test]
fn failures_of_the_setup_hold_the_organizations_events() {
    for answer in [
        answer(401, "", ""),
        plain(401, ""),
        answer(403, "0x80040220", "Principal user is missing prvCreateIncident privilege"),
        answer(403, "0x80042f09", "The user has not been assigned any roles."),
        answer(403, "0x80072560", "The user is not a member of the organization."),
        answer(403, "", "missing privilege"),
        answer(400, "0x80040220", "SecLib::AccessCheckEx failed"),
        answer(500, "0x80040220", ""),
        answer(403, "0x8004a104", "The organization is disabled."),
        answer(404, "0x8006088a", "Resource not found for the segment 'oc_liveworkitems'."),
        answer(404, "", "Resource not found for the segment 'incidents'."),
        plain(404, ""),
        plain(404, "<html>404 Web Site not found.</html>"),
    ] {
        let verdict = verdict_of(StepName::PostIncident, &answer);
        assert_eq!(verdict.remedy, Remedy::Hold, "{answer:?}");
        assert!(!verdict.advice.is_empty(), "{answer:?}");
    }
}

#[test]
fn a_403_that_names_no_privilege_and_no_role_is_not_the_organizations_setup() {
    assert_eq!(remedy(&plain(403, "<html>Forbidden</html>")), Remedy::Retry);
    assert_eq!(remedy(&answer(403, "", "IP address is not in the allowed range")), Remedy::Retry);
}

#[test]
fn a_missing_privilege_is_named_as_on_the_administrators_form() {
    for (message, expected) in [
        (
            "Principal user (Id=1, type=8) is missing prvCreateIncident privilege (Id=2)",
            "Create on Case (prvCreateIncident)",
        ),
        ("is missing prvReadContact privilege on OTC=2", "Read on Contact"),
        ("is missing prvAppendToQueue privilege", "Append To on Queue (prvAppendToQueue)"),
        ("is missing prvAppendIncident privilege", "Append on Case"),
        ("is missing prvWriteQueueItem privilege", "Write on Queue Item"),
        ("is missing prvCreateNote privilege", "Create on Note"),
        ("is missing prvReadSystemUser privilege", "Read on User"),
        ("SecLib failed", "no security role"),
        ("prv", "no security role"),
        ("prvX", "no security role"),
    ] {
        let advice = verdict_of(StepName::PostIncident, &answer(403, "0x80040220", message)).advice;
        assert!(advice.contains(expected), "{message}: {advice}");
    }
}

#[test]
fn the_advice_on_a_missing_privilege_names_the_user_that_lacks_it() {
    let (owner, other) = ("33333333-3333-3333-3333-333333333333", "22222222-2222-2222-2222-222222222222");
    let lacks = |id: &str, caller: &str| {
        let said = format!(
            "Principal user (Id={id}, type=8, roleCount=0) is missing prvReadIncident privilege (Id={other}) on OTC=112. \
             context.Caller={caller}."
        );
        answer(403, "0x80040220", &said)
    };
    let upper = |id: &str| format!("{{{}}}", id.to_uppercase());
    let owners = "The owner (default_owner_id) lacks Read on Case (prvReadIncident).";
    let applications = "The application user lacks Read on Case (prvReadIncident).";
    let no_role = answer(403, "0x80042f09", &format!("The user with id {owner} has not been assigned any roles."));
    let named = owner.parse().ok();
    for (answer, settings, expected) in [
        (lacks(owner, other), named, owners),
        (lacks(&upper(owner), other), named, owners),
        (lacks(other, owner), named, applications),
        (lacks(owner, other), None, applications),
        (answer(403, "0x80040220", &format!("User {owner} failed")), named, "The owner (default_owner_id) has no"),
        (no_role.clone(), named, "The owner (default_owner_id) has no security role."),
        (no_role, None, "The application user has no security role."),
        (lacks("1", "2"), named, applications),
    ] {
        let verdict = classify(StepName::PostIncident, settings, &answer, &answer.error(), at(NOW));
        assert!(verdict.advice.starts_with(expected), "{answer:?}: {}", verdict.advice);
        let of_owner = expected.contains("owner");
        assert_eq!(verdict.advice.contains("or set default_owner_id"), of_owner, "{}", verdict.advice);
        assert_eq!(verdict.advice.contains("Application users"), !of_owner, "{}", verdict.advice);
    }
}

#[test]
fn a_429_waits_for_the_seconds_or_until_the_date_of_retry_after() {
    for (retry_after, expected) in [
        ("17", after(17)),
        (" 17 ", after(17)),
        ("0", after(1)),
        ("1.5", Remedy::NotBefore(at(NOW) + Duration::from_millis(1500))),
        ("-5", after(1)),
        ("Sun, 22 Nov 2026 10:15:42 GMT", after(42)),
        ("Sunday, 22-Nov-26 10:15:42 GMT", after(42)),
        ("Sun Nov 22 10:15:42 2026", after(42)),
        ("Sun, 22 Nov 2026 11:15:42 +0100", after(42)),
        ("Sun, 22 Nov 2026 10:14:00 GMT", after(1)),
        ("99999999999", after(86_400)),
        ("99999999999999999999999999", after(86_400)),
        ("Sun, 22 Nov 2099 10:15:00 GMT", after(86_400)),
        ("soon", after(5)),
        ("", after(5)),
        ("NaN", after(1)),
        ("inf", after(5)),
        ("1e400", after(5)),
    ] {
        assert_eq!(remedy(&throttled(429, retry_after)), expected, "{retry_after:?}");
    }
    assert_eq!(remedy(&plain(429, "")), after(5), "without Retry-After");
}

#[test]
fn a_date_of_retry_after_is_read_in_the_clock_of_dynamics() {
    let ahead = Answer {
        date: Some("Sun, 22 Nov 2026 11:15:00 GMT".to_owned()),
        ..throttled(429, "Sun, 22 Nov 2026 11:15:42 GMT")
    };
    assert_eq!(remedy(&ahead), after(42));
    let behind = Answer {
        date: Some("Sun, 22 Nov 2026 09:15:00 GMT".to_owned()),
        ..throttled(429, "Sun, 22 Nov 2026 09:15:42 GMT")
    };
    assert_eq!(remedy(&behind), after(42));
}

#[test]
fn a_503_is_throttling_only_with_a_usable_retry_after() {
    assert_eq!(remedy(&throttled(503, "30")), after(30));
    assert_eq!(remedy(&throttled(503, "soon")), Remedy::Retry);
    assert_eq!(remedy(&throttled(500, "30")), Remedy::Retry);
}

#[test]
fn service_protection_codes_throttle_whatever_the_status() {
    for code in ["0x80072322", "0x80072321", "0x80072326"] {
        assert_eq!(remedy(&answer(503, code, "")), after(5), "{code}");
        assert_eq!(remedy(&answer(400, code, "")), after(5), "{code}");
    }
}

#[test]
fn duplicate_keys_are_recognized() {
    for (status, code, message, expected) in [
        (412, "0x80040237", "A record with matching key values already exists.", true),
        (412, "", "", true),
        (409, "0x80040237", "", true),
        (400, "0x80040237", "", true),
        (500, "0x80040237", "", true),
        (400, "0X80040237", "", true),
        (409, "", "A record with matching key values already exists.", true),
        (400, "", "Cannot insert duplicate key.", true),
        (500, "", "Entity Key violated: this key already exists", true),
        (412, "0x80040333", "A record was not created because a duplicate was detected", false),
        (500, "0x80040333", "a duplicate record already exists", false),
        (409, "", "", false),
        (400, "", "The queue already exists in your head", false),
    ] {
        let answer = answer(status, code, message);
        assert_eq!(is_duplicate_key(&answer, &answer.error()), expected, "{status} {code} {message}");
    }
}

#[test]
fn error_bodies_of_any_shape_are_read() {
    for (body, code, message) in [
        (r#"{"error":{"code":" 0x80040217 ","message":" gone "}}"#, "0x80040217", "gone"),
        (r#"{"error":{"code":"","message":"m"}}"#, "", "m"),
        (r#"{"error":{"message":"m"}}"#, "", "m"),
        (r#"{"error":{"code":42,"message":["m"]}}"#, "", ""),
        (r#"{"error":null}"#, "", ""),
        (r#"{"error":"text"}"#, "", ""),
        (r#"{"error":{"code":"0x8"#, "", ""),
        ("<html>", "", ""),
        ("", "", ""),
        ("\u{feff}", "", ""),
    ] {
        let expected = ErrorBody { code: code.to_owned(), message: message.to_owned() };
        assert_eq!(plain(500, body).error(), expected, "{body}");
    }
}
