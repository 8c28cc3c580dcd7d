//! Interpretation of an answer to a step's request: a receipt, a fault, or a request to read the record back.
//!
//! "Duplicate key" is never believed by itself: the record is read back under its own key first.

mod looks;
mod meaning;
mod step_context;
mod wants;

use handoffd_engine::event::{Body, ContactId, Event, Handoff, IncidentId};
use handoffd_engine::text::cut;
use handoffd_engine::workflow::{Closing, Fault, Fit, NoteForm, Receipt, Remedy, Step, StepName, allow_unlinked};
use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::answer::{Answer, ErrorBody};
use super::classify::{classify, is_duplicate_key, is_missing_row};
use super::description::fit;
use super::keys;
use super::mask::one_line;
use super::request::{is_last_part, read_contact, read_incident, read_note, read_placeholder, read_work_item, subject};

use looks::{guid, in_their_clock, is_active, looked_up, rows, seen, survivor};
use wants::environment_wants;

pub(super) use meaning::ReplyMeaning;
pub(super) use step_context::StepContext;

/// Dataverse's default length of an incident's number, in UTF-16 units.
const TICKET_NUMBER_LIMIT: usize = 100;
/// Codes for a case that is resolved (two codes) or inactive in another way.
const INACTIVE: &[&str] = &["0x80044411", "0x800404cf", "0x80040230"];
/// Advice for a case whose version changed between the check and the request to close it.
const CHANGED: &str = "The case was changed after it was checked. If this persists, find the plug-in or flow that changes it \
                       again and again.";
/// Code for a deactivated case, which can't be added to a queue.
const CLOSED_BEFORE_QUEUED: &str = "0x8004051e";

/// Interprets the answer to a step's request.
pub(super) fn read(sent: StepContext<'_>, answer: &Answer, now: Timestamp) -> ReplyMeaning {
    if answer.is_success() {
        if lacks_record(sent, answer)
            && let Some(reading) = look_back(sent)
        {
            return reading;
        }
        return done(sent, answer, now).unwrap_or_else(|| ReplyMeaning::Fault(unreadable(sent, answer)));
    }
    let error = answer.error();
    if let Some(receipt) = already_done(sent, answer, &error).or_else(|| environment_wants(sent, answer, &error)) {
        return ReplyMeaning::Receipt(receipt);
    }
    if is_duplicate_key(answer, &error)
        && let Some(reading) = look_back(sent)
    {
        return reading;
    }
    excused(sent, fault(sent, answer, &error, now))
}

/// Interprets the answer to reading back a record: one with a derived key, after an answer that was not believed, or the
/// contact that another was merged into, after `earlier` ones.
pub(super) fn read_back(
    sent: StepContext<'_>,
    first: &Answer,
    earlier: usize,
    answer: &Answer,
    now: Timestamp,
) -> ReplyMeaning {
    let error = answer.error();
    let next_survivor = || survivor(&first.object().unwrap_or_default(), earlier + 1);
    if is_missing_row(answer, &error) || answer.status == 404 && !error.code.is_empty() {
        if matches!(sent.step, Step::LookUpContact) {
            return next_survivor();
        }
        // Something else than Dynamics answered the request.
        if first.is_success() {
            return ReplyMeaning::Fault(unreadable(sent, first));
        }
        // The first message names the rule, such as an alternate key; that there is no record says nothing.
        let mut fault = fault(sent, first, &first.error(), now);
        fault.remedy = Remedy::GiveUp;
        fault.advice = String::from(
            "Dynamics reports that the record exists, but none has its key. Another rule of the environment refuses it \
             (an alternate key, a plug-in). Find the record with the same value and correct it, then replay.",
        );
        return excused(sent, fault);
    }
    if !answer.is_success() {
        return excused(sent, fault(sent, answer, &error, now));
    }
    match found(sent, answer) {
        Some(Receipt::ContactAbsent) => next_survivor(),
        Some(receipt) => ReplyMeaning::Receipt(receipt),
        None => ReplyMeaning::Fault(unreadable(sent, answer)),
    }
}

/// Interprets the answer to a probe.
///
/// # Errors
/// Returns the classified fault of an answer other than success.
pub(super) fn probed(answer: &Answer, now: Timestamp) -> Result<(), Fault> {
    if answer.is_success() {
        return Ok(());
    }
    let error = answer.error();
    Err(refused(StepName::Probe, None, answer, &error, now))
}

/// Returns true if a representation was asked for and the answer has none. Without it an incident's number is unknown. A
/// work item needs none, but Dynamics does not answer a create with an empty 200, as other servers do.
fn lacks_record(sent: StepContext<'_>, answer: &Answer) -> bool {
    match sent.step {
        Step::PostIncident { .. } => answer.body.is_empty(),
        Step::PostLiveWorkItem { .. } if answer.status == 200 => {
            answer.body.is_empty() || answer.object() == Some(Value::Object(Map::new()))
        }
        _ => false,
    }
}

