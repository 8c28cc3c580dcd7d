//! Answers of Dynamics and their interpretation, one table for each step.

mod incidents;
mod looks;
mod properties;

use bytes::Bytes;
use handoffd_engine::event::samples::{email, resolution};
use handoffd_engine::workflow::samples::{QUEUE, at, contact, incident, settings, settings_with, work_item};
use handoffd_engine::workflow::{CloseWith, ContactFailure, LinkedCustomer, QueueAssignment, QueueBinding, Settings};
use serde_json::json;

use super::*;
use crate::dynamics::answer::ShownError;
use crate::dynamics::mask::Masking;

const NOW: &str = "2026-11-22T10:15:00Z";
const FIRST: Step = Step::CreateContact { generation: 0 };

fn answer(status: u16, body: &str) -> Answer {
    let body = Bytes::from(body.to_owned());
    let mut answer = Answer { status, request_id: Some(Uuid::from_u128(0x8f4c)), body, ..Answer::default() };
    answer.shown = shown(&answer.error());
    answer
}

fn shown(error: &ErrorBody) -> ShownError {
    let event = email();
    let mut masking = Masking::new(&error.message, Some(&event));
    while masking.advance() {}
    ShownError { code: Some(error.code.clone()).filter(|code| !code.is_empty()), message: masking.finish() }
}

fn refusal(status: u16, code: &str, message: &str) -> Answer {
    answer(status, &json!({ "error": { "code": code, "message": message } }).to_string())
}

fn duplicate() -> Answer {
    refusal(412, "0x80040237", "A record with matching key values already exists.")
}

fn read_with(step: &Step, settings: &Settings, answer: &Answer) -> ReplyMeaning {
    let event = if matches!(step, Step::CloseIncident { .. }) { resolution(|_| {}) } else { email() };
    read(StepContext { step, event: &event, settings }, answer, at(NOW))
}

fn reading(step: &Step, answer: &Answer) -> ReplyMeaning {
    read_with(step, &settings(), answer)
}

fn back(step: &Step, settings: &Settings, answer: &Answer) -> ReplyMeaning {
    back_after(&duplicate(), 0, step, settings, answer)
}

fn back_after(first: &Answer, earlier: usize, step: &Step, settings: &Settings, answer: &Answer) -> ReplyMeaning {
    read_back(StepContext { step, event: &email(), settings }, first, earlier, answer, at(NOW))
}

fn receipt(receipt: Receipt) -> ReplyMeaning {
    ReplyMeaning::Receipt(receipt)
}

fn remedy(reading: &ReplyMeaning) -> Option<Remedy> {
    match reading {
        ReplyMeaning::Fault(fault) => Some(fault.remedy),
        ReplyMeaning::Receipt(_) | ReplyMeaning::LookBack(_) => None,
    }
}

fn own_contact(generation: u8) -> ContactId {
    keys::contact(&"org_acme".into(), "ann.o'brien+vip@example.com", generation)
}

fn strict() -> Settings {
    settings_with(|it| it.contact_failure = ContactFailure::DeadLetter)
}

/// Every step, once.
fn steps() -> Vec<Step> {
    let incident = incident(1);
    vec![
        Step::LookUpContact,
        FIRST,
        Step::CreatePlaceholder,
        Step::PostIncident { customer: LinkedCustomer::Contact(contact(1)), queue: QueueBinding::Bound },
        Step::AssignQueue { incident },
        Step::AttachTranscript { incident, part: NoteForm::Attachment },
        Step::PostLiveWorkItem { subject_limit: None },
        Step::CloseIncident { incident, how: Closing::Patch, etag: None },
        Step::CloseIncident { incident, how: Closing::Action, etag: None },
    ]
}

