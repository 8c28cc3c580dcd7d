//! Moving of the store's content, on a connection of its own: both directions need transactions, and the store's own
//! connections have none.

mod entries;
mod export;
mod import;

use std::collections::HashSet;

use async_trait::async_trait;
use handoffd_engine::ports::store::StoreError;
use handoffd_engine::ports::store::portable::{PortableEntry, PortableStore};
use tokio::sync::{Mutex, mpsc};
use tokio_postgres::Client;

use super::connect::Connector;
use super::errors::ServerFailure;
use super::options::PostgresOptions;
use super::schema::{self, Migration};

/// Content of the store in PostgreSQL. Workers may run beside it.
pub struct PostgresTransfer {
    client: Client,
    /// Days whose partitions exist.
    days: Mutex<HashSet<i64>>,
}

impl PostgresTransfer {
    /// Connects. Creates or migrates the tables if the options say so.
    ///
    /// # Errors
    /// If the server can't be reached or refuses, or the tables have another version.
    pub async fn open(options: &PostgresOptions) -> Result<Self, StoreError> {
        let connector = Connector::new(options)?;
        let migration = if options.migrate { Migration::Migrate } else { Migration::Check };
        let connected = async {
            let (client, connection) = connector.connect().await?;
            tokio::spawn(connection); // ends with the client
            schema::ready(&client, Some(migration), &connector.place).await?;
            Ok(client)
        };
        let client = connected.await.map_err(|failure: ServerFailure| StoreError::Open {
            path: connector.place.clone(),
            problem: failure.to_string(),
        })?;
        Ok(Self { client, days: Mutex::default() })
    }
}

#[async_trait]
impl PortableStore for PostgresTransfer {
    async fn export(&self, pages: mpsc::Sender<Vec<PortableEntry>>) -> Result<(), StoreError> {
        export::export(&self.client, &pages).await
    }

    async fn import(&self, entries: &[PortableEntry]) -> Result<Vec<bool>, StoreError> {
        let mut days = self.days.lock().await;
        import::import(&self.client, entries, &mut days).await
    }

    /// Has nothing to wait for: each import is committed.
    async fn finish(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
