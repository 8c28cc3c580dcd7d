//! Transition function: decides the next step of an event from its settings, memory and progress.
//!
//! The function is pure and total, so a retry or a restart continues at the step that failed. It never asks for a step that is done,
//! and never closes or queues a case again without a check if an earlier request may have done so, because a rep may have changed it
//! since.

use jiff::Timestamp;

use super::contact_limit;
use super::fault::{Fault, Remedy};
use super::finish;
use super::memory::{Memory, SessionState};
use super::outcome::{Outcome, Reason};
use super::progress::{ContactProgress, Intent, OpenCase, Progress};
use super::receipt::Fit;
use super::settings::{CloseWith, ContactFailure, QueueAssignment, Settings};
use super::step::{Closing, LinkedCustomer, NoteForm, QueueBinding, Step, StepName};
use super::time::Time;
use crate::event::{Body, Event, Handoff, IncidentId, Resolution, Route, Verdict};

/// Most derived keys tried for a contact whose record a rep has given another email or deactivated, and most times that a
/// missing placeholder is created again.
const MAX_CONTACT_KEYS: u8 = 5;
/// Most times that a contact that was deleted, deactivated or inaccessible is looked up again (contract 4).
const MAX_CONTACT_RELOOKUPS: u8 = 1;

/// Next action for an event.
#[derive(Clone, PartialEq, Debug)]
pub enum Decision {
    /// Send the request of this step to Dynamics.
    Call(Step),
    /// Wait for a handoff of this session until this time; without a time, until the handoff in progress ends.
    WaitForHandoff(Option<Timestamp>),
    /// Finish the event with this outcome.
    Finish(Box<Outcome>),
    /// Refuse the event permanently.
    Refuse(Box<Fault>),
}

/// Decides the next step of an event. Total: every progress has a decision.
pub fn decide(event: &Event, settings: &Settings, memory: &Memory, progress: &Progress, time: Time) -> Decision {
    match &event.body {
        Body::Handoff(handoff) => match handoff.channel.route() {
            Route::Incident => incident(handoff, settings, memory, progress, time),
            Route::LiveWorkItem => live_work_item(handoff, memory, progress, time),
        },
        Body::Resolution(resolution) => close(resolution, settings, &memory.up_to(event.timestamp), progress, time),
    }
}

fn incident(handoff: &Handoff, settings: &Settings, memory: &Memory, progress: &Progress, time: Time) -> Decision {
    let Some(posted) = &progress.incident else {
        let queue = queue_binding(settings, memory);
        return match customer(handoff, settings, memory, progress) {
            ChosenCustomer::Known(customer) => Decision::Call(Step::PostIncident { customer, queue }),
            ChosenCustomer::Needs(step) => Decision::Call(step),
            ChosenCustomer::Refused(fault) => Decision::Refuse(Box::new(fault)),
        };
    };
    let queued = posted.queue != QueueBinding::Unbound || progress.queue_assigned;
    // The case can't be put into a queue that has since been removed from the organization's settings.
    if !queued && settings.default_queue_id.is_some() {
        let incident = posted.id;
        return Decision::Call(if progress.queue_uncertain {
            Step::LookForQueueItem { incident }
        } else {
            Step::AssignQueue { incident }
        });
    }
    if posted.transcript == Fit::Cut && !progress.transcript_attached {
        let as_text = memory.learned.no_attachments || progress.text_notes > 0;
        let part = if as_text { NoteForm::Text(progress.text_notes) } else { NoteForm::Attachment };
        return Decision::Call(Step::AttachTranscript { incident: posted.id, part });
    }
    Decision::Finish(Box::new(finish::incident(handoff, posted, progress, time)))
}

fn live_work_item(handoff: &Handoff, memory: &Memory, progress: &Progress, time: Time) -> Decision {
    match progress.work_item {
        Some(work_item) => Decision::Finish(Box::new(finish::live_work_item(handoff, work_item, progress, time))),
        None => Decision::Call(Step::PostLiveWorkItem { subject_limit: memory.learned.subject_limit }),
    }
}

enum ChosenCustomer {
    Known(LinkedCustomer),
    Needs(Step),
    Refused(Fault),
}

