//! Moving the content of the store in memory: the model of the other stores.

use std::collections::HashMap;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::MemoryStore;
use crate::ports::store::portable::{PortableEntry, PortableStore, choose};
use crate::ports::store::{Store, StoreError};

#[async_trait]
impl PortableStore for MemoryStore {
    async fn export(&self, pages: mpsc::Sender<Vec<PortableEntry>>) -> Result<(), StoreError> {
        let all = self.tables()?.portable();
        _ = pages.send(all).await; // nobody may want it any more
        Ok(())
    }

    async fn import(&self, entries: &[PortableEntry]) -> Result<Vec<bool>, StoreError> {
        let stored: HashMap<_, _> = self.tables()?.portable().into_iter().map(|entry| (entry.key(), entry)).collect();
        let written = choose(entries, &stored);
        let chosen = entries.iter().zip(&written).filter(|(_, written)| **written).map(|(entry, _)| entry);
        self.import_entries(chosen)?;
        Ok(written)
    }

    async fn finish(&self) -> Result<(), StoreError> {
        self.close().await
    }
}
