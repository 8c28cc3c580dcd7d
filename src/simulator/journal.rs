//! Journal of requests and their answers.

use std::collections::{BTreeMap, HashMap, VecDeque};

use axum::body::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

/// Journaled request. Entries are in the order in which the requests ended.
#[derive(Clone, Debug, Serialize)]
pub struct JournalEntry {
    /// Sequence number, from 1.
    pub number: u64,
    /// Time of arrival.
    pub time: Timestamp,
    /// Name of the environment.
    pub environment: String,
    /// GET, POST, …
    pub method: String,
    /// Path and query as sent.
    pub uri: String,
    /// Operation, such as `incidents.create`.
    pub operation: String,
    /// Status of the answer; null without an answer.
    pub status: Option<u16>,
    /// Fault applied to the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// `x-ms-service-request-id` of the answer.
    pub request_id: String,
    /// Headers of interest, never the token.
    pub headers: BTreeMap<&'static str, String>,
    /// Body as sent, with secrets masked. Only the most recent ones are kept.
    #[serde(skip)]
    pub body: Option<Bytes>,
}

/// Journaled headers; `cookie` is included because clients must not send one.
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

/// Requests of one environment: the most recent as entries, all of them as counts.
#[derive(Default)]
pub(super) struct Journal {
    entries: VecDeque<JournalEntry>,
    counts: HashMap<String, BTreeMap<u16, u64>>,
    number: u64,
    body_bytes: usize,
    /// Number of entries from the front whose bodies were dropped.
    bare: usize,
    in_flight: usize,
    peak: usize,
}

/// Limits on the number of entries and on the total size of their bodies.
#[derive(Clone, Copy)]
pub(super) struct JournalCapacity {
    pub entries: usize,
    pub body_bytes: usize,
}

impl Journal {
    /// Registers a request in flight and returns the number of requests in flight.
    pub(super) fn begin(&mut self) -> usize {
        self.in_flight += 1;
        self.peak = self.peak.max(self.in_flight);
        self.in_flight
    }

    /// Records the end of a request.
    pub(super) fn end(&mut self, mut entry: JournalEntry, room: JournalCapacity) {
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

    /// Returns the largest number of requests in flight since the last call.
    pub(super) fn take_peak(&mut self) -> usize {
        std::mem::replace(&mut self.peak, self.in_flight)
    }

    /// Removes everything except the requests in flight.
    pub(super) fn clear(&mut self) {
        *self = Self { in_flight: self.in_flight, peak: self.in_flight, ..Self::default() };
    }

    /// Returns the kept entries, oldest first.
    pub(super) fn entries(&self) -> impl DoubleEndedIterator<Item = &JournalEntry> {
        self.entries.iter()
    }

    /// Returns the number of requests by operation and status; 0 means no answer.
    pub(super) fn counts(&self) -> Value {
        let counts: BTreeMap<_, _> = self.counts.iter().collect();
        json!({"total": self.number, "counts": counts, "in_flight": self.in_flight, "peak_in_flight": self.peak})
    }

    /// Returns the number of requests of one operation, regardless of their answers.
    pub(super) fn count(&self, operation: &str) -> u64 {
        self.counts.get(operation).map_or(0, |statuses| statuses.values().sum())
    }

    fn shrink(&mut self, room: JournalCapacity) {
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

impl JournalEntry {
    /// Returns the entry as JSON, with its body as JSON or text on request.
    pub(super) fn shown(&self, with: Bodies) -> Value {
        let mut shown = serde_json::to_value(self).unwrap_or_default();
        if let (Bodies::Shown, Some(body)) = (with, &self.body) {
            let text = || String::from_utf8_lossy(body).into_owned().into();
            shown["body"] = serde_json::from_slice(body).unwrap_or_else(|_| text());
        }
        shown
    }
}

/// Inclusion of bodies in a listing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Bodies {
    /// Bodies are included.
    Shown,
    /// Bodies are left out.
    Left,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(body: &'static str) -> JournalEntry {
        JournalEntry {
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
        let room = JournalCapacity { entries: 3, body_bytes: 8 };
        for _ in 0..10 {
            journal.begin();
            journal.end(entry("1234"), room);
        }
        let kept: Vec<_> = journal.entries().map(|entry| (entry.number, entry.body.is_some())).collect();
        assert_eq!(kept, [(8, false), (9, true), (10, true)]);
        assert_eq!((journal.count("incidents.create"), journal.peak, journal.in_flight), (10, 1, 0));
    }
}
