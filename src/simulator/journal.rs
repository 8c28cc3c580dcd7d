//! What was asked, and how it was answered.

use std::collections::{BTreeMap, HashMap, VecDeque};

use axum::body::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

/// One request. Kept in the order in which they ended.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// From 1.
    pub number: u64,
    /// When it came.
    pub time: Timestamp,
    /// The environment's name.
    pub environment: String,
    /// GET, POST, …
    pub method: String,
    /// Path and query as sent.
    pub uri: String,
    /// `incidents.create`
    pub operation: String,
    /// What it was answered; null when there was no answer.
    pub status: Option<u16>,
    /// The fault that happened to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// `x-ms-service-request-id` of the answer.
    pub request_id: String,
    /// Those of interest; never the token.
    pub headers: BTreeMap<&'static str, String>,
    /// As sent, with secrets masked; only the latest are kept.
    #[serde(skip)]
    pub body: Option<Bytes>,
}

/// Headers worth keeping; `cookie` because there must be none.
pub(super) const HEADERS: [&str; 11] = [
    "accept",
    "content-type",
    "cookie",
    "if-match",
    "if-none-match",
    "odata-maxversion",
    "odata-version",
    "prefer",
    "traceparent",
    "user-agent",
    "x-ms-client-request-id",
];

/// The requests of one environment: the latest whole, all of them counted.
#[derive(Default)]
pub(super) struct Journal {
    entries: VecDeque<Entry>,
    counts: HashMap<String, BTreeMap<u16, u64>>,
    number: u64,
    body_bytes: usize,
    /// The entries before this position have lost their bodies.
    bare: usize,
    in_flight: usize,
    peak: usize,
}

/// How many are kept, and how many bytes of bodies.
#[derive(Clone, Copy)]
pub(super) struct Room {
    pub entries: usize,
    pub body_bytes: usize,
}

impl Journal {
    /// One more is in hand. Returns how many are.
    pub(super) fn begin(&mut self) -> usize {
        self.in_flight += 1;
        self.peak = self.peak.max(self.in_flight);
        self.in_flight
    }

    /// It has ended.
    pub(super) fn end(&mut self, mut entry: Entry, room: Room) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.number += 1;
        entry.number = self.number;
        let statuses = match self.counts.get_mut(&entry.operation) {
            Some(statuses) => statuses,
            None => self.counts.entry(entry.operation.clone()).or_default(),
        };
        *statuses.entry(entry.status.unwrap_or(0)).or_default() += 1;
        self.body_bytes += entry.body.as_ref().map_or(0, Bytes::len);
        self.entries.push_back(entry);
        self.shrink(room);
    }

    /// Forgets everything but what is in hand.
    pub(super) fn clear(&mut self) {
        *self = Self { in_flight: self.in_flight, peak: self.in_flight, ..Self::default() };
    }

    /// The entries kept, oldest first.
    pub(super) fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// How many there were, by operation and status; 0 is a request without an answer.
    pub(super) fn counts(&self) -> Value {
        let counts: BTreeMap<_, _> = self.counts.iter().collect();
        json!({"total": self.number, "counts": counts, "in_flight": self.in_flight, "peak_in_flight": self.peak})
    }

    /// How many of one operation there were, whatever the answer.
    pub(super) fn count(&self, operation: &str) -> u64 {
        self.counts.get(operation).map_or(0, |statuses| statuses.values().sum())
    }

    fn shrink(&mut self, room: Room) {
        while self.entries.len() > room.entries {
            if let Some(entry) = self.entries.pop_front() {
                self.body_bytes -= entry.body.map_or(0, |body| body.len());
                self.bare = self.bare.saturating_sub(1);
            }
        }
        while self.body_bytes > room.body_bytes && self.bare < self.entries.len() {
            let body = self.entries[self.bare].body.take();
            self.body_bytes -= body.map_or(0, |body| body.len());
            self.bare += 1;
        }
    }
}

impl Entry {
    /// As JSON, with the body as JSON or text where it is asked for.
    pub(super) fn shown(&self, with: Bodies) -> Value {
        let mut shown = serde_json::to_value(self).unwrap_or_default();
        if let (Bodies::Shown, Some(body)) = (with, &self.body) {
            let text = || String::from_utf8_lossy(body).into_owned().into();
            shown["body"] = serde_json::from_slice(body).unwrap_or_else(|_| text());
        }
        shown
    }
}

/// Whether a listing shows bodies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Bodies {
    /// It does.
    Shown,
    /// It does not.
    Left,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(body: &'static str) -> Entry {
        Entry {
            number: 0,
            time: Timestamp::UNIX_EPOCH,
            environment: "acme".into(),
            method: "POST".into(),
            uri: "/".into(),
            operation: "incidents.create".into(),
            status: Some(201),
            fault: None,
            request_id: String::new(),
            headers: BTreeMap::new(),
            body: Some(Bytes::from_static(body.as_bytes())),
        }
    }

    #[test]
    fn it_is_a_ring_and_counts_for_ever() {
        let mut journal = Journal::default();
        let room = Room { entries: 3, body_bytes: 8 };
        for _ in 0..10 {
            journal.begin();
            journal.end(entry("1234"), room);
        }
        let kept: Vec<_> = journal.entries().map(|entry| (entry.number, entry.body.is_some())).collect();
        assert_eq!(kept, [(8, false), (9, true), (10, true)]);
        assert_eq!((journal.count("incidents.create"), journal.peak, journal.in_flight), (10, 1, 0));
    }
}
