//! Observer that shows each entry to a function on its way to another observer.

use async_trait::async_trait;

use super::entry::DeadLetterEntry;
use super::work::Observer;

/// Observer that shows each entry to a function first, and passes everything on.
pub struct EntryWatch<'a, F> {
    inner: &'a mut dyn Observer,
    watch: F,
}

impl<'a, F: FnMut(&DeadLetterEntry) + Send> EntryWatch<'a, F> {
    /// Watches what this observer gets.
    pub fn new(inner: &'a mut dyn Observer, watch: F) -> Self {
        Self { inner, watch }
    }
}

#[async_trait]
impl<F: FnMut(&DeadLetterEntry) + Send> Observer for EntryWatch<'_, F> {
    async fn room(&mut self) {
        self.inner.room().await;
    }

    fn looked_at(&mut self, count: u64, total: u64) {
        self.inner.looked_at(count, total);
    }

    fn entry(&mut self, entry: DeadLetterEntry) {
        (self.watch)(&entry);
        self.inner.entry(entry);
    }
}
