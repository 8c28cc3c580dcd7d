//! Refusals that reveal a requirement of the environment, to which the workflow adapts its next request.

use handoffd_engine::event::ContactId;
use handoffd_engine::workflow::{
    CloseWith, Closing, LinkedCustomer, NoteForm, QueueAssignment, QueueBinding, Receipt, Step,
};
use uuid::Uuid;

use super::step_context::StepContext;
use crate::dynamics::answer::{Answer, ErrorBody};
use crate::dynamics::classify::is_missing_row;

/// Code for a deactivated contact or account, which can't be a customer.
const INACTIVE_CUSTOMER: &str = "0x80040517";
/// Code for a row to which the user has no access.
const NO_ACCESS_TO_ROW: &str = "0x80048306";
/// Codes for an attachment with a blocked type, an excessive size or an illegal name.
const NO_ATTACHMENT: &[&str] = &["0x80043e09", "0x80044a02", "0x80044a08"];
/// Code for a text that is longer than its column.
const TOO_LONG: &str = "0x80044331";
/// Assumed length of a live work item's subject if the refusal does not name it (that of Microsoft's own table).
const SUBJECT_LIMIT: u32 = 200;

/// Recognizes a refusal that reveals a requirement of the environment.
pub(super) fn environment_wants(sent: StepContext<'_>, answer: &Answer, error: &ErrorBody) -> Option<Receipt> {
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

/// Returns true if the text that is too long is the subject, or if the message does not name it.
fn is_of_subject(error: &ErrorBody) -> bool {
    names(error, "subject") || !error.message.contains('\'')
}

/// Returns the last number in a message such as "exceeded the maximum allowed length of '4,000'". No length is 0.
fn longest_named(message: &str) -> Option<u32> {
    let mut numbers = message.split(|c: char| !c.is_ascii_digit() && !is_separator(c)).filter_map(number);
    numbers.rfind(|length| *length > 0)
}

/// Reads a number with or without separators of thousands; of several numbers the last.
fn number(text: &str) -> Option<u32> {
    let text = text.trim_matches(is_separator);
    let mut groups = text.split(is_separator);
    let is_one = groups.next().is_some_and(|first| first.len() <= 3) && groups.all(|group| group.len() == 3);
    if is_one { text.replace(is_separator, "").parse().ok() } else { text.rsplit(is_separator).next()?.parse().ok() }
}

/// Separators of thousands in the languages of Dynamics, as far as they don't separate words too.
fn is_separator(c: char) -> bool {
    matches!(c, ',' | '.' | '\u{a0}' | '\u{202f}' | '\u{2019}')
}

fn incident_wants(
    sent: StepContext<'_>,
    customer: LinkedCustomer,
    queue: QueueBinding,
    answer: &Answer,
    error: &ErrorBody,
) -> Option<Receipt> {
    // The worker sends no customer if `ticket_properties` contain one.
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

/// Returns true if the message names this contact's key, or no key at all.
fn blames(error: &ErrorBody, contact: ContactId) -> bool {
    error.says(&contact.to_string()) || !names_a_key(&error.message)
}

/// Returns true if the message names this property as a whole word.
fn names(error: &ErrorBody, property: &str) -> bool {
    let mut words = error.message.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.any(|word| word.eq_ignore_ascii_case(property))
}

/// Returns true if the message quotes no property at all. The queue's property is then the one to omit.
fn names_nothing(error: &ErrorBody) -> bool {
    !error.message.contains(['\'', '"', '`', '@'])
}

fn names_a_key(message: &str) -> bool {
    message.split(|c: char| !c.is_ascii_hexdigit() && c != '-').any(|word| Uuid::parse_str(word).is_ok())
}