fn done(sent: StepContext<'_>, answer: &Answer, now: Timestamp) -> Option<ReplyMeaning> {
    let body = answer.object();
    if body.is_none() && !answer.body.is_empty() {
        return None;
    }
    let receipt = match sent.step {
        Step::LookUpContact => return looked_up(&body?),
        Step::CreateContact { generation } => {
            let email = handoff(sent.event)?.customer.email.as_deref()?;
            Some(Receipt::ContactCreated(keys::contact(&sent.event.key.organization_id, email, *generation)))
        }
        Step::CreatePlaceholder | Step::AttachTranscript { .. } | Step::PostLiveWorkItem { .. } => made(sent),
        Step::PostIncident { .. } => posted(sent, body.as_ref(), false),
        Step::LookForQueueItem { .. } => {
            let is_queued = !rows(&body?)?.is_empty();
            Some(if is_queued { Receipt::QueueAssigned } else { Receipt::NotInAnyQueue })
        }
        Step::AssignQueue { .. } => Some(Receipt::QueueAssigned),
        Step::CloseIncident { incident, .. } => Some(Receipt::IncidentClosed(*incident)),
        Step::LookAtIncident { incident, since } => {
            seen(&body?, answer.etag.as_deref(), *incident, in_their_clock(*since, answer, now))
        }
        Step::LookForResolution { incident, .. } => {
            let was_closed = !rows(&body?)?.is_empty();
            Some(if was_closed { Receipt::IncidentTouched(*incident) } else { Receipt::IncidentNeverClosed })
        }
    };
    receipt.map(ReplyMeaning::Receipt)
}

/// Returns the receipt of a record that is identified by its key alone.
fn made(sent: StepContext<'_>) -> Option<Receipt> {
    match sent.step {
        Step::CreatePlaceholder => Some(Receipt::PlaceholderReady(keys::placeholder(&sent.event.key.organization_id))),
        Step::AttachTranscript { part, .. } => Some(attached(sent.event, *part)),
        Step::PostLiveWorkItem { subject_limit } => Some(work_item(sent.event, *subject_limit)),
        _ => None,
    }
}

fn attached(event: &Event, part: NoteForm) -> Receipt {
    match part {
        NoteForm::Attachment => Receipt::TranscriptAttached,
        NoteForm::Text(part) => {
            let is_last = handoff(event).is_none_or(|handoff| is_last_part(handoff, part));
            Receipt::TextNoteAttached { is_last }
        }
    }
}

fn work_item(event: &Event, subject_limit: Option<u32>) -> Receipt {
    let cut = |handoff: &Handoff| subject(handoff, subject_limit) != handoff.summary.as_deref();
    Receipt::WorkItemPosted { id: keys::work_item(&event.key), subject_cut: handoff(event).is_some_and(cut) }
}

fn posted(sent: StepContext<'_>, body: Option<&Value>, existed: bool) -> Option<Receipt> {
    let Step::PostIncident { customer, queue } = sent.step else {
        return None;
    };
    let key = keys::incident(&sent.event.key);
    let id = match body {
        Some(body) => IncidentId(guid(body, "incidentid")?),
        None => key,
    };
    Some(Receipt::IncidentPosted {
        id,
        ticket_number: body.and_then(|body| body.get("ticketnumber")?.as_str().and_then(ticket_number)),
        customer: *customer,
        queue: *queue,
        transcript: handoff(sent.event).map_or(Fit::Whole, |handoff| fit(handoff, sent.settings.description_limit)),
        existed,
    })
}

/// Returns a usable incident number: on one line and cut to size, as lists and the store contain it.
fn ticket_number(text: &str) -> Option<String> {
    let number = one_line(text);
    Some(cut(&number, TICKET_NUMBER_LIMIT).trim_end().to_owned()).filter(|number| !number.is_empty())
}

/// Recognizes refusals that mean the step's result already holds.
fn already_done(sent: StepContext<'_>, answer: &Answer, error: &ErrorBody) -> Option<Receipt> {
    match sent.step {
        Step::CloseIncident { incident, .. } if is_inactive(error) => Some(Receipt::IncidentClosed(*incident)),
        // An empty body is no gateway's page, so the row itself does not exist.
        Step::CloseIncident { incident, how: Closing::Patch, .. } | Step::LookAtIncident { incident, .. }
            if answer.status == 404 && answer.body.is_empty() =>
        {
            Some(Receipt::IncidentMissing(*incident))
        }
        Step::CloseIncident { incident, .. } | Step::LookAtIncident { incident, .. }
            if is_missing_row(answer, error) =>
        {
            Some(Receipt::IncidentMissing(*incident))
        }
        Step::AssignQueue { .. } if error.code == CLOSED_BEFORE_QUEUED => Some(Receipt::ClosedBeforeQueued),
        Step::AssignQueue { .. } => {
            let there = matches!(error.code.as_str(), "0x80040526" | "0x8004051b");
            let says = error.says("already") && error.says("queue");
            (there || says).then_some(Receipt::QueueAssigned)
        }
        _ => None,
    }
}

