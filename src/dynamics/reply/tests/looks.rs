//! Changes by people and other integrations in the meantime, as reads and refusals reveal them.

use serde_json::{Value, json};

use super::*;
use crate::dynamics::request::read_survivor;

/// Contract 4: another rule refused the record. A contact's refusal is excused, any other is permanent.
#[test]
fn a_duplicate_without_a_record_is_a_permanent_refusal() {
    let nothing = refusal(404, "0x80040217", "contact With Id = 1 Does Not Exist");
    assert_eq!(back(&FIRST, &settings(), &nothing), receipt(Receipt::ContactRefused));
    let post = Step::PostIncident { customer: LinkedCustomer::Nobody, queue: QueueBinding::NoQueue };
    let note = Step::AttachTranscript { incident: incident(1), part: NoteForm::Attachment };
    for step in [post, note, Step::PostLiveWorkItem { subject_limit: None }, Step::CreatePlaceholder] {
        assert_eq!(remedy(&back(&step, &settings(), &nothing)), Some(Remedy::GiveUp), "{step:?}");
        let ReplyMeaning::Fault(fault) = back(&step, &settings(), &nothing) else { panic!("expected a fault") };
        assert_eq!((fault.status, fault.code), (duplicate().status.into(), duplicate().shown.code), "{step:?}");
        assert!(
            fault.message == duplicate().shown.message && !fault.message.is_empty(),
            "what refused it, not the read"
        );
    }
}

#[test]
fn only_an_active_contact_is_linked_and_a_merged_one_leads_to_its_survivor() {
    let row = |n: u8, state: u8, master: Option<ContactId>| json!({ "contactid": contact(n), "statecode": state, "_masterid_value": master });
    let found = |rows: &[Value]| reading(&Step::LookUpContact, &answer(200, &json!({ "value": rows }).to_string()));
    assert_eq!(found(&[row(1, 1, None), row(2, 0, None)]), receipt(Receipt::ContactFound(contact(2))));
    assert_eq!(found(&[row(1, 1, None)]), receipt(Receipt::ContactAbsent));
    let merged = [row(1, 1, None), row(2, 1, Some(contact(3)))];
    assert_eq!(found(&merged), ReplyMeaning::LookBack(read_survivor(contact(3))));
    assert_eq!(
        found(&[row(2, 1, Some(contact(3))), row(4, 0, None)]),
        receipt(Receipt::ContactFound(contact(4))),
        "an active one comes first"
    );
    let survivor = |n: u8, state: u8| answer(200, &json!({ "contactid": contact(n), "statecode": state }).to_string());
    let rows = [row(1, 1, None), row(2, 1, Some(contact(3))), row(4, 1, Some(contact(3))), row(5, 1, Some(contact(6)))];
    let found = answer(200, &json!({ "value": rows }).to_string());
    let back = |earlier, answer: &Answer| back_after(&found, earlier, &Step::LookUpContact, &settings(), answer);
    assert_eq!(back(0, &survivor(3, 0)), receipt(Receipt::ContactFound(contact(3))));
    for useless in [survivor(3, 1), refusal(404, "0x80040217", "gone")] {
        assert_eq!(back(0, &useless), ReplyMeaning::LookBack(read_survivor(contact(6))), "each is read once");
        assert_eq!(back(1, &useless), receipt(Receipt::ContactAbsent));
    }
    assert_eq!(back(1, &survivor(6, 0)), receipt(Receipt::ContactFound(contact(6))));
}

