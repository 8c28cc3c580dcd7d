//! Interpretation of the answers to an incident's requests.

use handoffd_engine::workflow::FallbackCustomer;
use handoffd_engine::workflow::samples::FALLBACK;

use super::*;

const UNDECLARED: &str = "Error identified in Payload provided by the user for Entity :'incidents'. An undeclared property \
    'queueid' which only has property annotations in the payload but no property value was found in the payload.";
const NO_CUSTOMER: &str = "You should specify a parent contact or account.";
const INSISTS: &str = "This message can not be used to set the state of incident to Resolved. In order to set state of \
    incident to Resolved, use the CloseIncidentRequest message instead.";

fn post(customer: LinkedCustomer, queue: QueueBinding) -> Step {
    Step::PostIncident { customer, queue }
}

fn nobody() -> Step {
    post(LinkedCustomer::Nobody, QueueBinding::NoQueue)
}

fn gone(table: &str, id: &str) -> Answer {
    refusal(404, "0x80040217", &format!("{table} With Id = {id} Does Not Exist"))
}

#[test]
fn the_receipt_of_a_posted_incident_has_its_number_customer_and_queue() {
    let id = incident(1);
    for (body, ticket_number) in [
        (format!(r#"{{"incidentid":"{id}","ticketnumber":"CAS-01234-X1Y2Z3"}}"#), Some("CAS-01234-X1Y2Z3")),
        (format!(r#"{{"incidentid":"{id}","ticketnumber":null}}"#), None),
        (format!(r#"{{"incidentid":"{id}"}}"#), None),
    ] {
        let (customer, queue) = (LinkedCustomer::Contact(contact(1)), QueueBinding::Bound);
        let posted = Receipt::IncidentPosted {
            id,
            ticket_number: ticket_number.map(str::to_owned),
            customer,
            queue,
            transcript: Fit::Whole,
            existed: false,
        };
        assert_eq!(reading(&post(customer, queue), &answer(201, &body)), receipt(posted), "{body}");
    }
}

#[test]
fn an_incident_with_a_cut_description_needs_its_note() {
    let short = settings_with(|it| it.description_limit = 200);
    let body = format!(r#"{{"incidentid":"{}"}}"#, incident(1));
    let ReplyMeaning::Receipt(Receipt::IncidentPosted { transcript, .. }) =
        read_with(&nobody(), &short, &answer(201, &body))
    else {
        panic!("expected a receipt")
    };
    assert_eq!(transcript, Fit::Cut);
}

#[test]
fn an_incident_posted_without_its_representation_is_read_for_its_number() {
    for status in [200, 201, 204] {
        assert_eq!(
            reading(&nobody(), &answer(status, "")),
            ReplyMeaning::LookBack(read_incident(&email())),
            "{status}"
        );
    }
    let nothing = refusal(404, "0x80040217", "Does Not Exist");
    let unmade = back_after(&answer(200, ""), 0, &nobody(), &settings(), &nothing);
    assert_eq!(remedy(&unmade), Some(Remedy::Retry), "something else than Dynamics answered");
    let body = format!(r#"{{"incidentid":"{}","ticketnumber":"CAS-7"}}"#, incident(1));
    let ReplyMeaning::Receipt(Receipt::IncidentPosted { ticket_number, .. }) =
        back(&nobody(), &settings(), &answer(200, &body))
    else {
        panic!("expected a receipt")
    };
    assert_eq!(ticket_number.as_deref(), Some("CAS-7"));
}

#[test]
fn an_undeclared_queue_field_is_learned_with_auto_and_refused_with_bind() {
    let with = |how, field: &str| {
        settings_with(|it| {
            (it.default_queue_id, it.queue_assignment) = (Some(QUEUE), how);
            it.queue_field = field.to_owned();
        })
    };
    let bound = post(LinkedCustomer::Nobody, QueueBinding::Bound);
    let unbound = post(LinkedCustomer::Nobody, QueueBinding::Unbound);
    let refused = refusal(400, "0x80048d19", UNDECLARED);
    let read = |step: &Step, settings: Settings| read_with(step, &settings, &refused);
    assert_eq!(read(&bound, with(QueueAssignment::Auto, "queueid")), receipt(Receipt::QueueFieldUndeclared));
    assert_eq!(read(&bound, with(QueueAssignment::Auto, "QueueId")), receipt(Receipt::QueueFieldUndeclared));
    let auto = with(QueueAssignment::Auto, "queueid");
    let other = refusal(400, "0x0", "The property 'queueid' does not exist on type 'Microsoft.Dynamics.CRM.incident'.");
    assert_eq!(read_with(&bound, &auto, &other), receipt(Receipt::QueueFieldUndeclared), "worded differently");
    let nameless = refusal(400, "0x80048d19", "Undeclared property");
    assert_eq!(read_with(&bound, &auto, &nameless), receipt(Receipt::QueueFieldUndeclared), "without its name");
    for (step, settings) in [
        (&bound, with(QueueAssignment::Bind, "queueid")),
        (&unbound, with(QueueAssignment::Auto, "queueid")),
        // Another property is undeclared, whose name contains the queue's or is contained in it.
        (&bound, with(QueueAssignment::Auto, "new_queueid")),
        (&bound, with(QueueAssignment::Auto, "queue")),
    ] {
        assert_eq!(remedy(&read(step, settings.clone())), Some(Remedy::GiveUp), "{step:?} {}", settings.queue_field);
    }
}

#[test]
fn a_required_customer_is_learned_where_none_was_linked() {
    for refused in
        [refusal(400, "0x80044410", NO_CUSTOMER), refusal(400, "", NO_CUSTOMER), refusal(500, "0x80044410", "")]
    {
        assert_eq!(reading(&nobody(), &refused), receipt(Receipt::CustomerRequired), "{refused:?}");
    }
    let refused = refusal(400, "0x80044410", NO_CUSTOMER);
    for customer in
        [LinkedCustomer::Fallback(FallbackCustomer::Account(FALLBACK)), LinkedCustomer::Placeholder(contact(3))]
    {
        assert_eq!(remedy(&reading(&post(customer, QueueBinding::NoQueue), &refused)), Some(Remedy::GiveUp));
    }
    let own = settings_with(|it| drop(it.ticket_properties.insert("customerid_account@odata.bind".into(), "x".into())));
    assert_eq!(remedy(&read_with(&nobody(), &own, &refused)), Some(Remedy::GiveUp));
}

#[test]
fn a_missing_contact_is_recognized_by_its_key_or_by_no_key_at_all() {
    let step = post(LinkedCustomer::Contact(contact(1)), QueueBinding::NoQueue);
    let id = contact(1).to_string();
    for refused in [
        gone("contact", &id),
        gone("Contact", &id.to_uppercase()),
        refusal(400, "0x80040217", &format!("contact With Id = {id} Does Not Exist")),
        refusal(404, "", &format!("contact With Ids = {id} Does Not Exist")),
        refusal(404, "0x80040217", "The requested record was not found."),
    ] {
        assert_eq!(reading(&step, &refused), receipt(Receipt::ContactGone), "{refused:?}");
    }
    let owner = gone("systemuser", "33333333-3333-3333-3333-333333333333");
    assert_eq!(remedy(&reading(&step, &owner)), Some(Remedy::GiveUp), "another row is missing");
    let table = refusal(404, "0x8006088a", "Resource not found for the segment 'incidents'.");
    assert_eq!(remedy(&reading(&step, &table)), Some(Remedy::Hold), "the table is missing");
    let own = settings_with(|it| drop(it.ticket_properties.insert("customerid_contact@odata.bind".into(), "x".into())));
    let unnamed = refusal(404, "0x80040217", "The requested record was not found.");
    assert_eq!(remedy(&read_with(&step, &own, &unnamed)), Some(Remedy::GiveUp), "the contact was not in the request");
}

#[test]
fn a_missing_placeholder_is_created_again_and_a_fallback_is_not() {
    let placeholder = post(LinkedCustomer::Placeholder(contact(3)), QueueBinding::NoQueue);
    let missing = gone("contact", &contact(3).to_string());
    assert_eq!(reading(&placeholder, &missing), receipt(Receipt::PlaceholderGone));
    let fallback = post(LinkedCustomer::Fallback(FallbackCustomer::Contact(FALLBACK)), QueueBinding::NoQueue);
    let ReplyMeaning::Fault(fault) = reading(&fallback, &gone("contact", &FALLBACK.to_string())) else {
        panic!("a fault")
    };
    assert_eq!(fault.remedy, Remedy::GiveUp);
    assert!(fault.advice.contains("fallback_customer"));
}

#[test]
fn already_in_this_queue_is_success() {
    let step = Step::AssignQueue { incident: incident(1) };
    for there in [
        refusal(400, "0x80040526", "Object is already in the queue"),
        refusal(400, "0x8004051b", ""),
        refusal(500, "", "The item is already in this queue."),
    ] {
        assert_eq!(reading(&step, &there), receipt(Receipt::QueueAssigned), "{there:?}");
    }
    let ReplyMeaning::Fault(fault) = reading(&step, &gone("queue", &QUEUE.to_string())) else { panic!("a fault") };
    assert_eq!(fault.remedy, Remedy::GiveUp);
    assert!(fault.advice.contains("default_queue_id"));
}

fn close(how: Closing) -> Step {
    Step::CloseIncident { incident: incident(1), how, etag: None }
}

#[test]
fn already_closed_is_success() {
    for how in [Closing::Patch, Closing::Action] {
        for closed in [
            refusal(400, "0x80044411", "The incident is closed."),
            refusal(500, "0x80044411", ""),
            refusal(400, "", "The case has already been resolved."),
        ] {
            assert_eq!(reading(&close(how), &closed), receipt(Receipt::IncidentClosed(incident(1))), "{closed:?}");
        }
    }
}

#[test]
fn an_incident_that_no_longer_exists_is_missing() {
    let id = incident(1).to_string();
    for how in [Closing::Patch, Closing::Action] {
        for missing in [gone("incident", &id), refusal(400, "0x80040217", ""), refusal(404, "", "Does Not Exist")] {
            assert_eq!(reading(&close(how), &missing), receipt(Receipt::IncidentMissing(incident(1))), "{missing:?}");
        }
    }
    // The case is checked before it is missing.
    for how in [Closing::Patch, Closing::Action] {
        assert_eq!(remedy(&reading(&close(how), &refusal(412, "", ""))), Some(Remedy::Retry));
    }
    for code in ["0x8006088a", "0x80060888"] {
        let table = refusal(404, code, "Resource not found");
        assert_eq!(remedy(&reading(&close(Closing::Patch), &table)), Some(Remedy::Hold), "a whole table is missing");
    }
}

#[test]
fn an_environment_that_insists_on_close_incident_gets_it_with_auto_only() {
    let refused = refusal(400, "0x80040203", INSISTS);
    assert_eq!(reading(&close(Closing::Patch), &refused), receipt(Receipt::CloseActionRequired));
    let patch = settings_with(|it| it.close_with = CloseWith::Patch);
    assert_eq!(remedy(&read_with(&close(Closing::Patch), &patch, &refused)), Some(Remedy::GiveUp));
    assert_eq!(remedy(&reading(&close(Closing::Action), &refused)), Some(Remedy::GiveUp));
}