/// Returns true if the case is resolved, cancelled or merged, so that nothing is left to close.
fn is_inactive(error: &ErrorBody) -> bool {
    let says = error.says("already") && (error.says("closed") || error.says("resolved"));
    INACTIVE.contains(&error.code.as_str()) || (error.code.is_empty() && says)
}

fn look_back(sent: StepContext<'_>) -> Option<ReplyMeaning> {
    match sent.step {
        Step::CreateContact { generation } => {
            let email = handoff(sent.event)?.customer.email.as_deref()?;
            Some(ReplyMeaning::LookBack(read_contact(sent.event, email, *generation)))
        }
        Step::PostIncident { .. } => Some(ReplyMeaning::LookBack(read_incident(sent.event))),
        Step::CreatePlaceholder => Some(ReplyMeaning::LookBack(read_placeholder(sent.event))),
        Step::AttachTranscript { part, .. } => Some(ReplyMeaning::LookBack(read_note(sent.event, *part))),
        Step::PostLiveWorkItem { .. } => Some(ReplyMeaning::LookBack(read_work_item(sent.event, sent.settings))),
        Step::LookUpContact
        | Step::LookForQueueItem { .. }
        | Step::AssignQueue { .. }
        | Step::CloseIncident { .. }
        | Step::LookAtIncident { .. }
        | Step::LookForResolution { .. } => None,
    }
}

fn found(sent: StepContext<'_>, answer: &Answer) -> Option<Receipt> {
    let body = answer.object()?;
    match sent.step {
        Step::CreateContact { generation } => {
            let wanted = handoff(sent.event)?.customer.email.as_deref()?;
            let id = keys::contact(&sent.event.key.organization_id, wanted, *generation);
            // Column security may hide the email.
            let email = body.get("emailaddress1").filter(|email| !email.is_null());
            let is_wanted = |email: &str| email.trim().to_lowercase() == wanted.to_lowercase();
            let same = email.is_none_or(|email| email.as_str().is_some_and(is_wanted));
            let is_it = same && is_active(&body);
            Some(if is_it { Receipt::ContactCreated(id) } else { Receipt::ContactKeyTaken })
        }
        Step::LookUpContact if is_active(&body) => Some(Receipt::ContactFound(ContactId(guid(&body, "contactid")?))),
        Step::LookUpContact => Some(Receipt::ContactAbsent),
        Step::CreatePlaceholder | Step::AttachTranscript { .. } | Step::PostLiveWorkItem { .. } => made(sent),
        // A create whose answer did not contain the record is not a second record.
        _ => posted(sent, Some(&body), true),
    }
}

fn excused(sent: StepContext<'_>, fault: Fault) -> ReplyMeaning {
    allow_unlinked(sent.step, sent.settings, fault).map_or_else(ReplyMeaning::Fault, ReplyMeaning::Receipt)
}

fn fault(sent: StepContext<'_>, answer: &Answer, error: &ErrorBody, now: Timestamp) -> Fault {
    // Without a readable message, a permanent refusal looks like that of a dispensable property. A page with status 404 is
    // different: it stands for a missing environment.
    let hides_why = match answer.status {
        400 | 405 | 413 | 422 => !answer.body.is_empty() && answer.object().is_none(),
        404 => answer.is_broken(),
        _ => false,
    };
    if hides_why {
        return unreadable(sent, answer);
    }
    let owner = sent.settings.default_owner_id;
    let fault = refused(sent.step.name(), owner, answer, error, now);
    match sent.step {
        // The case has another version, or none: the retry checks it, after a pause, for the answer may stay the same.
        Step::CloseIncident { how: Closing::Patch, .. } if answer.status == 412 && fault.remedy == Remedy::Retry => {
            Fault { advice: CHANGED.to_owned(), ..fault }
        }
        _ => fault,
    }
}

fn refused(step: StepName, owner: Option<Uuid>, answer: &Answer, error: &ErrorBody, now: Timestamp) -> Fault {
    let verdict = classify(step, owner, answer, error, now);
    let said = &answer.shown.message;
    let nothing = || format!("HTTP status {} without a Dynamics error", answer.status);
    Fault {
        remedy: verdict.remedy,
        step,
        status: Some(answer.status),
        code: answer.shown.code.clone(),
        message: if said.is_empty() { nothing() } else { said.clone() },
        advice: verdict.advice,
        request_id: answer.request_id.map(|id| id.to_string()),
    }
}

fn unreadable(sent: StepContext<'_>, answer: &Answer) -> Fault {
    Fault {
        remedy: Remedy::Retry,
        step: sent.step.name(),
        status: Some(answer.status),
        code: None,
        message: format!("unreadable answer of {} bytes; expected JSON from the Web API", answer.body.len()),
        advice: "If this persists, check whether environment_url or a proxy in between answers with a page of its own."
            .to_owned(),
        request_id: answer.request_id.map(|id| id.to_string()),
    }
}

fn handoff(event: &Event) -> Option<&Handoff> {
    match &event.body {
        Body::Handoff(handoff) => Some(handoff),
        Body::Resolution(_) => None,
    }
}

#[cfg(test)]
mod tests;
