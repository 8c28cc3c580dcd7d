//! Exhaustive exploration: for every answer of Dynamics, an event continues and comes to an end.

use super::states::{Case, Graph};
use super::{early, late};
use crate::event::samples::{handoff, resolution};
use crate::event::{Channel, Event, EventId, Verdict};
use crate::workflow::samples::{FALLBACK, QUEUE, contact, incident, settings, settings_with, work_item};
use crate::workflow::{
    CloseWith, ContactFailure, Decision, FallbackCustomer, Fit, Learned, Memory, QueueAssignment, Receipt,
    SessionEntry, SessionState, Settings, Status, Step, decide,
};

/// Longest path: five missing contacts, each after a look-up and five taken keys, and the steps that follow.
const LONGEST: usize = 40;

fn handoffs() -> Vec<(&'static str, Event)> {
    vec![
        ("a customer with an email", handoff(|_| {})),
        ("a customer without an email", handoff(|it| it.customer.email = None)),
        ("an email that is too long", handoff(|it| it.customer.email = Some("a".repeat(101).into()))),
        ("a chat", handoff(|it| it.channel = Channel::new("web"))),
    ]
}

fn variants() -> Vec<(&'static str, Settings)> {
    let queue = |how| settings_with(|it| (it.default_queue_id, it.queue_assignment) = (Some(QUEUE), how));
    let owns = settings_with(|it| {
        drop(it.ticket_properties.insert("customerid_account@odata.bind".into(), "/accounts(1)".into()));
    });
    vec![
        ("plain", settings()),
        ("a queue, auto", queue(QueueAssignment::Auto)),
        ("a queue, bind", queue(QueueAssignment::Bind)),
        ("a queue, add_to_queue", queue(QueueAssignment::AddToQueue)),
        ("contact_failure = dead_letter", settings_with(|it| it.contact_failure = ContactFailure::DeadLetter)),
        ("a fallback customer", settings_with(|it| it.fallback_customer = Some(FallbackCustomer::Account(FALLBACK)))),
        ("customer in ticket_properties", owns),
        ("close_with = patch", settings_with(|it| it.close_with = CloseWith::Patch)),
        ("close_with = close_incident", settings_with(|it| it.close_with = CloseWith::CloseIncident)),
    ]
}

fn memories() -> Vec<Memory> {
    let learned = Learned {
        queue_undeclared: true,
        close_by_action: true,
        customer_required: true,
        placeholder: None,
        ..Learned::default()
    };
    let placed = Learned { placeholder: Some(contact(3)), ..learned };
    vec![
        Memory::default(),
        Memory { contact: Some(contact(4)), ..Memory::default() },
        Memory { learned, ..Memory::default() },
        Memory { learned: placed, contact: Some(contact(4)), ..Memory::default() },
    ]
}

pub(super) fn entry(event_id: &str, state: SessionState) -> SessionEntry {
    SessionEntry { event_id: EventId::from(event_id), state, handed_off: None, closing: None }
}

pub(super) fn open(n: u8) -> SessionState {
    SessionState::Open { incident: incident(n), ticket_number: Some(format!("CAS-{n}")) }
}

pub(super) fn closed(n: u8) -> SessionState {
    SessionState::Closed { incident: incident(n), ticket_number: Some(format!("CAS-{n}")) }
}

/// Returns sessions with every kind of entry, alone and in pairs.
fn sessions() -> Vec<Vec<SessionEntry>> {
    let kinds = [
        open(1),
        open(2),
        closed(3),
        SessionState::Opening,
        SessionState::Chat { work_item: work_item(1) },
        SessionState::Dead,
        SessionState::ClosedByMeta { incident: incident(4) },
    ];
    let alone = kinds.iter().map(|state| vec![entry("a", state.clone())]);
    let pairs = kinds
        .iter()
        .flat_map(|one| kinds.iter().map(move |two| vec![entry("a", one.clone()), entry("b", two.clone())]));
    [Vec::new()].into_iter().chain(alone).chain(pairs).collect()
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (shape, event) in handoffs() {
        for (variant, settings) in variants() {
            for memory in memories() {
                for fit in [Fit::Whole, Fit::Cut] {
                    let name = if fit == Fit::Cut { "a long handoff" } else { shape };
                    let (event, settings, memory) = (event.clone(), settings.clone(), memory.clone());
                    cases.push(Case {
                        name: if variant == "plain" { shape } else { name },
                        event,
                        settings,
                        memory,
                        fit,
                    });
                }
            }
        }
    }
    let plain = resolution(|_| {});
    let meta = resolution(|it| it.incident_id = Some(incident(4)));
    let not = resolution(|it| it.verdict = Verdict::NotResolved);
    for event in [plain, meta, not] {
        for (name, settings) in variants() {
            for session in sessions() {
                let memory = Memory { session, ..Memory::default() };
                cases.push(Case { name, event: event.clone(), settings: settings.clone(), memory, fit: Fit::Whole });
            }
        }
    }
    cases
}

