//! An event's texts by the customer, or by anybody about the customer.

use handoffd_engine::event::{Body, Event, Handoff, Message};

/// Relation of a text to the customer. It decides how little of the text is masked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TextKind {
    /// Name of the customer. Its words are masked even where they are words of Dataverse.
    Name,
    /// Email address or telephone number of the customer. Masked as their name is.
    Address,
    /// Name of a speaker, or a part of a name or an address. A speaker may be called "System" or "Customer".
    Speaker,
    /// Anything that was said.
    Speech,
}

/// A text, and its relation to the customer.
pub(super) type PrivateText<'a> = (&'a str, TextKind);

/// Lengths of the beginnings of a name's word that are found as words, in letters. Longer ones are found as parts of a text.
const BEGINNINGS: std::ops::Range<usize> = 4..8;

impl TextKind {
    /// Returns true for a text that identifies the customer: it is masked even where it is one of Dataverse's words.
    pub(super) fn is_identifying(self) -> bool {
        matches!(self, Self::Name | Self::Address)
    }

    /// Returns true for names.
    pub(super) fn is_name(self) -> bool {
        matches!(self, Self::Name | Self::Speaker)
    }
}

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
    let names = customer.name.iter().flat_map(|name| name_parts(name, TextKind::Name));
    let addresses = customer.email.as_deref().into_iter().chain(customer.phone.as_deref());
    let said = [handoff.summary.as_deref(), handoff.classification.as_deref()];
    names
        .chain(addresses.map(|text| (text, TextKind::Address)))
        .chain(local_part.into_iter().flat_map(|name| name_parts(name, TextKind::Speaker)))
        .chain(said.into_iter().flatten().map(|text| (text, TextKind::Speech)))
}

fn of_message(message: &Message) -> impl Iterator<Item = PrivateText<'_>> {
    let of_customer = message.sender.as_deref().is_some_and(|sender| sender.eq_ignore_ascii_case("customer"));
    let kind = if of_customer && message.name.as_deref() != message.sender.as_deref() {
        TextKind::Name
    } else {
        TextKind::Speaker
    };
    let speaker = message.name.iter().flat_map(move |name| name_parts(name, kind));
    speaker.chain(message.text.as_deref().map(|text| (text, TextKind::Speech)))
}

/// Returns a name and its parts: the words between blanks, the longer ones between hyphens and apostrophes, pairs of Korean
/// syllables, and the beginnings of words, as a name is cut to fit a column.
fn name_parts(name: &str, kind: TextKind) -> impl Iterator<Item = PrivateText<'_>> {
    let words = name.split_whitespace();
    let parts = || name.split(|c: char| !c.is_alphanumeric()).filter(|part| part.chars().nth(2).is_some());
    let is_syllable = |c: char| matches!(c, '가'..='힣');
    let neighbours = name.char_indices().zip(name.chars().skip(1));
    let pairs = neighbours
        .filter(move |((_, first), second)| is_syllable(*first) && is_syllable(*second))
        .map(|((at, first), second)| &name[at..at + first.len_utf8() + second.len_utf8()]);
    let shorter = words.chain(parts()).chain(pairs).filter(|part| part.len() < name.len());
    let begun = parts().flat_map(|part| {
        BEGINNINGS
            .filter_map(|length| part.char_indices().nth(length).map(|(end, _)| (&part[..end], TextKind::Speaker)))
    });
    std::iter::once(name).chain(shorter).map(move |text| (text, kind)).chain(begun)
}
