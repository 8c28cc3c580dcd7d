//! An answer, as the step's receipt, its fault, or one more look at what is there.

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::answer::{Answer, ErrorBody};
use super::classify::{classify, is_duplicate_key, is_missing_table};
use super::description::fit;
use super::keys;
use super::mask::{mask, one_line};
use super::request::{Request, read_contact, read_incident};
use super::text::cut;
use crate::event::{Body, ContactId, Event, Handoff, IncidentId};
use crate::machine::{
    CloseWith, Closing, ContactFailure, Fault, Fit, LinkedCustomer, QueueAssignment, QueueBinding, Receipt, Remedy,
    Settings, Step, StepName,
};

/// Dataverse's stock length of an incident's number, in UTF-16 units.
const TICKET_NUMBER_LIMIT: usize = 100;
/// Dataverse's codes have ten characters; what else stands there is cut to this.
const LONGEST_CODE: usize = 64;

/// What an answer means for its step.
#[derive(Clone, PartialEq, Debug)]
pub enum Reading {
    /// It is done.
    Receipt(Receipt),
    /// A record with our key is there already: read it, and give the answer to [`read_back`].
    LookBack(Request),
    /// It is not done.
    Fault(Fault),
}

/// A step that was sent, and in whose name.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// What was asked.
    pub step: &'a Step,
    /// For which event.
    pub event: &'a Event,
    /// By whose settings.
    pub settings: &'a Settings,
}

/// Reads the answer to a step's request.
pub fn read(sent: Sent<'_>, answer: &Answer, now: Timestamp) -> Reading {
    if answer.is_success() {
        // Without its representation, the incident's number is not known yet.
        if answer.body.is_empty() && matches!(sent.step, Step::PostIncident { .. }) {
            return Reading::LookBack(read_incident(sent.event));
        }
        return match done(sent, answer) {
            Some(receipt) => Reading::Receipt(receipt),
            None => Reading::Fault(unreadable(sent, answer)),
        };
    }
    let error = answer.error();
    if let Some(receipt) = already_so(sent, answer, &error).or_else(|| environment_wants(sent, answer, &error)) {
        return Reading::Receipt(receipt);
    }
    if is_duplicate_key(answer, &error)
        && let Some(reading) = look_back(sent)
    {
        return reading;
    }
    excuse(sent, fault(sent, answer, &error, now))
}

/// Reads the answer to a look back at a record with our key.
pub fn read_back(sent: Sent<'_>, answer: &Answer, now: Timestamp) -> Reading {
    let error = answer.error();
    if answer.status == 404 && !error.code.is_empty() {
        let mut fault = fault(sent, answer, &error, now);
        fault.remedy = Remedy::Retry;
        fault.advice = String::from(
            "Dynamics says that the record exists, and then that it does not: see whether another key of it (an \
             alternate key) is taken.",
        );
        return Reading::Fault(fault);
    }
    if !answer.is_success() {
        return excuse(sent, fault(sent, answer, &error, now));
    }
    match found(sent, answer) {
        Some(receipt) => Reading::Receipt(receipt),
        None => Reading::Fault(unreadable(sent, answer)),
    }
}

/// Reads the answer to a probe: nothing against the organization, or what is.
///
/// # Errors
/// Whatever the table of faults makes of it.
pub fn probed(answer: &Answer, now: Timestamp) -> Result<(), Fault> {
    if answer.is_success() {
        return Ok(());
    }
    let error = answer.error();
    // A probe holds no customer text that could be quoted.
    Err(refused(StepName::Probe, answer, &error, one_line(&error.message), now))
}

fn done(sent: Sent<'_>, answer: &Answer) -> Option<Receipt> {
    let body = answer.object();
    if body.is_none() && !answer.body.is_empty() {
        return None;
    }
    let key = &sent.event.key;
    match sent.step {
        Step::LookUpContact => looked_up(&body?),
        Step::CreateContact { generation } => {
            let email = handoff(sent.event)?.customer.email.as_deref()?;
            Some(Receipt::ContactCreated(keys::contact(&key.organization_id, email, *generation)))
        }
        Step::CreatePlaceholder => Some(Receipt::PlaceholderReady(keys::placeholder(&key.organization_id))),
        Step::PostIncident { .. } => posted(sent, body.as_ref()),
        Step::AssignQueue { .. } => Some(Receipt::QueueAssigned),
        Step::AttachTranscript { .. } => Some(Receipt::TranscriptAttached),
        Step::PostLiveWorkItem => Some(Receipt::WorkItemPosted(keys::work_item(key))),
        Step::CloseIncident { incident, .. } => Some(Receipt::IncidentClosed(*incident)),
    }
}