fn customer(handoff: &Handoff, settings: &Settings, memory: &Memory, progress: &Progress) -> ChosenCustomer {
    let Some(email) = &handoff.customer.email else {
        return default_customer(settings, memory, progress);
    };
    if !contact_limit::fits(email) {
        return without_contact(settings, memory, progress, email_too_long);
    }
    match progress.contact {
        ContactProgress::Known(id) => ChosenCustomer::Known(LinkedCustomer::Contact(id)),
        ContactProgress::Refused => default_customer(settings, memory, progress),
        ContactProgress::Absent { generation } if generation < MAX_CONTACT_KEYS => {
            ChosenCustomer::Needs(Step::CreateContact { generation })
        }
        ContactProgress::Absent { .. } => without_contact(settings, memory, progress, keys_taken),
        ContactProgress::Forgotten if progress.contacts_gone > MAX_CONTACT_RELOOKUPS => {
            without_contact(settings, memory, progress, contact_gone)
        }
        ContactProgress::Forgotten => ChosenCustomer::Needs(Step::LookUpContact),
        ContactProgress::Unknown => match memory.contact {
            Some(id) => ChosenCustomer::Known(LinkedCustomer::Contact(id)),
            None => ChosenCustomer::Needs(Step::LookUpContact),
        },
    }
}

/// Continues without a contact, unless the organization's settings require one.
fn without_contact(settings: &Settings, memory: &Memory, progress: &Progress, why: fn() -> Fault) -> ChosenCustomer {
    match settings.contact_failure {
        ContactFailure::Unlinked => default_customer(settings, memory, progress),
        ContactFailure::DeadLetter => ChosenCustomer::Refused(why()),
    }
}

/// Chooses the customer of an incident without a contact (contract 4, "No customer").
fn default_customer(settings: &Settings, memory: &Memory, progress: &Progress) -> ChosenCustomer {
    if !memory.learned.customer_required || settings.binds_customer_itself() {
        return ChosenCustomer::Known(LinkedCustomer::Nobody);
    }
    match (settings.fallback_customer, memory.learned.placeholder) {
        (Some(fallback), _) => ChosenCustomer::Known(LinkedCustomer::Fallback(fallback)),
        (None, Some(id)) => ChosenCustomer::Known(LinkedCustomer::Placeholder(id)),
        (None, None) if progress.contacts_gone >= MAX_CONTACT_KEYS => ChosenCustomer::Refused(contact_gone()),
        (None, None) => ChosenCustomer::Needs(Step::CreatePlaceholder),
    }
}

fn queue_binding(settings: &Settings, memory: &Memory) -> QueueBinding {
    if settings.default_queue_id.is_none() {
        return QueueBinding::NoQueue;
    }
    match settings.queue_assignment {
        QueueAssignment::AddToQueue => QueueBinding::Unbound,
        QueueAssignment::Auto | QueueAssignment::Bind if settings.binds_queue_itself() => QueueBinding::NoQueue,
        QueueAssignment::Auto if memory.learned.queue_undeclared => QueueBinding::Unbound,
        QueueAssignment::Bind | QueueAssignment::Auto => QueueBinding::Bound,
    }
}

fn close(resolution: &Resolution, settings: &Settings, memory: &Memory, progress: &Progress, time: Time) -> Decision {
    let skip = |reason| Decision::Finish(Box::new(finish::skipped(resolution, memory, progress, reason, time)));
    if resolution.verdict == Verdict::NotResolved {
        return skip(Reason::NotResolved);
    }
    let is_opening = memory.session.iter().any(|entry| entry.state == SessionState::Opening);
    if memory.has_retried_handoff || memory.handoffs_may_follow || is_opening {
        return Decision::WaitForHandoff(None);
    }
    if let Some(incident) = next_to_close(resolution, memory, progress) {
        return Decision::Call(closing_step(
            incident,
            closing_method(settings, memory),
            intent(incident, memory, progress),
        ));
    }
    if !progress.closed.is_empty() {
        return Decision::Finish(Box::new(finish::closed(resolution, memory, progress, time)));
    }
    if !progress.missing.is_empty() {
        return skip(Reason::IncidentNotFound);
    }
    match nothing_to_close_reason(memory) {
        Some(reason) => skip(reason),
        None => await_handoff(settings, time).unwrap_or_else(|| skip(Reason::NoIncident)),
    }
}

