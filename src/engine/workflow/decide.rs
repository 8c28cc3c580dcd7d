//! Which step next? Every transition of the machine, on a page.

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
use crate::event::{Body, Event, Handoff, IncidentId, Resolution, Route, Verdict};

/// How often the derived key is changed because a rep has given that record another email or deactivated it, and how often a
/// placeholder that was gone is made anew.
const CONTACT_TRIES: u8 = 5;
/// How often a contact that was gone, deactivated or out of reach is looked up again (contract 4).
const CONTACT_LOOKED_UP_AGAIN: u8 = 1;

/// What to do next for an event.
#[derive(Clone, PartialEq, Debug)]
pub enum Decision {
    /// Ask this of Dynamics.
    Call(Step),
    /// A handoff of this session may still come: look again, at the latest at this time (none: only it can tell).
    Await(Option<Timestamp>),
    /// It is over.
    Finish(Box<Outcome>),
    /// It can't be done as it is.
    Refuse(Box<Fault>),
}

/// The hour, as the machine is told it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Time {
    /// The time now.
    pub now: Timestamp,
    /// When the worker first saw the event.
    pub first_seen: Timestamp,
    /// Which attempt this is, from 1.
    pub attempts: u32,
}

/// Decides the next step of an event. Total: there is an answer for every progress.
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
            Customer::Known(customer) => Decision::Call(Step::PostIncident { customer, queue }),
            Customer::Needs(step) => Decision::Call(step),
            Customer::Impossible(fault) => Decision::Refuse(Box::new(fault)),
        };
    };
    let queued = posted.queue != QueueBinding::Unbound || progress.queue_assigned;
    // A queue that the organization's file has lost meanwhile can't be assigned any more.
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

enum Customer {
    Known(LinkedCustomer),
    Needs(Step),
    Impossible(Fault),
}

fn customer(handoff: &Handoff, settings: &Settings, memory: &Memory, progress: &Progress) -> Customer {
    let Some(email) = &handoff.customer.email else {
        return nobody(settings, memory, progress);
    };
    if !contact_limit::fits(email) {
        return without_contact(settings, memory, progress, email_too_long);
    }
    match progress.contact {
        ContactProgress::Known(id) => Customer::Known(LinkedCustomer::Contact(id)),
        ContactProgress::Refused => nobody(settings, memory, progress),
        ContactProgress::Absent { generation } if generation < CONTACT_TRIES => {
            Customer::Needs(Step::CreateContact { generation })
        }
        ContactProgress::Absent { .. } => without_contact(settings, memory, progress, keys_taken),
        ContactProgress::Forgotten if progress.contacts_gone > CONTACT_LOOKED_UP_AGAIN => {
            without_contact(settings, memory, progress, contact_gone)
        }
        ContactProgress::Forgotten => Customer::Needs(Step::LookUpContact),
        ContactProgress::Unknown => match memory.contact {
            Some(id) => Customer::Known(LinkedCustomer::Contact(id)),
            None => Customer::Needs(Step::LookUpContact),
        },
    }
}

/// No contact can be had: that loses no handoff, unless the organization wants it so.
fn without_contact(settings: &Settings, memory: &Memory, progress: &Progress, why: fn() -> Fault) -> Customer {
    match settings.contact_failure {
        ContactFailure::Unlinked => nobody(settings, memory, progress),
        ContactFailure::DeadLetter => Customer::Impossible(why()),
    }
}

