use handoffd_engine::event::samples::{email, handoff, resolution};
use handoffd_engine::event::{Channel, Verdict};
use handoffd_engine::workflow::samples::{FALLBACK, QUEUE, incident as incident_no, settings, settings_with};
use handoffd_engine::workflow::{CloseWith, ContactFailure, FallbackCustomer, QueueAssignment};

use super::*;
use crate::dynamics::Method;

/// Returns one line such as `POST incidents: always` for each request.
fn lines(event: &Event, settings: &Settings) -> Vec<String> {
    let short = |path: &str| path.split(['?', '(']).next().unwrap_or_default().to_owned();
    let explained = explain(event, settings).into_iter();
    explained.map(|it| format!("{} {}: {}", it.request.method.as_str(), short(&it.request.path), it.when)).collect()
}

const CACHED: &str = "GET contacts: unless the contact of this email is cached";
const NEW: &str = "POST contacts: if no contact has this email";
const REFUSED: &str = "if the environment refuses an incident without a customer";

#[test]
fn a_handoff_with_an_email() {
    assert_eq!(lines(&email(), &settings()), [CACHED, NEW, "POST incidents: always"]);
}

#[test]
fn a_handoff_without_an_email_and_the_customer_an_environment_may_require() {
    let anonymous = handoff(|it| it.customer.email = None);
    let post = "POST incidents: always".to_owned();
    let made = format!("POST contacts: {REFUSED}, once for the organization");
    let again = format!("POST incidents: {REFUSED}");
    assert_eq!(lines(&anonymous, &settings()), [post.clone(), made, again.clone()]);
    let fallback = settings_with(|it| it.fallback_customer = Some(FallbackCustomer::Account(FALLBACK)));
    assert_eq!(lines(&anonymous, &fallback), [post.clone(), again]);
    let own = settings_with(|it| drop(it.ticket_properties.insert("customerid_account@odata.bind".into(), "x".into())));
    assert_eq!(lines(&anonymous, &own), [post]);
}

#[test]
fn an_email_that_is_too_long_has_no_contact_or_no_requests_at_all() {
    let long = handoff(|it| it.customer.email = Some("a".repeat(101).into()));
    assert_eq!(lines(&long, &settings())[0], "POST incidents: always");
    let strict = settings_with(|it| it.contact_failure = ContactFailure::DeadLetter);
    assert_eq!(lines(&long, &strict), Vec::<String>::new());
}

#[test]
fn each_kind_of_queue_assignment() {
    let with = |how| settings_with(|it| (it.default_queue_id, it.queue_assignment) = (Some(QUEUE), how));
    let after_contact = |settings: &Settings| lines(&email(), settings).split_off(2);
    let undeclared = "after the environment has reported that it has no property queueid";
    let again = [format!("POST incidents: {undeclared}"), format!("POST queues: {undeclared}")];
    let [post, add] = again;
    let always = "POST incidents: always".to_owned();
    assert_eq!(after_contact(&with(QueueAssignment::Auto)), [always.clone(), post, add]);
    assert_eq!(after_contact(&with(QueueAssignment::Bind)), std::slice::from_ref(&always));
    assert_eq!(after_contact(&with(QueueAssignment::AddToQueue)), [always.clone(), "POST queues: always".to_owned()]);
    let mut own = with(QueueAssignment::Auto);
    own.ticket_properties.insert("queueid@odata.bind".into(), "/queues(1)".into());
    assert_eq!(after_contact(&own), [always]);
}

#[test]
fn a_description_that_is_cut_has_its_note() {
    let short = settings_with(|it| it.description_limit = 200);
    let expected = "POST annotations: always, because the description is longer than 200 UTF-16 units";
    assert_eq!(lines(&email(), &short).last().map(String::as_str), Some(expected));
}

#[test]
fn a_live_work_item_is_one_request() {
    let chat = handoff(|it| it.channel = Channel::new("whatsapp"));
    assert_eq!(lines(&chat, &settings()), ["POST oc_liveworkitems: always"]);
}

#[test]
fn a_resolution_closes_the_recorded_incidents_or_the_one_it_names() {
    let plain = explain(&resolution(|_| {}), &settings_with(|it| it.close_with = CloseWith::Patch));
    assert_eq!(plain.len(), 1);
    assert_eq!(plain[0].request.method, Method::Patch);
    assert_eq!(plain[0].request.path, format!("incidents({PLACEHOLDER_INCIDENT})"));
    let named = resolution(|it| it.incident_id = Some(incident_no(4)));
    let auto = explain(&named, &settings());
    assert_eq!(auto[0].request.path, format!("incidents({})", incident_no(4)));
    assert_eq!(auto[1].request.path, "CloseIncident");
    assert!(auto[1].when.ends_with("after the environment has required CloseIncident"));
    assert_eq!(auto[2].request.path, format!("incidents({PLACEHOLDER_INCIDENT})"));
    assert_eq!(auto[2].when, "for each incident of the session that the store records as open");
    let action = explain(&named, &settings_with(|it| it.close_with = CloseWith::CloseIncident));
    assert_eq!((action.len(), action[0].request.path.as_str()), (2, "CloseIncident"));
}

#[test]
fn a_conversation_that_was_not_resolved_causes_nothing() {
    assert_eq!(explain(&resolution(|it| it.verdict = Verdict::NotResolved), &settings()), []);
}

#[test]
fn peculiarities_are_combined_with_what_is_always_needed() {
    let short = |how| {
        settings_with(|it| {
            (it.default_queue_id, it.queue_assignment, it.description_limit) = (Some(QUEUE), how, 200);
        })
    };
    let anonymous = handoff(|it| it.customer.email = None);
    let note = "POST annotations: always, because the description is longer than 200 UTF-16 units";
    let (made, again) =
        (format!("POST contacts: {REFUSED}, once for the organization"), format!("POST incidents: {REFUSED}"));
    let undeclared = "after the environment has reported that it has no property queueid";
    assert_eq!(
        lines(&anonymous, &short(QueueAssignment::Auto)),
        [
            "POST incidents: always",
            &made,
            &again,
            &format!("POST incidents: {undeclared}"),
            &format!("POST queues: {undeclared}"),
            note
        ]
    );
    assert_eq!(
        lines(&anonymous, &short(QueueAssignment::AddToQueue)),
        ["POST incidents: always", &made, &again, "POST queues: always", note]
    );
}

/// The preview equals the request that the worker sends.
#[test]
fn an_explained_request_is_the_one_that_the_step_sends() {
    let explained = explain(&email(), &settings());
    assert_eq!(explained[0].request, request(&Step::LookUpContact, &email(), &settings()));
    assert_eq!(explained[1].request, request(&Step::CreateContact { generation: 0 }, &email(), &settings()));
}
