//! `workers list`: reads PostgreSQL itself; with the embedded store, asks the running worker.

use anyhow::Result;
use serde_json::{Value, json};

use super::remote::Remote;
use super::shell::pretty;
use super::table::{cell, table};
use crate::app;
use crate::config::{Config, StoreKind};

/// Lists the workers and returns the text to print.
pub(super) async fn list(config: &Config, json: bool) -> Result<String> {
    let workers = match config.store.kind {
        StoreKind::Postgres => json!(app::list_workers(config).await?),
        StoreKind::Sled => match Remote::find(config).await? {
            Some(remote) => {
                let mut answer = remote.get("/api/v1/workers").await?.unwrap_or_default();
                answer["workers"].take()
            }
            None => json!([]),
        },
    };
    if json { pretty(&workers) } else { Ok(text(&workers)) }
}

fn text(workers: &Value) -> String {
    const COLUMNS: [&str; 7] = ["name", "version", "started_at", "seen_at", "state", "organizations", "in_flight"];
    let rows = workers.as_array().into_iter().flatten().map(|worker| COLUMNS.map(|name| cell(&worker[name])));
    let rows: Vec<[String; 7]> = std::iter::once(COLUMNS.map(str::to_owned)).chain(rows).collect();
    if rows.len() == 1 {
        return "no worker is running\n".to_owned();
    }
    table(&rows)
}
