//! Published events and the outcomes received for them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::support::event::Event;

/// Required result of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    /// One incident.
    Incident,
    /// One incident with one note.
    IncidentWithNote,
    /// One live work item.
    Chat,
    /// An outcome that depends on earlier events.
    Resolution,
    /// A dead letter with this reason.
    DeadLetter(&'static str),
}

/// Event with its outcomes.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Event as first published.
    pub event: Event,
    /// Required result.
    pub expected: Expected,
    /// Number of deliberate publishes.
    pub published: usize,
    /// Outcomes in order of arrival.
    pub outcomes: Vec<Value>,
    /// Position of its first publish among all publishes and outcomes.
    pub published_at: u64,
    /// Position of its first outcome among them.
    pub heard_at: Option<u64>,
}

/// Ledger of all events.
#[derive(Default)]
pub struct Ledger {
    entries: Mutex<HashMap<String, Entry>>,
    strangers: Mutex<Vec<Value>>,
    /// Number of publishes and outcomes so far.
    position: AtomicU64,
}

impl Ledger {
    /// Records an event about to be published; without an expectation it is a copy.
    pub fn published(&self, event: &Event, expected: Option<Expected>) {
        let mut entries = self.entries();
        if let Some(expected) = expected {
            let entry = Entry {
                event: event.clone(),
                expected,
                published: 1,
                outcomes: Vec::new(),
                published_at: self.position.fetch_add(1, Ordering::Relaxed),
                heard_at: None,
            };
            entries.insert(event.id().to_owned(), entry);
        } else if let Some(entry) = entries.get_mut(event.id()) {
            entry.published += 1;
        }
    }

    /// Records an outcome.
    pub fn heard(&self, outcome: Value) {
        let id = outcome["data"]["source_event_id"].as_str().unwrap_or_default().to_owned();
        match self.entries().get_mut(&id) {
            Some(entry) => {
                entry.outcomes.push(outcome);
                entry.heard_at.get_or_insert_with(|| self.position.fetch_add(1, Ordering::Relaxed));
            }
            None => self.strangers.lock().unwrap_or_else(PoisonError::into_inner).push(outcome),
        }
    }

    /// Number of events without an outcome.
    pub fn unanswered(&self) -> usize {
        self.entries().values().filter(|entry| entry.outcomes.is_empty()).count()
    }

    /// Numbers of events, deliberate messages and outcomes.
    pub fn totals(&self) -> [usize; 3] {
        let entries = self.entries();
        let sum = |count: fn(&Entry) -> usize| entries.values().map(count).sum();
        [entries.len(), sum(|entry| entry.published), sum(|entry| entry.outcomes.len())]
    }

    /// Number of outcomes of unknown events.
    pub fn strangers(&self) -> usize {
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// All entries, by event id.
    pub fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