/// `Graph::of` panics if `apply` refuses a receipt that `decide` asked for, and on a cycle.
#[test]
fn every_receipt_of_a_step_is_accepted_and_every_path_ends() {
    for case in cases() {
        let graph = Graph::of(&case);
        assert!(!graph.ends.is_empty(), "{}", case.name);
        assert!(graph.longest_path() <= LONGEST, "{}: {} steps", case.name, graph.longest_path());
    }
}

#[test]
fn final_states_absorb() {
    for case in cases() {
        for (state, end) in Graph::of(&case).ends {
            assert!(!matches!(end, Decision::Call(_)));
            let again = decide(&case.event, &case.settings, &state.memory, &state.progress, late());
            assert_eq!(again, end, "{}: {state:?}", case.name);
        }
    }
}

/// A retry continues at the step that failed and repeats no finished step.
#[test]
fn nothing_is_done_twice() {
    for case in cases() {
        for transition in Graph::of(&case).transitions {
            let progress = &transition.from.progress;
            let again = match &transition.step {
                Step::LookUpContact => matches!(progress.contact, crate::workflow::ContactProgress::Known(_)),
                Step::CreateContact { .. } | Step::CreatePlaceholder | Step::PostIncident { .. } => {
                    progress.incident.is_some()
                }
                Step::LookForQueueItem { .. } | Step::AssignQueue { .. } => progress.queue_assigned,
                Step::AttachTranscript { .. } => progress.transcript_attached,
                Step::PostLiveWorkItem { .. } => progress.work_item.is_some(),
                Step::CloseIncident { incident, .. }
                | Step::LookAtIncident { incident, .. }
                | Step::LookForResolution { incident, .. } => {
                    progress.closed.contains(incident) || progress.missing.contains(incident)
                }
            };
            assert!(!again, "{}: {:?} again at {:?}", case.name, transition.step, transition.from);
        }
    }
}

/// Without a change the same request would be sent again at once.
#[test]
fn every_receipt_changes_the_state() {
    for case in cases() {
        for transition in Graph::of(&case).transitions {
            assert_ne!(transition.from, transition.to, "{}: {:?}", case.name, transition.receipt);
        }
    }
}

#[test]
fn a_receipt_that_no_step_asked_for_is_illegal() {
    for case in cases() {
        for (state, end) in Graph::of(&case).ends {
            let Decision::Finish(outcome) = end else { continue };
            if outcome.status != Status::Succeeded || state.progress.incident.is_none() {
                continue;
            }
            for receipt in [Receipt::ContactAbsent, Receipt::ContactGone, Receipt::CustomerRequired] {
                assert!(crate::workflow::apply(state.progress.clone(), &receipt).is_err(), "{receipt:?}");
            }
        }
    }
}

/// Only a resolution waits: for an unknown session, or for a handoff in progress.
#[test]
fn only_a_resolution_waits() {
    for case in cases() {
        for (state, _) in Graph::of(&case).ends {
            let decision = decide(&case.event, &case.settings, &state.memory, &state.progress, early());
            if let Decision::WaitForHandoff(_) = decision {
                assert!(matches!(case.event.body, crate::event::Body::Resolution(_)));
                let waits = state.memory.session.iter().all(|it| it.state == SessionState::Dead)
                    || state.memory.session.iter().any(|it| it.state == SessionState::Opening);
                assert!(waits, "{}: {state:?}", case.name);
            }
        }
    }
}
