//! Request in flight, and its entry in the journal.

use std::collections::BTreeMap;

use axum::body::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

use super::call::IncomingRequest;
use super::environment::Environment;
use super::faults::Effect;
use super::journal::{HEADERS, JournalCapacity, JournalEntry};
use super::target::Target;
use super::token;

/// Request in flight, journaled when dropped.
pub(super) struct JournaledRequest<'a> {
    environment: &'a Environment,
    entry: Option<JournalEntry>,
    /// Number of requests in flight, this one included.
    pub in_flight: usize,
}

impl Environment {
    /// Registers a request.
    pub(super) fn visit(&self, call: &IncomingRequest, target: &Target, operation: String) -> JournaledRequest<'_> {
        let headers = HEADERS.iter().filter_map(|name| Some((*name, call.header(name)?.to_owned())));
        let body = match target {
            Target::Token(_) => token::masked(&call.body).into(),
            // A copy, because a slice would keep the connection's whole read buffer alive.
            _ => Bytes::copy_from_slice(&call.body),
        };
        JournaledRequest {
            environment: self,
            in_flight: self.journal().begin(),
            entry: Some(JournalEntry {
                number: 0,
                time: Timestamp::now(),
                environment: self.name().to_owned(),
                method: call.method.to_string(),
                uri: call.uri.clone(),
                operation,
                status: None,
                fault: None,
                request_id: Uuid::new_v4().to_string(),
                headers: headers.collect::<BTreeMap<_, _>>(),
                body: (!body.is_empty()).then_some(body),
            }),
        }
    }
}

impl JournaledRequest<'_> {
    /// Records the fault applied to the request.
    pub(super) fn faulty(&mut self, effect: Option<&Effect>) {
        if let (Some(entry), Some(effect)) = (&mut self.entry, effect) {
            entry.fault = Some(effect.name());
        }
    }

    /// Records the status of the answer.
    pub(super) fn answered(&mut self, status: u16) {
        if let Some(entry) = &mut self.entry {
            entry.status = Some(status);
        }
    }

    /// Returns the id that the answer carries.
    pub(super) fn request_id(&self) -> &str {
        self.entry.as_ref().map_or("", |entry| &entry.request_id)
    }
}

impl Drop for JournaledRequest<'_> {
    /// Journals the request, also when a disconnecting client drops it midway.
    fn drop(&mut self) {
        let live = self.environment.live();
        let room =
            JournalCapacity { entries: live.settings.journal_entries, body_bytes: live.settings.journal_body_bytes };
        if let Some(entry) = self.entry.take() {
            self.environment.journal().end(entry, room);
        }
    }
}
