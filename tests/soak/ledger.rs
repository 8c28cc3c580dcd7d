//! What was published, and what was heard of it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::support::event::Event;

/// What must become of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    /// One incident.
    Incident,
    /// One incident with one note.
    IncidentWithNote,
    /// One live work item.
    Chat,
    /// An answer; what it is depends on what came before.
    Resolution,
    /// A dead letter, for this reason.
    DeadLetter(&'static str),
}

/// An event and what was heard of it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// As published first.
    pub event: Event,
    /// What must become of it.
    pub expected: Expected,
    /// How often it was published on purpose.
    pub published: usize,
    /// Outcomes, as they came.
    pub outcomes: Vec<Value>,
}

/// All of them.
#[derive(Default)]
pub struct Ledger {
    entries: Mutex<HashMap<String, Entry>>,
    strangers: Mutex<Vec<Value>>,
}

impl Ledger {
    /// An event is about to be published; without an expectation it is a copy.
    pub fn published(&self, event: &Event, expected: Option<Expected>) {
        let mut entries = self.entries();
        if let Some(expected) = expected {
            let entry = Entry { event: event.clone(), expected, published: 1, outcomes: Vec::new() };
            entries.insert(event.id().to_owned(), entry);
        } else if let Some(entry) = entries.get_mut(event.id()) {
            entry.published += 1;
        }
    }

    /// An outcome came.
    pub fn heard(&self, outcome: Value) {
        let id = outcome["data"]["source_event_id"].as_str().unwrap_or_default().to_owned();
        match self.entries().get_mut(&id) {
            Some(entry) => entry.outcomes.push(outcome),
            None => self.strangers.lock().unwrap_or_else(PoisonError::into_inner).push(outcome),
        }
    }

    /// How many have no outcome yet.
    pub fn unanswered(&self) -> usize {
        self.entries().values().filter(|entry| entry.outcomes.is_empty()).count()
    }

    /// Events, messages on purpose, outcomes.
    pub fn totals(&self) -> [usize; 3] {
        let entries = self.entries();
        let sum = |count: fn(&Entry) -> usize| entries.values().map(count).sum();
        [entries.len(), sum(|entry| entry.published), sum(|entry| entry.outcomes.len())]
    }

    /// Outcomes of events that nobody has published.
    pub fn strangers(&self) -> usize {
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// All of them, by event id.
    pub fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