fn looked_up(body: &Value) -> Option<Receipt> {
    let rows = body.get("value")?.as_array()?;
    match rows.first() {
        None => Some(Receipt::ContactAbsent),
        Some(row) => Some(Receipt::ContactFound(ContactId(guid(row, "contactid")?))),
    }
}

fn posted(sent: Sent<'_>, body: Option<&Value>) -> Option<Receipt> {
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
    })
}

/// A number as Dynamics makes them; it is shown in lists, and kept in a store of small values.
fn ticket_number(text: &str) -> Option<String> {
    let number = one_line(text);
    Some(cut(&number, TICKET_NUMBER_LIMIT).trim_end().to_owned()).filter(|number| !number.is_empty())
}

/// "Already there" is no fault.
fn already_so(sent: Sent<'_>, answer: &Answer, error: &ErrorBody) -> Option<Receipt> {
    match sent.step {
        Step::CloseIncident { incident, .. } if is_closed(error) => Some(Receipt::IncidentClosed(*incident)),
        // `If-Match: *` fails for one reason only: there is no such row.
        Step::CloseIncident { incident, how: Closing::Patch } if answer.status == 412 => {
            Some(Receipt::IncidentMissing(*incident))
        }
        // Not even a gateway's page: the row is not there, and whoever answers says no more.
        Step::CloseIncident { incident, how: Closing::Patch } if answer.status == 404 && answer.body.is_empty() => {
            Some(Receipt::IncidentMissing(*incident))
        }
        Step::CloseIncident { incident, .. } if is_missing_row(answer, error) => {
            Some(Receipt::IncidentMissing(*incident))
        }
        Step::AssignQueue { .. } => {
            let there = matches!(error.code.as_str(), "0x80040526" | "0x8004051b");
            let says = error.says("already") && error.says("queue");
            (there || says).then_some(Receipt::QueueAssigned)
        }
        _ => None,
    }
}

fn is_closed(error: &ErrorBody) -> bool {
    let says = error.says("already") && (error.says("closed") || error.says("resolved"));
    error.code == "0x80044411" || (error.code.is_empty() && says)
}

/// Refusals that tell how this environment wants it: the machine asks differently next time.
fn environment_wants(sent: Sent<'_>, answer: &Answer, error: &ErrorBody) -> Option<Receipt> {
    match sent.step {
        Step::PostIncident { customer, queue } => incident_wants(sent, *customer, *queue, answer, error),
        Step::CloseIncident { how: Closing::Patch, .. } => {
            let insists = sent.settings.close_with == CloseWith::Auto && error.says("CloseIncidentRequest");
            insists.then_some(Receipt::CloseActionRequired)
        }
        _ => None,
    }
}

fn incident_wants(
    sent: Sent<'_>,
    customer: LinkedCustomer,
    queue: QueueBinding,
    answer: &Answer,
    error: &ErrorBody,
) -> Option<Receipt> {
    // The worker sends no customer of its own where `ticket_properties` do.
    let customer = if sent.settings.binds_customer_itself() { LinkedCustomer::Nobody } else { customer };
    let unknown = error.says("undeclared property") || error.says("does not exist on type");
    let undeclared = unknown && (names(error, &sent.settings.queue_field) || names_nothing(error));
    if queue == QueueBinding::Bound && sent.settings.queue_assignment == QueueAssignment::Auto && undeclared {
        return Some(Receipt::QueueFieldUndeclared);
    }
    let wants_customer = error.code == "0x80044410" || error.says("specify a parent contact or account");
    if customer == LinkedCustomer::Nobody && wants_customer && !sent.settings.binds_customer_itself() {
        return Some(Receipt::CustomerRequired);
    }
    if !is_missing_row(answer, error) {
        return None;
    }
    match customer {
        LinkedCustomer::Contact(id) if blames(error, id) => Some(Receipt::ContactGone),
        LinkedCustomer::Placeholder(id) if blames(error, id) => Some(Receipt::PlaceholderGone),
        _ => None,
    }
}

/// Whether a missing row is this contact, as far as the message tells: it names its key, or no key at all.
fn blames(error: &ErrorBody, contact: ContactId) -> bool {
    error.says(&contact.to_string()) || !names_a_key(&error.message)
}

/// Whether the message names this property, and not one whose name it is a part of.
fn names(error: &ErrorBody, property: &str) -> bool {
    let mut words = error.message.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.any(|word| word.eq_ignore_ascii_case(property))
}