#[test]
fn a_look_up_tells_the_first_contact_or_that_there_is_none() {
    let id = contact(1);
    for (body, expected) in [
        (r#"{"value":[]}"#.to_owned(), Receipt::ContactAbsent),
        (
            format!(r#"{{"value":[{{"contactid":"{id}"}},{{"contactid":"{}"}}]}}"#, contact(2)),
            Receipt::ContactFound(id),
        ),
        (
            format!(r#"{{"@odata.context":"x","value":[{{"contactid":"{}"}}]}}"#, id.to_string().to_uppercase()),
            Receipt::ContactFound(id),
        ),
    ] {
        assert_eq!(reading(&Step::LookUpContact, &answer(200, &body)), receipt(expected), "{body}");
    }
}

#[test]
fn a_created_record_has_its_derived_key() {
    let key = &email().key;
    for (step, expected) in [
        (FIRST, Receipt::ContactCreated(own_contact(0))),
        (Step::CreateContact { generation: 2 }, Receipt::ContactCreated(own_contact(2))),
        (Step::CreatePlaceholder, Receipt::PlaceholderReady(keys::placeholder(&key.organization_id))),
        (Step::AttachTranscript { incident: incident(1), part: NoteForm::Attachment }, Receipt::TranscriptAttached),
        (
            Step::PostLiveWorkItem { subject_limit: None },
            Receipt::WorkItemPosted { id: keys::work_item(key), subject_cut: false },
        ),
        (Step::AssignQueue { incident: incident(1) }, Receipt::QueueAssigned),
        (
            Step::CloseIncident { incident: incident(1), how: Closing::Patch, etag: None },
            Receipt::IncidentClosed(incident(1)),
        ),
        (
            Step::CloseIncident { incident: incident(1), how: Closing::Action, etag: None },
            Receipt::IncidentClosed(incident(1)),
        ),
    ] {
        assert_eq!(reading(&step, &answer(204, "")), receipt(expected.clone()), "{step:?}");
        assert_eq!(reading(&step, &answer(201, "{}")), receipt(expected), "{step:?}");
    }
    assert_ne!(keys::work_item(key), work_item(1));
}

#[test]
fn an_unreadable_refusal_is_retried_at_every_step() {
    for step in steps() {
        for status in [400, 404, 405, 413, 422] {
            for body in ["{", " {\"error\":{\"code\":\"0x80048d19\",\"mess", "{\"error\": <html>"] {
                let found = remedy(&reading(&step, &answer(status, body)));
                assert_eq!(found, Some(Remedy::Retry), "{step:?}: {status} {body}");
            }
        }
    }
    for body in ["<html>Bad Request</html>", "Bad Request", "[]"] {
        for status in [400, 405, 413, 422] {
            let incident = Step::PostIncident { customer: LinkedCustomer::Nobody, queue: QueueBinding::Unbound };
            assert_eq!(remedy(&reading(&incident, &answer(status, body))), Some(Remedy::Retry), "{status} {body}");
        }
    }
    for body in ["", "{}"] {
        let incident = Step::PostIncident { customer: LinkedCustomer::Nobody, queue: QueueBinding::Unbound };
        assert_eq!(remedy(&reading(&incident, &answer(400, body))), Some(Remedy::GiveUp), "whole: {body}");
    }
}

#[test]
fn an_unreadable_success_is_retried_at_every_step() {
    for step in steps() {
        for body in ["<html>Sign in</html>", "{\"value\":[{\"contac", "[]", "null", "\"ok\"", "\u{feff}"] {
            for status in [200, 201] {
                let ReplyMeaning::Fault(fault) = reading(&step, &answer(status, body)) else {
                    panic!("{step:?}: {body}")
                };
                assert_eq!(fault.remedy, Remedy::Retry, "{step:?}: {body}");
                assert_eq!((fault.step, fault.status), (step.name(), Some(status)));
                assert_eq!(fault.request_id, Some(Uuid::from_u128(0x8f4c).to_string()));
                assert!(!fault.message.contains("html"), "{}", fault.message);
            }
        }
    }
    for body in [
        "",
        "{}",
        r#"{"value":{}}"#,
        r#"{"value":[{}]}"#,
        r#"{"value":[{"contactid":"x"}]}"#,
        r#"{"value":[{"contactid":7}]}"#,
    ] {
        assert_eq!(remedy(&reading(&Step::LookUpContact, &answer(200, body))), Some(Remedy::Retry), "{body}");
    }
}

#[test]
fn a_fault_has_step_status_code_masked_message_advice_and_request_id() {
    let refused = refusal(400, "0x80044331", "The value 'Customer was charged twice for order 1182.' is too long");
    let step = Step::PostIncident { customer: LinkedCustomer::Nobody, queue: QueueBinding::NoQueue };
    let ReplyMeaning::Fault(fault) = reading(&step, &refused) else { panic!("expected a fault") };
    assert_eq!((fault.remedy, fault.step, fault.status), (Remedy::GiveUp, StepName::PostIncident, Some(400)));
    assert_eq!(fault.code.as_deref(), Some("0x80044331"));
    assert_eq!(fault.message, "The value '***' is too long");
    assert!(fault.advice.contains("description_limit"));
    assert_eq!(fault.request_id, Some(Uuid::from_u128(0x8f4c).to_string()));
}

#[test]
fn an_implausible_code_is_left_out() {
    let odd = refusal(400, &format!("a\nb{}", "x".repeat(500)), "m");
    let ReplyMeaning::Fault(fault) = reading(&Step::PostLiveWorkItem { subject_limit: None }, &odd) else {
        panic!("expected a fault")
    };
    assert_eq!(fault.code, None);
}

#[test]
fn a_duplicate_key_is_read_back() {
    let event = email();
    for duplicate in [
        duplicate(),
        refusal(412, "", ""),
        refusal(409, "0x80040237", ""),
        refusal(400, "0x80040237", ""),
        refusal(500, "0x80040237", ""),
        refusal(409, "", "A record with matching key values already exists."),
    ] {
        let contact = read_contact(&event, "ann.o'brien+vip@example.com", 0);
        assert_eq!(reading(&FIRST, &duplicate), ReplyMeaning::LookBack(contact), "{duplicate:?}");
        let post = Step::PostIncident { customer: LinkedCustomer::Nobody, queue: QueueBinding::NoQueue };
        assert_eq!(reading(&post, &duplicate), ReplyMeaning::LookBack(read_incident(&event)), "{duplicate:?}");
        for (step, asked) in [
            (Step::CreatePlaceholder, read_placeholder(&event)),
            (
                Step::AttachTranscript { incident: incident(1), part: NoteForm::Attachment },
                read_note(&event, NoteForm::Attachment),
            ),
            (Step::PostLiveWorkItem { subject_limit: None }, read_work_item(&event, &settings())),
        ] {
            assert_eq!(reading(&step, &duplicate), ReplyMeaning::LookBack(asked), "{step:?} {duplicate:?}");
            let there = answer(200, "{}");
            assert!(matches!(back(&step, &settings(), &there), ReplyMeaning::Receipt(_)), "{step:?}");
        }
    }
}

#[test]
fn a_duplicate_detection_rule_is_not_a_duplicate_key() {
    let refused = refusal(500, "0x80040333", "A record was not created because a duplicate of it already exists");
    assert_eq!(remedy(&read_with(&FIRST, &strict(), &refused)), Some(Remedy::GiveUp));
    assert_eq!(reading(&FIRST, &refused), receipt(Receipt::ContactRefused));
    assert_eq!(remedy(&reading(&Step::PostLiveWorkItem { subject_limit: None }, &refused)), Some(Remedy::GiveUp));
}

#[test]
fn reading_back_a_contact_compares_its_email_ignoring_case() {
    let id = own_contact(0);
    let row = |email: &str| format!(r#"{{"contactid":"{id}","emailaddress1":{email}}}"#);
    for (email, expected) in [
        (r#""ann.o'brien+vip@example.com""#, Receipt::ContactCreated(id)),
        (r#""ANN.O'Brien+VIP@Example.COM""#, Receipt::ContactCreated(id)),
        (r#"" ann.o'brien+vip@example.com ""#, Receipt::ContactCreated(id)),
        (r#""somebody.else@example.com""#, Receipt::ContactKeyTaken),
        // Column security hides the email.
        ("null", Receipt::ContactCreated(id)),
        ("7", Receipt::ContactKeyTaken),
    ] {
        assert_eq!(back(&FIRST, &settings(), &answer(200, &row(email))), receipt(expected), "{email}");
    }
    let deactivated = r#"{"emailaddress1":"ann.o'brien+vip@example.com","statecode":1}"#;
    assert_eq!(back(&FIRST, &settings(), &answer(200, deactivated)), receipt(Receipt::ContactKeyTaken));
}

#[test]
fn an_unreadable_read_back_is_retried() {
    for step in [FIRST, Step::PostIncident { customer: LinkedCustomer::Nobody, queue: QueueBinding::NoQueue }] {
        for answer in [refusal(503, "", ""), answer(200, "<html>"), answer(200, ""), answer(204, "")] {
            assert_eq!(remedy(&back(&step, &settings(), &answer)), Some(Remedy::Retry), "{step:?}: {answer:?}");
        }
        let forbidden = refusal(403, "0x80040220", "is missing prvReadContact privilege");
        assert_eq!(remedy(&back(&step, &settings(), &forbidden)), Some(Remedy::Hold), "{step:?}");
    }
}

#[test]
fn a_permanent_refusal_of_a_contact_is_excused_unless_contact_failure_is_dead_letter() {
    for step in [Step::LookUpContact, FIRST] {
        for refused in [
            refusal(400, "0x80044331", "A validation error occurred. The length of 'emailaddress1' exceeded '100'."),
            refusal(400, "0x80040265", "a plug-in says no"),
            refusal(400, "", ""),
            refusal(422, "", ""),
        ] {
            assert_eq!(reading(&step, &refused), receipt(Receipt::ContactRefused), "{step:?}");
            assert_eq!(remedy(&read_with(&step, &strict(), &refused)), Some(Remedy::GiveUp), "{step:?}");
        }
    }
    let refused = refusal(400, "0x80040265", "a plug-in says no");
    assert_eq!(back(&FIRST, &settings(), &refused), receipt(Receipt::ContactRefused));
    assert_eq!(remedy(&back(&FIRST, &strict(), &refused)), Some(Remedy::GiveUp));
}

#[test]
fn a_failure_not_caused_by_the_contact_is_not_excused() {
    for (answer, expected) in [
        (refusal(503, "", ""), Remedy::Retry),
        (refusal(403, "0x80040220", "is missing prvCreateContact privilege"), Remedy::Hold),
        (refusal(401, "", ""), Remedy::Hold),
        (refusal(404, "0x8006088a", "Resource not found for the segment 'contacts'."), Remedy::Hold),
        (refusal(418, "", ""), Remedy::Retry),
    ] {
        assert_eq!(remedy(&reading(&FIRST, &answer)), Some(expected), "{answer:?}");
    }
    let throttled = Answer { retry_after: Some("9".to_owned()), ..refusal(429, "", "") };
    let until = at(NOW) + std::time::Duration::from_secs(9);
    assert_eq!(remedy(&reading(&FIRST, &throttled)), Some(Remedy::NotBefore(until)));
}

#[test]
fn a_refused_placeholder_is_never_excused() {
    let refused = refusal(400, "0x80044331", "too long");
    assert_eq!(remedy(&reading(&Step::CreatePlaceholder, &refused)), Some(Remedy::GiveUp));
}
