//! Refusals that tell how an environment wants it: the machine asks differently next time.

use handoffd_engine::event::ContactId;
use handoffd_engine::workflow::{
    CloseWith, Closing, LinkedCustomer, NoteForm, QueueAssignment, QueueBinding, Receipt, Step,
};
use uuid::Uuid;

use super::{Sent, is_missing_row};
use crate::dynamics::answer::{Answer, ErrorBody};

/// A deactivated contact or account can't be a customer.
const INACTIVE_CUSTOMER: &str = "0x80040517";
/// One row that this user has no access to.
const NO_ACCESS_TO_ROW: &str = "0x80048306";
/// An attachment's type is blocked, it is too large, its name is illegal.
const NO_ATTACHMENT: &[&str] = &["0x80043e09", "0x80044a02", "0x80044a08"];
/// A text is longer than its column.
const TOO_LONG: &str = "0x80044331";
/// Length of a live work item's subject where a refusal does not name it (Microsoft's own table).
const SUBJECT_LIMIT: u32 = 200;

/// Refusals that tell how this environment wants it: the machine asks differently next time.
pub(super) fn environment_wants(sent: Sent<'_>, answer: &Answer, error: &ErrorBody) -> Option<Receipt> {
    match sent.step {
        Step::PostIncident { customer, queue } => incident_wants(sent, *customer, *queue, answer, error),
        Step::CloseIncident { how: Closing::Patch, .. } => {
            let insists = sent.settings.close_with == CloseWith::Auto && error.says("CloseIncidentRequest");
            insists.then_some(Receipt::CloseActionRequired)
        }
        Step::AttachTranscript { part: NoteForm::Attachment, .. } => {
            let is_large = answer.status == 413 && !answer.is_broken();
            let refused = NO_ATTACHMENT.contains(&error.code.as_str()) || is_large;
            refused.then_some(Receipt::AttachmentsRefused)
        }
        Step::PostLiveWorkItem { subject_limit } if error.code == TOO_LONG && is_of_subject(error) => {
            let limit = longest_named(&error.message).unwrap_or(SUBJECT_LIMIT);
            subject_limit.is_none_or(|known| limit < known).then_some(Receipt::SubjectLimited(limit))
        }
        _ => None,
    }
}

/// Whether a text that is too long is the subject, as far as the message tells.
fn is_of_subject(error: &ErrorBody) -> bool {
    names(error, "subject") || !error.message.contains('\'')
}

/// The length that a message names last: "exceeded the maximum allowed length of '200'".
fn longest_named(message: &str) -> Option<u32> {
    message.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).next_back()
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
    let is_unusable = error.code == INACTIVE_CUSTOMER || error.code == NO_ACCESS_TO_ROW;
    match customer {
        LinkedCustomer::Contact(id) if is_unusable && blames(error, id) => Some(Receipt::ContactGone),
        LinkedCustomer::Contact(id) if is_missing_row(answer, error) && blames(error, id) => Some(Receipt::ContactGone),
        LinkedCustomer::Placeholder(id) if is_missing_row(answer, error) && blames(error, id) => {
            Some(Receipt::PlaceholderGone)
        }
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
