//! An event's texts by the customer, or by anybody about the customer.

use handoffd_engine::event::{Body, Event, Handoff, Message};

use super::fold::is_dense;

/// A text, and true if it identifies the customer: it is masked even where it is one of Dataverse's words.
pub(super) type PrivateText<'a> = (&'a str, bool);

/// Returns the texts of an event. A resolution has none, although its case has.
pub(super) fn texts(event: &Event) -> Box<dyn Iterator<Item = PrivateText<'_>> + Send + '_> {
    match &event.body {
        Body::Handoff(handoff) => Box::new(of_customer(handoff).chain(handoff.transcript.iter().flat_map(of_message))),
        Body::Resolution(_) => Box::new(std::iter::empty()),
    }
}

fn of_customer(handoff: &Handoff) -> impl Iterator<Item = PrivateText<'_>> {
    let customer = &handoff.customer;
    let local_part = customer.email.as_deref().and_then(|email| email.split_once('@')).map(|(name, _)| name);
    let names = customer.name.iter().flat_map(|name| name_parts(name));
    let exact = names.chain(customer.email.as_deref()).chain(customer.phone.as_deref()).map(|text| (text, true));
    let others = [local_part, handoff.summary.as_deref(), handoff.classification.as_deref()];
    exact.chain(others.into_iter().flatten().map(|text| (text, false)))
}

fn of_message(message: &Message) -> impl Iterator<Item = PrivateText<'_>> {
    // Speakers are called "System" and "Customer" as well.
    let speaker = message.name.iter().flat_map(|name| name_parts(name));
    speaker.chain(message.text.as_deref()).map(|text| (text, false))
}

/// Returns a name and its parts: the words between blanks, the longer ones between hyphens and apostrophes, pairs of ideographs
/// and of Korean syllables.
fn name_parts(name: &str) -> impl Iterator<Item = &str> {
    let words = name.split_whitespace();
    let parts = name.split(|c: char| !c.is_alphanumeric()).filter(|part| part.chars().nth(2).is_some());
    let is_syllable = |c: char| is_dense(c) || matches!(c, '가'..='힣');
    let neighbours = name.char_indices().zip(name.chars().skip(1));
    let pairs = neighbours
        .filter(move |((_, first), second)| is_syllable(*first) && is_syllable(*second))
        .map(|((at, first), second)| &name[at..at + first.len_utf8() + second.len_utf8()]);
    let shorter = words.chain(parts).chain(pairs).filter(|part| part.len() < name.len());
    std::iter::once(name).chain(shorter)
}
