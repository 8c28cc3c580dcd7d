//! Record of discards in the history of their events.

use handoffd_engine::event::EventKey;
use handoffd_engine::ports::store::Store;
use handoffd_engine::workflow::Milestone;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Event whose dead letter a command has discarded.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiscardedEvent {
    /// Organization that owns the event.
    pub organization_id: String,
    /// Id of the event.
    pub event_id: String,
}

/// Adds discards to the records of their events. The dead letters are gone already, so a failure is only logged.
pub async fn record_discards(store: &dyn Store, events: &[EventKey], by: Option<&str>) {
    if events.is_empty() {
        return;
    }
    let discard = Milestone::discarded(Timestamp::now(), by.unwrap_or("unknown"));
    if let Err(problem) = store.record_discards(events, &discard).await {
        tracing::warn!(
            error = &problem as &dyn std::error::Error,
            events = events.len(),
            "could not record in the store that dead letters were discarded; their events are still shown as dead"
        );
    }
}

impl From<DiscardedEvent> for EventKey {
    fn from(event: DiscardedEvent) -> Self {
        Self { organization_id: event.organization_id.into(), event_id: event.event_id.into() }
    }
}
