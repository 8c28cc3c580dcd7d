//! A request under way, and its entry in the journal.

use std::collections::BTreeMap;

use axum::body::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

use super::call::Call;
use super::environment::Environment;
use super::faults::Effect;
use super::journal::{Entry, HEADERS, Room};
use super::target::Target;
use super::token;

/// A request in hand; it is in the journal once this is dropped.
pub(super) struct Visit<'a> {
    environment: &'a Environment,
    entry: Option<Entry>,
    /// How many are in hand, this one included.
    pub in_flight: usize,
}

impl Environment {
    /// A request begins.
    pub(super) fn visit(&self, call: &Call, target: &Target, operation: String) -> Visit<'_> {
        let headers = HEADERS.iter().filter_map(|name| Some((*name, call.header(name)?.to_owned())));
        let body = match target {
            Target::Token(_) => token::masked(&call.body).into(),
            // A copy: a slice would keep the connection's whole read buffer.
            _ => Bytes::copy_from_slice(&call.body),
        };
        Visit {
            environment: self,
            in_flight: self.journal().begin(),
            entry: Some(Entry {
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

impl Visit<'_> {
    /// The fault that happens to it.
    pub(super) fn faulty(&mut self, effect: Option<&Effect>) {
        if let (Some(entry), Some(effect)) = (&mut self.entry, effect) {
            entry.fault = Some(effect.name());
        }
    }

    /// It is answered with this.
    pub(super) fn answered(&mut self, status: u16) {
        if let Some(entry) = &mut self.entry {
            entry.status = Some(status);
        }
    }

    /// The id its answer carries.
    pub(super) fn request_id(&self) -> &str {
        self.entry.as_ref().map_or("", |entry| &entry.request_id)
    }
}

impl Drop for Visit<'_> {
    /// A client that goes away drops the request in the middle: that is in the journal too.
    fn drop(&mut self) {
        let live = self.environment.live();
        let room = Room { entries: live.settings.journal_entries, body_bytes: live.settings.journal_body_bytes };
        if let Some(entry) = self.entry.take() {
            self.environment.journal().end(entry, room);
        }
    }
}
