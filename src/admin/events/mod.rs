//! In: an id of any kind, or a filter; the store, the worker's tracker of unfinished events, organizations, dead letters.
//! Out: what is known of each event: its state, where it is, since when, why, the next attempt, and advice.
//! Absent: HTTP and pages, which show the same; anything that changes an event.

mod advice;
mod answer;
mod browse;
mod discards;
mod find;

pub use answer::{EventAnswer, EventState, QueueNames, Surroundings};
pub use browse::{EventFilter, EventPage, browse};
pub use discards::{DiscardedEvent, record_discards};
pub use find::{EventSources, Found, FoundEvent, LetterMatches, LetterSearch, find};

#[cfg(test)]
mod tests;