/// Returns the next step of closing a case. A case may be closed unchecked only if no request is on record that may have closed it.
fn closing_step(incident: IncidentId, how: Closing, intent: Option<Intent>) -> Step {
    let Some(Intent { since, seen, .. }) = intent else {
        return Step::CloseIncident { incident, how, etag: None };
    };
    match seen {
        None => Step::LookAtIncident { incident, since },
        Some(OpenCase { since, never_closed: false, .. }) => Step::LookForResolution { incident, since },
        Some(OpenCase { etag, .. }) => Step::CloseIncident { incident, how, etag: Some(etag) },
    }
}

/// Returns the intent to close a case: this event's own, or the unconfirmed one of another event of the session.
fn intent(incident: IncidentId, memory: &Memory, progress: &Progress) -> Option<Intent> {
    let own = progress.intent.clone().filter(|intent| intent.incident == incident);
    own.or_else(|| memory.closing(incident).map(|since| Intent { incident, since, seen: None }))
}

/// Returns the next incident to close: the first of the session that is open according to the store, or else the incident
/// named by the event, if no handoff of the session is known.
fn next_to_close(resolution: &Resolution, memory: &Memory, progress: &Progress) -> Option<IncidentId> {
    let by_meta = |id: &IncidentId| {
        let is_it = |state: &SessionState| matches!(state, SessionState::ClosedByMeta { incident } if incident == id);
        memory.session.iter().any(|entry| is_it(&entry.state))
    };
    // A handoff that came again after a lost store finds its case, which an event's `meta` may have closed meanwhile.
    let done = |id: &IncidentId| progress.closed.contains(id) || progress.missing.contains(id) || by_meta(id);
    let open = memory.session.iter().find_map(|entry| match &entry.state {
        SessionState::Open { incident, .. } if !done(incident) => Some(*incident),
        _ => None,
    });
    open.or_else(|| {
        let named = resolution.incident_id.filter(|id| !done(id))?;
        let is_of_no_handoff =
            |state: &SessionState| matches!(state, SessionState::ClosedByMeta { .. } | SessionState::Dead);
        memory.session.iter().all(|entry| is_of_no_handoff(&entry.state)).then_some(named)
    })
}

/// Returns the reason why a known session has nothing to close.
fn nothing_to_close_reason(memory: &Memory) -> Option<Reason> {
    let any = |wanted: fn(&SessionState) -> bool| memory.session.iter().any(|entry| wanted(&entry.state));
    if any(|state| matches!(state, SessionState::Closed { .. } | SessionState::ClosedByMeta { .. })) {
        return Some(Reason::AlreadyClosed);
    }
    any(|state| matches!(state, SessionState::Chat { .. })).then_some(Reason::LiveWorkItem)
}

fn await_handoff(settings: &Settings, time: Time) -> Option<Decision> {
    // Counted from the first try: the event may have waited in its organization's queue for longer, and its handoff may
    // have been put behind it by a broker that refused the copy.
    let left = settings.resolution_wait.checked_sub(time.age).filter(|left| !left.is_zero())?;
    Some(Decision::WaitForHandoff(Some(time.now.saturating_add(left).ok()?)))
}

fn closing_method(settings: &Settings, memory: &Memory) -> Closing {
    match settings.close_with {
        CloseWith::CloseIncident => Closing::Action,
        CloseWith::Auto if memory.learned.close_by_action => Closing::Action,
        CloseWith::Patch | CloseWith::Auto => Closing::Patch,
    }
}

fn email_too_long() -> Fault {
    refusal(
        format!(
            "the customer's email is longer than a Dynamics contact allows ({} characters)",
            contact_limit::EMAIL_LIMIT
        ),
        "Have the publisher send the real email address, or set contact_failure = \"unlinked\".",
    )
}

fn keys_taken() -> Fault {
    refusal(
        format!("{MAX_CONTACT_KEYS} contacts created for this email have since been given other emails"),
        "Set this email on one of the contacts that the worker created, then replay the event.",
    )
}

fn contact_gone() -> Fault {
    refusal(
        "each contact that the incident was to be linked to was missing or inactive".to_owned(),
        "Find the plug-in or flow that deletes contacts right after they are created, then replay the event.",
    )
}

fn refusal(message: String, advice: &str) -> Fault {
    Fault { advice: advice.to_owned(), ..Fault::unanswered(StepName::LookUpContact, Remedy::GiveUp, message) }
}
