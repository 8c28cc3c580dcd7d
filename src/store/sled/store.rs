//! The store, as the seam wants it. Reading and writing one event takes microseconds and is done in place; what takes
//! longer goes to a blocking thread.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::commit::Committer;
use super::draft::Draft;
use super::errors::unreadable;
use super::state::Shared;
use super::sweep::{Step, Sweep};
use super::{folder, listing, read};
use crate::event::{ContactId, EventKey, OrganizationId, SessionId};
use crate::machine::{Learned, Record, SessionEntry};
use crate::store::{Change, Cursor, Filter, Page, Store, StoreError, Swept};

/// An open store in a folder. Dropped without `close`, it loses what was only noted a moment ago.
pub struct SledStore {
    shared: Arc<Shared>,
    committer: Arc<Committer>,
}

impl SledStore {
    pub(super) fn new(shared: Arc<Shared>, committer: Committer) -> Self {
        Self { shared, committer: Arc::new(committer) }
    }

    /// Writes all changes; returns the generation that has to be synced for them to be durable.
    fn apply(&self, changes: &[Change]) -> Result<u64, StoreError> {
        let written = self.shared.write(|tree| {
            let mut draft = Draft::new(tree);
            for change in changes {
                draft.change(change)?;
            }
            draft.apply()
        });
        match written {
            Ok(((), generation)) => Ok(generation),
            Err(error) => {
                self.committer.check();
                Err(error)
            }
        }
    }
}

#[async_trait]
impl Store for SledStore {
    async fn record(&self, key: &EventKey) -> Result<Option<Record>, StoreError> {
        self.shared.read(read::RECORD, |tree| read::record(tree, key))
    }

    async fn session(
        &self,
        organization: &OrganizationId,
        session: &SessionId,
    ) -> Result<Vec<SessionEntry>, StoreError> {
        self.shared.read(read::SESSION, |tree| read::session(tree, organization, session))
    }

    async fn contact(
        &self,
        organization: &OrganizationId,
        email: &str,
        not_before: Timestamp,
    ) -> Result<Option<ContactId>, StoreError> {
        self.shared.read(read::CONTACT, |tree| read::contact(tree, organization, email, not_before))
    }

    async fn learned(&self, organization: &OrganizationId) -> Result<Learned, StoreError> {
        self.shared.read(read::LEARNED, |tree| read::learned(tree, organization))
    }

    async fn note(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.apply(&changes).map(drop)
    }

    async fn keep(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let generation = self.apply(&changes)?;
        self.committer.durable(generation).await
    }

    async fn outcomes(&self, filter: &Filter, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        let shared = Arc::clone(&self.shared);
        let (filter, after) = (filter.clone(), after.cloned());
        aside(listing::OUTCOMES, move || {
            shared.read(listing::OUTCOMES, |tree| listing::outcomes(tree, &filter, after.as_ref(), limit))
        })
        .await
    }

    async fn sweep(&self, finished_before: Timestamp) -> Result<Swept, StoreError> {
        let mut sweep = Sweep::new(finished_before);
        loop {
            let shared = Arc::clone(&self.shared);
            let (step, rest) = aside("what is to be forgotten", move || {
                let (step, _) = shared.write(|tree| sweep.step(tree))?;
                Ok((step, sweep))
            })
            .await?;
            sweep = rest;
            if step == Step::Done {
                return Ok(sweep.swept);
            }
            tokio::task::yield_now().await;
        }
    }

    async fn bytes(&self) -> Result<u64, StoreError> {
        let shared = Arc::clone(&self.shared);
        aside("the store's size", move || {
            shared.read("the store's size", |_| {
                folder::bytes(&shared.path).map_err(|error| unreadable("the store's size", error))
            })
        })
        .await
    }

    async fn close(&self) -> Result<(), StoreError> {
        let flushed = self.keep(Vec::new()).await;
        let (shared, committer) = (Arc::clone(&self.shared), Arc::clone(&self.committer));
        aside("the end of the store", move || {
            committer.stop();
            shared.close();
            Ok(())
        })
        .await?;
        flushed
    }
}

impl fmt::Debug for SledStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledStore").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

/// Does something that takes longer on a thread where that hurts nobody.
async fn aside<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(unreadable(what, error)))
}