/// An incident without a contact of its own: contract 4, "No customer".
fn nobody(settings: &Settings, memory: &Memory, progress: &Progress) -> Customer {
    if !memory.learned.customer_required || settings.binds_customer_itself() {
        return Customer::Known(LinkedCustomer::Nobody);
    }
    match (settings.fallback_customer, memory.learned.placeholder) {
        (Some(fallback), _) => Customer::Known(LinkedCustomer::Fallback(fallback)),
        (None, Some(id)) => Customer::Known(LinkedCustomer::Placeholder(id)),
        (None, None) if progress.contacts_gone >= CONTACT_TRIES => Customer::Impossible(contact_gone()),
        (None, None) => Customer::Needs(Step::CreatePlaceholder),
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
    if memory.session.iter().any(|entry| entry.state == SessionState::Opening) {
        return Decision::Await(None);
    }
    if let Some(incident) = still_to_close(resolution, memory, progress) {
        return Decision::Call(closing_step(incident, closing(settings, memory), intent(incident, memory, progress)));
    }
    if !progress.closed.is_empty() {
        return Decision::Finish(Box::new(finish::closed(resolution, memory, progress, time)));
    }
    if !progress.missing.is_empty() {
        return skip(Reason::IncidentNotFound);
    }
    match known_as(memory) {
        Some(reason) => skip(reason),
        None => await_handoff(settings, time).unwrap_or_else(|| skip(Reason::NoIncident)),
    }
}

/// A case is closed without a look only where no request that may have closed it is on record.
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

/// The intent to close a case: this event's own, or that of another one of the session, of which nobody knows how it ended.
fn intent(incident: IncidentId, memory: &Memory, progress: &Progress) -> Option<Intent> {
    let own = progress.intent.clone().filter(|intent| intent.incident == incident);
    own.or_else(|| memory.closing(incident).map(|since| Intent { incident, since, seen: None }))
}

/// The next incident of the session that is open as far as the worker knows; where no handoff of it is
/// known, the one that the event names.
fn still_to_close(resolution: &Resolution, memory: &Memory, progress: &Progress) -> Option<IncidentId> {
    let done = |id: &IncidentId| progress.closed.contains(id) || progress.missing.contains(id);
    let open = memory.session.iter().find_map(|entry| match &entry.state {
        SessionState::Open { incident, .. } if !done(incident) => Some(*incident),
        _ => None,
    });
    open.or_else(|| {
        let named = resolution.incident_id.filter(|id| !done(id))?;
        let known = memory.session.iter().any(|entry| match &entry.state {
            SessionState::ClosedByMeta { incident } => *incident == named,
            SessionState::Dead => false,
            _ => true,
        });
        (!known).then_some(named)
    })
}

/// Why there is nothing to close in a session that the store knows.
fn known_as(memory: &Memory) -> Option<Reason> {
    let any = |wanted: fn(&SessionState) -> bool| memory.session.iter().any(|entry| wanted(&entry.state));
    if any(|state| matches!(state, SessionState::Closed { .. } | SessionState::ClosedByMeta { .. })) {
        return Some(Reason::AlreadyClosed);
    }
    any(|state| matches!(state, SessionState::Chat { .. })).then_some(Reason::LiveWorkItem)
}

fn await_handoff(settings: &Settings, time: Time) -> Option<Decision> {
    let until = time.first_seen.saturating_add(settings.resolution_wait).ok()?;
    (time.now < until).then_some(Decision::Await(Some(until)))
}

fn closing(settings: &Settings, memory: &Memory) -> Closing {
    match settings.close_with {
        CloseWith::CloseIncident => Closing::Action,
        CloseWith::Auto if memory.learned.close_by_action => Closing::Action,
        CloseWith::Patch | CloseWith::Auto => Closing::Patch,
    }
}

fn email_too_long() -> Fault {
    refusal(
        format!("the customer's email is longer than a contact's may be ({} characters)", contact_limit::EMAIL_LIMIT),
        "Have the publisher send the real email address, or set contact_failure = \"unlinked\".",
    )
}

fn keys_taken() -> Fault {
    refusal(
        format!("{CONTACT_TRIES} contacts that were created for this email have been given other emails since"),
        "Give one of the contacts created by the worker this email again, then replay the event.",
    )
}

fn contact_gone() -> Fault {
    refusal(
        format!("the contact was gone {CONTACT_TRIES} times when the incident was to be linked to it"),
        "See what deletes contacts right after they are created (a plug-in, a flow), then replay the event.",
    )
}

fn refusal(message: String, advice: &str) -> Fault {
    Fault { advice: advice.to_owned(), ..Fault::unanswered(StepName::LookUpContact, Remedy::GiveUp, message) }
}