/// Whether the message quotes no property at all: then the queue's is the one to try without.
fn names_nothing(error: &ErrorBody) -> bool {
    !error.message.contains(['\'', '"', '`', '@'])
}

fn names_a_key(message: &str) -> bool {
    message.split(|c: char| !c.is_ascii_hexdigit() && c != '-').any(|word| Uuid::parse_str(word).is_ok())
}

/// A row that is not there; not a whole table.
fn is_missing_row(answer: &Answer, error: &ErrorBody) -> bool {
    error.code == "0x80040217" || (answer.status == 404 && !is_missing_table(error) && !error.message.is_empty())
}

fn look_back(sent: Sent<'_>) -> Option<Reading> {
    let key = &sent.event.key;
    match sent.step {
        Step::CreateContact { generation } => {
            let email = handoff(sent.event)?.customer.email.as_deref()?;
            Some(Reading::LookBack(read_contact(sent.event, email, *generation)))
        }
        Step::PostIncident { .. } => Some(Reading::LookBack(read_incident(sent.event))),
        // Their keys say all there is to know.
        Step::CreatePlaceholder => {
            Some(Reading::Receipt(Receipt::PlaceholderReady(keys::placeholder(&key.organization_id))))
        }
        Step::AttachTranscript { .. } => Some(Reading::Receipt(Receipt::TranscriptAttached)),
        Step::PostLiveWorkItem => Some(Reading::Receipt(Receipt::WorkItemPosted(keys::work_item(key)))),
        Step::LookUpContact | Step::AssignQueue { .. } | Step::CloseIncident { .. } => None,
    }
}

fn found(sent: Sent<'_>, answer: &Answer) -> Option<Receipt> {
    let body = answer.object()?;
    match sent.step {
        Step::CreateContact { generation } => {
            let wanted = handoff(sent.event)?.customer.email.as_deref()?;
            let id = keys::contact(&sent.event.key.organization_id, wanted, *generation);
            let email = body.get("emailaddress1").and_then(Value::as_str).unwrap_or_default();
            let same = email.trim().to_lowercase() == wanted.to_lowercase();
            Some(if same { Receipt::ContactCreated(id) } else { Receipt::ContactKeyTaken })
        }
        _ => posted(sent, Some(&body)),
    }
}

/// A contact that Dynamics refuses does not lose the handoff, unless the organization wants it so.
fn excuse(sent: Sent<'_>, fault: Fault) -> Reading {
    let of_contact = matches!(sent.step, Step::LookUpContact | Step::CreateContact { .. });
    let unlinked = sent.settings.contact_failure == ContactFailure::Unlinked;
    if of_contact && unlinked && fault.remedy == Remedy::GiveUp {
        return Reading::Receipt(Receipt::ContactRefused);
    }
    Reading::Fault(fault)
}

fn fault(sent: Sent<'_>, answer: &Answer, error: &ErrorBody, now: Timestamp) -> Fault {
    if answer.is_broken() && matches!(answer.status, 400 | 404 | 405 | 413 | 422) {
        // A refusal for good, or only of a property that we can do without: its words would tell.
        return unreadable(sent, answer);
    }
    refused(sent.step.name(), answer, error, mask(&error.message, sent.event), now)
}

fn refused(step: StepName, answer: &Answer, error: &ErrorBody, said: String, now: Timestamp) -> Fault {
    let verdict = classify(step, answer, error, now);
    let nothing = || format!("HTTP status {} without a Dynamics error", answer.status);
    Fault {
        remedy: verdict.remedy,
        step,
        status: Some(answer.status),
        code: (!error.code.is_empty()).then(|| cut(&one_line(&error.code), LONGEST_CODE).to_owned()),
        message: if said.is_empty() { nothing() } else { said },
        advice: verdict.advice,
        request_id: answer.request_id.clone(),
    }
}

fn unreadable(sent: Sent<'_>, answer: &Answer) -> Fault {
    Fault {
        remedy: Remedy::Retry,
        step: sent.step.name(),
        status: Some(answer.status),
        code: None,
        message: format!("unreadable answer of {} bytes: expected JSON from the Web API", answer.body.len()),
        advice: "If this stays: see whether environment_url, or a proxy in between, answers with a page of its own."
            .to_owned(),
        request_id: answer.request_id.clone(),
    }
}

fn handoff(event: &Event) -> Option<&Handoff> {
    match &event.body {
        Body::Handoff(handoff) => Some(handoff),
        Body::Resolution(_) => None,
    }
}

fn guid(row: &Value, field: &str) -> Option<Uuid> {
    row.get(field)?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests;
