//! Customer of an incident, and the warnings in its outcome.

use super::states::{Case, Graph};
use super::{late, next};
use crate::event::samples::handoff;
use crate::workflow::samples::{FALLBACK, QUEUE, contact, incident, settings, settings_with};
use crate::workflow::{
    ContactFailure, ContactProgress, Decision, FallbackCustomer, Fit, Learned, LinkedCustomer, Memory, Outcome,
    PostedIncident, Progress, QueueAssignment, QueueBinding, Remedy, Settings, Step, Warning, decide,
};

fn outcomes(case: &Case) -> Vec<(Progress, Outcome)> {
    let ends = Graph::of(case).ends.into_iter();
    ends.filter_map(|(state, end)| match end {
        Decision::Finish(outcome) => Some((state.progress, *outcome)),
        _ => None,
    })
    .collect()
}

fn case(settings: Settings, change: impl FnOnce(&mut crate::event::Handoff)) -> Case {
    Case { name: "warnings", event: handoff(change), settings, memory: Memory::default(), fit: Fit::Whole }
}

#[test]
fn contact_unlinked_is_reported_only_without_a_contact() {
    for (progress, outcome) in outcomes(&case(settings(), |_| {})) {
        let refused = !matches!(progress.contact, ContactProgress::Known(_) | ContactProgress::Unknown);
        assert_eq!(outcome.warnings.contains(&Warning::ContactUnlinked), refused, "{progress:?}");
        assert_eq!(outcome.contact_id.is_none(), refused, "{progress:?}");
    }
}

#[test]
fn an_email_over_100_characters_goes_out_unlinked_with_a_warning() {
    let long = case(settings(), |it| it.customer.email = Some(format!("{}@b.example", "a".repeat(91)).into()));
    let outcomes = outcomes(&long);
    assert!(!outcomes.is_empty());
    for (_, outcome) in outcomes {
        assert_eq!(outcome.warnings[0], Warning::ContactUnlinked);
        assert_eq!(outcome.contact_id, None);
    }
    let fits = handoff(|it| it.customer.email = Some("a".repeat(100).into()));
    assert_eq!(next(&fits, &settings(), &Memory::default()), Decision::Call(Step::LookUpContact));
}

#[test]
fn an_email_over_100_characters_is_refused_where_contact_failure_is_dead_letter() {
    let strict = settings_with(|it| it.contact_failure = ContactFailure::DeadLetter);
    let event = handoff(|it| it.customer.email = Some("a".repeat(101).into()));
    let Decision::Refuse(fault) = next(&event, &strict, &Memory::default()) else { panic!("expected a refusal") };
    assert_eq!(fault.remedy, Remedy::GiveUp);
    assert!(!fault.message.contains("aaa"), "customer text in {}", fault.message);
    assert!(!fault.advice.is_empty());
}

#[test]
fn no_email_means_no_contact_no_lookup_and_no_warning() {
    let anonymous = handoff(|it| it.customer.email = None);
    let step = Step::PostIncident { customer: LinkedCustomer::Nobody, queue: QueueBinding::NoQueue };
    assert_eq!(next(&anonymous, &settings(), &Memory::default()), Decision::Call(step));
    let plain = case(settings(), |it| it.customer.email = None);
    let quiet = outcomes(&plain).iter().any(|(_, outcome)| outcome.warnings.is_empty());
    assert!(quiet, "an environment that takes an incident without a customer");
}

#[test]
fn placeholder_customer_is_reported_for_fallback_and_placeholder_without_a_contact_id() {
    let memory = |placeholder| Memory {
        learned: Learned { customer_required: true, placeholder, ..Learned::default() },
        ..Memory::default()
    };
    let fallback = settings_with(|it| it.fallback_customer = Some(FallbackCustomer::Account(FALLBACK)));
    for (settings, memory) in
        [(fallback, memory(None)), (settings(), memory(None)), (settings(), memory(Some(contact(3))))]
    {
        let case = Case { memory, ..case(settings, |it| it.customer.email = None) };
        for (_, outcome) in outcomes(&case) {
            assert_eq!(outcome.warnings, [Warning::PlaceholderCustomer]);
            assert_eq!(outcome.contact_id, None);
        }
    }
}

#[test]
fn an_unlinked_contact_and_a_placeholder_are_both_reported() {
    let learned = Learned { customer_required: true, ..Learned::default() };
    let case = Case { memory: Memory { learned, ..Memory::default() }, ..case(settings(), |_| {}) };
    let both = [Warning::ContactUnlinked, Warning::PlaceholderCustomer];
    assert!(outcomes(&case).iter().any(|(_, outcome)| outcome.warnings == both));
}

#[test]
fn a_remembered_contact_costs_no_lookup() {
    let memory = Memory { contact: Some(contact(4)), ..Memory::default() };
    let step = Step::PostIncident { customer: LinkedCustomer::Contact(contact(4)), queue: QueueBinding::NoQueue };
    assert_eq!(next(&handoff(|_| {}), &settings(), &memory), Decision::Call(step));
}

#[test]
fn a_remembered_contact_that_is_gone_is_looked_up_again() {
    let progress = Progress { contact: ContactProgress::Forgotten, contacts_gone: 1, ..Progress::default() };
    let decision = decide(&handoff(|_| {}), &settings(), &Memory::default(), &progress, late());
    assert_eq!(decision, Decision::Call(Step::LookUpContact));
}

#[test]
fn queue_assignment_decides_the_binding_of_the_queue() {
    use QueueAssignment::{AddToQueue, Auto, Bind};
    let undeclared = Learned { queue_undeclared: true, ..Learned::default() };
    for (how, learned, own, expected) in [
        (Auto, Learned::default(), false, QueueBinding::Bound),
        (Auto, undeclared, false, QueueBinding::Unbound),
        (Bind, Learned::default(), false, QueueBinding::Bound),
        (Bind, undeclared, false, QueueBinding::Bound),
        (AddToQueue, Learned::default(), false, QueueBinding::Unbound),
        (Auto, Learned::default(), true, QueueBinding::NoQueue),
        (Auto, undeclared, true, QueueBinding::NoQueue),
    ] {
        let settings = settings_with(|it| {
            (it.default_queue_id, it.queue_assignment) = (Some(QUEUE), how);
            if own {
                it.ticket_properties.insert("queueid@odata.bind".into(), "/queues(1)".into());
            }
        });
        let memory = Memory { learned, ..Memory::default() };
        let decision = next(&handoff(|it| it.customer.email = None), &settings, &memory);
        let Decision::Call(Step::PostIncident { queue, .. }) = decision else { panic!("got {decision:?}") };
        assert_eq!(queue, expected, "{how:?}, {learned:?}, own: {own}");
    }
}

#[test]
fn a_queue_removed_from_the_settings_is_not_assigned() {
    let posted = PostedIncident {
        id: incident(1),
        ticket_number: None,
        contact: None,
        queue: QueueBinding::Unbound,
        transcript: Fit::Whole,
    };
    let progress = Progress { incident: Some(posted), ..Progress::default() };
    let with_queue = settings_with(|it| it.default_queue_id = Some(QUEUE));
    let decide = |settings| decide(&handoff(|_| {}), settings, &Memory::default(), &progress, late());
    assert_eq!(decide(&with_queue), Decision::Call(Step::AssignQueue { incident: incident(1) }));
    assert!(matches!(decide(&settings()), Decision::Finish(_)));
}
