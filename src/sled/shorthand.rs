//! JSON in fewer bytes: names that every record has, and UUIDs, are most of its text. Pure.
//!
//! A byte that is in no UTF-8 text stands before each abbreviation: `FF` and a number for a word, `FE` and 16 bytes for a
//! UUID, `FD` and 12 bytes for a time. JSON without any is read as it is.

use std::io::{self, Write};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use uuid::Uuid;

use super::keys::{TIME, read_time, time};

const WORD: u8 = 0xFF;
const ID: u8 = 0xFE;
const MOMENT: u8 = 0xFD;

/// Words by number: what is stored depends on their order, so new ones go to the end.
const WORDS: &[&str] = &[
    "kind",
    "session_id",
    "body_digest",
    "first_seen",
    "attempts",
    "phase",
    "finished",
    "dead",
    "in_hand",
    "waiting",
    "progress",
    "history",
    "at",
    "attempt",
    "step",
    "elapsed_ms",
    "status",
    "code",
    "error",
    "request_id",
    "route",
    "channel",
    "incident",
    "ticket_number",
    "closed",
    "work_item",
    "contact_id",
    "warnings",
    "reason",
    "finished_at",
    "id",
    "contact",
    "queue",
    "transcript",
    "known",
    "absent",
    "generation",
    "handoff",
    "resolution",
    "succeeded",
    "skipped",
    "failed",
    "post_incident",
    "no_queue",
    "unbound",
    "bound",
    "whole",
    "live_work_item",
    "email",
    "open",
    "opening",
    "message",
    "advice",
    "queue_assigned",
    "transcript_attached",
    "contacts_gone",
    "settled",
];

/// Appends this as JSON in shorthand.
pub(super) fn write(to: &mut Vec<u8>, content: &impl Serialize) -> serde_json::Result<()> {
    content.serialize(&mut Serializer::with_formatter(to, Shorthand))
}

/// The JSON again; none when an abbreviation is unknown or cut off.
pub(super) fn expand(short: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(short.len() * 3);
    let mut rest = short;
    while let Some(at) = rest.iter().position(|byte| matches!(*byte, WORD | ID | MOMENT)) {
        text.extend_from_slice(&rest[..at]);
        let (sign, after) = rest[at..].split_first()?;
        rest = if *sign == WORD {
            let (number, after) = after.split_first()?;
            text.extend_from_slice(WORDS.get(usize::from(*number))?.as_bytes());
            after
        } else if *sign == MOMENT {
            text.extend_from_slice(read_time(after)?.to_string().as_bytes());
            &after[TIME..]
        } else {
            let (id, after) = after.split_first_chunk::<16>()?;
            let mut hyphenated = Uuid::encode_buffer();
            text.extend_from_slice(Uuid::from_bytes(*id).hyphenated().encode_lower(&mut hyphenated).as_bytes());
            after
        };
    }
    text.extend_from_slice(rest);
    Some(text)
}

struct Shorthand;

impl Formatter for Shorthand {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if let Some(number) = number(fragment) {
            return writer.write_all(&[WORD, number]);
        }
        if let Some(at) = moment(fragment) {
            writer.write_all(&[MOMENT])?;
            return writer.write_all(&time(at));
        }
        match id(fragment) {
            Some(id) => {
                writer.write_all(&[ID])?;
                writer.write_all(id.as_bytes())
            }
            None => writer.write_all(fragment.as_bytes()),
        }
    }
}

fn number(word: &str) -> Option<u8> {
    let at = WORDS.iter().position(|known| known.len() == word.len() && *known == word)?;
    u8::try_from(at).ok()
}

/// A UUID that reads back as it was written.
fn id(text: &str) -> Option<Uuid> {
    if text.len() != 36 {
        return None;
    }
    let id = Uuid::try_parse(text).ok()?;
    let mut hyphenated = Uuid::encode_buffer();
    (id.hyphenated().encode_lower(&mut hyphenated) == text).then_some(id)
}

/// A time that reads back as it was written.
fn moment(text: &str) -> Option<Timestamp> {
    if !text.ends_with('Z') || !(20..=30).contains(&text.len()) {
        return None;
    }
    let at: Timestamp = text.parse().ok()?;
    (at.to_string() == text).then_some(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            prop::sample::select(WORDS).prop_map(str::to_owned),
            any::<u128>().prop_map(|id| Uuid::from_u128(id).to_string()),
            any::<u128>().prop_map(|id| Uuid::from_u128(id).to_string().to_uppercase()),
            any::<u32>().prop_map(|at| Timestamp::new(at.into(), 120).unwrap().to_string()),
            Just("2026-11-22T10:15:00.100Z".to_owned()),
        ]
    }

    proptest! {
        #[test]
        fn every_text_reads_back(texts in prop::collection::vec((text(), text()), 0..8)) {
            let mut short = Vec::new();
            write(&mut short, &texts).unwrap();
            prop_assert_eq!(expand(&short).unwrap(), serde_json::to_vec(&texts).unwrap());
        }

        #[test]
        fn nonsense_does_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Some(text) = expand(&bytes) {
                prop_assert!(text.len() <= bytes.len() * 20);
            }
        }
    }

    /// Stored values outlive the program: a word keeps its number.
    #[test]
    fn words_keep_their_numbers() {
        let places = [
            ("kind", 0),
            ("first_seen", 3),
            ("finished_at", 29),
            ("opening", 50),
            ("contacts_gone", 55),
            ("settled", 56),
        ];
        for (word, place) in places {
            assert_eq!(number(word), Some(place), "{word}");
        }
    }
}
