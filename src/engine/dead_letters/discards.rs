//! Events whose dead letters an operation discards, for their history.

use async_trait::async_trait;

use super::entry::{DeadLetterEntry, OperationResult};
use super::work::Observer;
use crate::event::EventKey;

/// Observer that collects the discarded events for an observer behind it. Memory holds their keys only.
pub struct DiscardedEvents<'a> {
    inner: &'a mut dyn Observer,
    /// Events discarded so far.
    pub events: Vec<EventKey>,
}

impl<'a> DiscardedEvents<'a> {
    /// Collects for this observer.
    pub fn new(inner: &'a mut dyn Observer) -> Self {
        Self { inner, events: Vec::new() }
    }
}

#[async_trait]
impl Observer for DiscardedEvents<'_> {
    async fn room(&mut self) {
        self.inner.room().await;
    }

    fn looked_at(&mut self, count: u64, total: u64) {
        self.inner.looked_at(count, total);
    }

    fn entry(&mut self, entry: DeadLetterEntry) {
        if let (Some(OperationResult::Discarded), Some(organization), Some(event)) =
            (entry.result, entry.organization_id.as_deref(), entry.event_id.as_deref())
        {
            self.events.push(EventKey { organization_id: organization.into(), event_id: event.into() });
        }
        self.inner.entry(entry);
    }
}