#[test]
fn a_case_that_may_have_been_closed_is_judged_by_state_time_and_dynamics_clock() {
    let since = at("2026-11-22T10:14:00Z");
    let look = Step::LookAtIncident { incident: incident(1), since };
    let case = |state: u8, modified: &str| {
        json!({ "@odata.etag": "W/\"7\"", "statecode": state, "modifiedon": modified }).to_string()
    };
    let seen = |body: &str| reading(&look, &answer(200, body));
    assert_eq!(seen(&case(1, "2026-11-22T10:13:00Z")), receipt(Receipt::IncidentClosed(incident(1))));
    assert_eq!(seen(&case(2, "2026-11-22T10:13:00Z")), receipt(Receipt::IncidentClosed(incident(1))), "cancelled");
    assert_eq!(seen(&case(0, "2026-11-22T10:14:01Z")), receipt(Receipt::IncidentTouched(incident(1))));
    let unchanged = |since| receipt(Receipt::IncidentUnchanged { etag: "W/\"7\"".to_owned(), since });
    assert_eq!(seen(&case(0, "2026-11-22T10:14:00Z")), unchanged(since));
    let header = Answer { etag: Some("W/\"7\"".to_owned()), ..answer(200, r#"{"statecode":0}"#) };
    assert_eq!(reading(&look, &header), unchanged(since), "a version in the header ETag only");
    assert_eq!(seen(r#"{"@odata.etag":"W/\"7\"","statecode":0.0}"#), unchanged(since));
    for state in ["", r#""statecode":null"#, r#""statecode":"0""#, r#""statecode":false"#] {
        assert_eq!(remedy(&seen(&format!("{{{state}}}"))), Some(Remedy::Retry), "{state}");
    }
    assert_eq!(reading(&look, &refusal(404, "0x80040217", "gone")), receipt(Receipt::IncidentMissing(incident(1))));
    // Dynamics' clock is five minutes behind the worker's.
    let behind = Answer {
        date: Some("Sun, 22 Nov 2026 10:10:00 GMT".to_owned()),
        ..answer(200, &case(0, "2026-11-22T10:10:00Z"))
    };
    assert_eq!(reading(&look, &behind), receipt(Receipt::IncidentTouched(incident(1))));
    let behind = Answer { body: case(0, "2026-11-22T10:08:00Z").into(), ..behind };
    assert_eq!(reading(&look, &behind), unchanged(at("2026-11-22T10:09:00Z")));
    let resolved = Step::LookForResolution { incident: incident(1), since };
    assert_eq!(reading(&resolved, &answer(200, r#"{"value":[]}"#)), receipt(Receipt::IncidentNeverClosed));
    let touched = receipt(Receipt::IncidentTouched(incident(1)));
    assert_eq!(reading(&resolved, &answer(200, r#"{"value":[{"activityid":"1"}]}"#)), touched);
}

#[test]
fn a_case_that_is_inactive_in_any_way_is_closed_and_one_with_open_children_is_not() {
    for how in [Closing::Patch, Closing::Action] {
        let close = Step::CloseIncident { incident: incident(1), how, etag: None };
        for code in ["0x80044411", "0x800404cf", "0x80040230"] {
            assert_eq!(
                reading(&close, &refusal(400, code, "x")),
                receipt(Receipt::IncidentClosed(incident(1))),
                "{code}"
            );
        }
        assert_eq!(remedy(&reading(&close, &refusal(400, "0x8004440a", "x"))), Some(Remedy::GiveUp));
    }
    let etag = Some("W/\"7\"".to_owned());
    let close = Step::CloseIncident { incident: incident(1), how: Closing::Patch, etag };
    assert_eq!(remedy(&reading(&close, &refusal(412, "0x80060882", "changed"))), Some(Remedy::Retry));
}

#[test]
fn a_case_is_searched_in_any_queue_and_may_have_been_closed_before() {
    let look = Step::LookForQueueItem { incident: incident(1) };
    assert_eq!(reading(&look, &answer(200, r#"{"value":[]}"#)), receipt(Receipt::NotInAnyQueue));
    let row = r#"{"value":[{"queueitemid":"1"}]}"#;
    assert_eq!(reading(&look, &answer(200, row)), receipt(Receipt::QueueAssigned));
    let assign = Step::AssignQueue { incident: incident(1) };
    assert_eq!(reading(&assign, &refusal(400, "0x8004051e", "x")), receipt(Receipt::ClosedBeforeQueued));
}

#[test]
fn a_subject_is_cut_to_the_length_that_its_refusal_names() {
    let post = |subject_limit| Step::PostLiveWorkItem { subject_limit };
    let too_long = |message: &str| refusal(400, "0x80044331", message);
    let named = "The length of the 'subject' attribute of the 'x' entity exceeded the maximum allowed length of '150'.";
    assert_eq!(reading(&post(None), &too_long(named)), receipt(Receipt::SubjectLimited(150)));
    for (length, limit) in [("too long", 200), ("of '0'", 200), ("of '4,000'.", 4000), ("of '1.234.567'", 1_234_567)] {
        assert_eq!(
            reading(&post(None), &too_long(&format!("subject {length}"))),
            receipt(Receipt::SubjectLimited(limit))
        );
    }
    assert_eq!(reading(&post(None), &too_long("subject: 300,20")), receipt(Receipt::SubjectLimited(20)));
    assert_eq!(remedy(&reading(&post(Some(150)), &too_long(named))), Some(Remedy::GiveUp));
    let name = "The length of the 'name' attribute exceeded the maximum allowed length of '100'.";
    assert_eq!(remedy(&reading(&post(None), &too_long(name))), Some(Remedy::GiveUp));
    let posted = Receipt::WorkItemPosted { id: keys::work_item(&email().key), subject_cut: true };
    assert_eq!(reading(&post(Some(5)), &answer(201, "{}")), receipt(posted));
}

#[test]
fn an_empty_200_is_no_proof_of_a_work_item() {
    let post = Step::PostLiveWorkItem { subject_limit: None };
    let event = email();
    for body in ["", "{}"] {
        let reading_back = ReplyMeaning::LookBack(read_work_item(&event, &settings()));
        assert_eq!(reading(&post, &answer(200, body)), reading_back, "{body:?}");
        let nothing = refusal(404, "0x80040217", "Does Not Exist");
        let unmade = back_after(&answer(200, body), 0, &post, &settings(), &nothing);
        assert_eq!(remedy(&unmade), Some(Remedy::Retry), "{body:?}");
    }
}

#[test]
fn an_attachment_that_is_refused_becomes_text() {
    let note = Step::AttachTranscript { incident: incident(1), part: NoteForm::Attachment };
    for refused in [refusal(400, "0x80043e09", "x"), refusal(400, "0x80044a08", "x"), refusal(413, "", "x")] {
        assert_eq!(reading(&note, &refused), receipt(Receipt::AttachmentsRefused), "{refused:?}");
    }
    let text = Step::AttachTranscript { incident: incident(1), part: NoteForm::Text(0) };
    assert_eq!(reading(&text, &answer(204, "")), receipt(Receipt::TextNoteAttached { is_last: true }));
    assert_eq!(remedy(&reading(&text, &refusal(400, "0x80043e09", "x"))), Some(Remedy::GiveUp));
}

#[test]
fn a_contact_that_is_deactivated_or_out_of_reach_is_gone_for_an_incident() {
    let post = Step::PostIncident { customer: LinkedCustomer::Contact(contact(1)), queue: QueueBinding::NoQueue };
    for refused in [
        refusal(400, "0x80040517", "An inactive customer cannot be set as the parent of an object."),
        refusal(
            403,
            "0x80048306",
            "Principal user (roleCount=2) does not have AppendToAccess right(s) for record of contact",
        ),
    ] {
        assert_eq!(reading(&post, &refused), receipt(Receipt::ContactGone), "{refused:?}");
    }
    let nobody = Step::PostIncident { customer: LinkedCustomer::Nobody, queue: QueueBinding::NoQueue };
    let row = refusal(403, "0x80048306", "Principal user (roleCount=2) does not have CreateAccess right(s) for record");
    assert_eq!(remedy(&reading(&nobody, &row)), Some(Remedy::GiveUp), "the event's own failure; no other event waits");
}
