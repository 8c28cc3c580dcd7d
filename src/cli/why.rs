//! `why ID`: what became of whatever this is the id of. Queries the running worker, which knows the most; without one
//! reads the store and the dead letters.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, anyhow};
use async_trait::async_trait;
use handoffd_engine::dead_letters::{Action, DeadLetterEntry, Observer, Operation, OrderFailure, Selection, execute};
use handoffd_engine::event::Limits;
use handoffd_engine::memory_store::MemoryStore;
use handoffd_engine::ports::bus::{DeadLetterError, DeadLetterQueue};
use handoffd_engine::ports::store::Store;
use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::arguments::Why;
use super::remote::Remote;
use super::shell::{CommandError, block_on, pretty, print, print_status};
use super::table::{cell, line};
use crate::admin::api::events::WhyAnswer;
use crate::admin::events::{EventSources, LetterMatches, LetterSearch, Surroundings, find};
use crate::admin::search_line::SearchLine;
use crate::app;
use crate::config::Config;
use crate::rabbit::RabbitDeadLetterQueue;

/// Runs `why` and prints the answer.
pub(super) fn why(config: &Config, options: &Why) -> Result<(), CommandError> {
    let Inquiry { answer, is_blind } = block_on(inquire(config, &options.id))?;
    let found = answer["found"].as_array().cloned().unwrap_or_default();
    if options.json {
        print(&pretty(&answer)?);
    } else {
        print(&found.iter().map(event).collect::<Vec<_>>().join("\n"));
    }
    for reason in answer["incomplete"].as_array().into_iter().flatten() {
        print_status(format_args!("the answer may be incomplete: {}", cell(reason)));
    }
    if is_blind {
        return Err(anyhow!("neither a worker, nor a store, nor the broker could be asked").into());
    }
    if found.is_empty() {
        print_status(format_args!(
            "nothing is known of {:?}; enter an event id, organization/event id, session id, incident id, ticket number, chat id \
             or request id, or its first four or more characters; the worker may never have received it, or it waits in the inbox (`handoffd status`)",
            options.id
        ));
        return Err(CommandError::NothingFound);
    }
    Ok(())
}

/// Answer to a question, and whether anything could be asked at all.
struct Inquiry {
    answer: Value,
    /// True if neither worker nor store nor broker could be asked.
    is_blind: bool,
}

async fn inquire(config: &Config, id: &str) -> Result<Inquiry> {
    if let Some(remote) = Remote::find(config).await? {
        let path = format!("/api/v1/why/{}", utf8_percent_encode(id, NON_ALPHANUMERIC));
        if let Some(answer) = remote.get(&path).await? {
            return Ok(Inquiry { answer, is_blind: false });
        }
    }
    let (store, known) = match app::store_beside_workers(config).await? {
        Some(store) => (store, None),
        None => (
            std::sync::Arc::new(MemoryStore::new()) as std::sync::Arc<dyn Store>,
            Some(format!("no store exists at {} (store.path)", config.store.path.display())),
        ),
    };
    let names = app::queue_names(config);
    let letters = CommandsLetters {
        queue: RabbitDeadLetterQueue::new(app::bus_options(config)),
        limits: Limits { max_event_bytes: config.worker.max_event_bytes },
        failed: AtomicBool::new(false),
    };
    let paused = store.pauses().await.unwrap_or_default().into_iter().map(|(organization, _)| organization).collect();
    let around = Surroundings {
        now: Timestamp::now(),
        names: &names,
        broker_connected: false,
        organizations: None,
        paused,
        is_shared: false,
        elsewhere: HashMap::new(),
    };
    let line = SearchLine::default();
    let sources = EventSources { store: &*store, tracker: None, waiting: 0, letters: &letters, around, line: &line };
    let found = find(&sources, id).await;
    _ = store.close().await;
    let mut found = found?;
    let is_blind = known.is_some() && letters.failed.load(Ordering::Relaxed);
    found.incomplete.extend(known);
    Ok(Inquiry { answer: json!(WhyAnswer::new(id.to_owned(), found)), is_blind })
}

/// Dead letters as a command searches them.
struct CommandsLetters {
    queue: RabbitDeadLetterQueue,
    limits: Limits,
    /// True if the broker could not be searched.
    failed: AtomicBool,
}

/// Observer that keeps the matches.
struct Matches<'a> {
    id: &'a str,
    most: usize,
    found: Vec<DeadLetterEntry>,
}

#[async_trait]
impl LetterSearch for CommandsLetters {
    async fn search(&self, id: &str, most: usize) -> Result<LetterMatches, String> {
        let found = self.list(id, most).await;
        self.failed.store(found.as_ref().is_err_and(is_unanswered), Ordering::Relaxed);
        let entries = found.map_err(|problem| problem.to_string())?;
        Ok(LetterMatches { entries, incomplete: None })
    }
}

impl CommandsLetters {
    async fn list(&self, id: &str, most: usize) -> Result<Vec<DeadLetterEntry>, OrderFailure> {
        let mut letters = self.queue.open(&|text| print_status(text)).await?;
        let operation = Operation {
            selection: Selection::default(),
            action: Action::List,
            most: None,
            limits: self.limits,
            by: None,
        };
        let mut matches = Matches { id, most, found: Vec::new() };
        let searched = execute(&mut *letters, &operation, &mut matches, &CancellationToken::new()).await;
        searched.map(|_| matches.found)
    }
}

impl Observer for Matches<'_> {
    fn looked_at(&mut self, _: u64, _: u64) {}

    fn entry(&mut self, entry: DeadLetterEntry) {
        if self.found.len() < self.most && entry.has_id(self.id) {
            self.found.push(entry);
        }
    }
}

/// Reports whether the broker could not be searched. One without the queue could: no worker has ever run there.
fn is_unanswered(failure: &OrderFailure) -> bool {
    !matches!(failure, OrderFailure::Letters(DeadLetterError::Missing { .. }))
}

/// Describes an event: its state first.
fn event(event: &Value) -> String {
    const FIELDS: [&str; 10] = [
        "state",
        "where",
        "since",
        "reason",
        "error",
        "next_attempt",
        "advice",
        "event_id",
        "organization_id",
        "session_id",
    ];
    let given = FIELDS.into_iter().filter(|name| !event[*name].is_null());
    given.map(|name| line(&[name, &cell(&event[name])], &[15])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_without_the_queue_has_answered() {
        let (queue, place) = ("handoffd.dead-letters".to_owned(), "broker:5672/".to_owned());
        assert!(!is_unanswered(&DeadLetterError::Missing { queue, place: place.clone() }.into()));
        assert!(is_unanswered(&DeadLetterError::Away { place, problem: "refused".to_owned() }.into()));
    }
}
