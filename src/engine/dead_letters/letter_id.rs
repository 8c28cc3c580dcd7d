//! Ids of dead letters. Pure.
//!
//! A dead letter has no id of its own in the broker, and none can be added to one that the broker or somebody else put
//! into the queue. So its id is a digest of everything in the message that stays the same while it is a dead letter:
//! body, properties, and headers, those of its death included (reason, time, `x-death`). Browsing, requeueing, a restart
//! of the broker and another process change none of these; the broker's delivery count, which they do change, is left
//! out. An event that dies again has another time of death, and so another id.
//!
//! Messages that do not differ in anything are numbered in the order of the queue, which scans keep: `dl_….2` is the
//! second of them. Removing one moves the number of those behind it; they are equal, so none is mistaken for another.

use std::collections::HashMap;

/// Beginning of every id, so that it is not mistaken for an event's.
const PREFIX: &str = "dl_";
/// Number of hexadecimal digits of a digest.
const DIGITS: usize = 16;

/// Assigner of ids in one scan of the queue, from its head.
#[derive(Default, Debug)]
pub(super) struct LetterIds(HashMap<u64, u32>);

impl LetterIds {
    /// Returns the id of the next dead letter in the queue.
    pub(super) fn assign(&mut self, digest: u64) -> String {
        let number = self.0.entry(digest).or_default();
        *number += 1;
        match number {
            1 => format!("{PREFIX}{digest:016x}"),
            number => format!("{PREFIX}{digest:016x}.{number}"),
        }
    }
}

/// Returns true if the text has the form of a dead letter's id.
pub(super) fn is_letter_id(text: &str) -> bool {
    let digits = text.strip_prefix(PREFIX).map(|rest| rest.split_once('.').map_or(rest, |(digits, _)| digits));
    digits.is_some_and(|digits| digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_letters_are_numbered_in_their_order() {
        let mut ids = LetterIds::default();
        let assigned = [7, 8, 7, 7].map(|digest| ids.assign(digest));
        assert_eq!(
            assigned,
            ["dl_0000000000000007", "dl_0000000000000008", "dl_0000000000000007.2", "dl_0000000000000007.3"]
        );
        assert!(assigned.iter().all(|id| is_letter_id(id)));
    }

    #[test]
    fn an_events_id_is_not_a_letters() {
        for id in ["evt_01JDA7", "dl_", "dl_7", "dl_000000000000000g", "0000000000000007"] {
            assert!(!is_letter_id(id), "{id}");
        }
    }
}
