//! In: `dead-letters list`, `show`, `replay`, `discard` and their options.
//! Out: an order to the `dead_letters` module, and its entries on standard output as they arrive.
//! Absent: matching and replaying; the broker.

pub(super) mod arguments;
mod page;
mod progress;
mod table;

use std::path::Path;

use anyhow::{Context, anyhow};
use handoffd_engine::dead_letters::{Action, BodyPatch, Counts, Operation, OrderFailure, RunMode, Selection, execute};
use handoffd_engine::event::Limits;
use handoffd_engine::ports::bus::DeadLetterQueue;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use self::arguments::DeadLettersCommand;
use self::page::{EntryPrinter, OutputFormat};
use super::audit::report_operation;
use super::shell::{CommandError, FAILED, block_on, print_status};
use crate::admin::audit::dead_letters::CountingObserver;
use crate::app;
use crate::config::Config;
use crate::rabbit::RabbitDeadLetterQueue;

/// Runs a subcommand of `dead-letters`.
pub(super) fn dead_letters(config: &Config, command: DeadLettersCommand) -> Result<(), CommandError> {
    let (selection, action, form) = read(command)?;
    let limits = Limits { max_event_bytes: config.worker.max_event_bytes };
    let order = Operation { selection, action, limits };
    block_on(async { Ok(work(config, &order, form).await) })?
}

fn read(command: DeadLettersCommand) -> Result<(Selection, Action, OutputFormat), CommandError> {
    let form = |json| if json { OutputFormat::Json } else { OutputFormat::Text };
    Ok(match command {
        DeadLettersCommand::List { selection, json } => (selection.selection(), Action::List, form(json)),
        DeadLettersCommand::Show { names, selection, json } => {
            let mut selection = selection.selection();
            selection.ids.extend(names);
            (named(selection, "show")?, Action::Show, form(json))
        }
        DeadLettersCommand::Replay { selection, doing, patch, keep } => {
            let selection = named(selection.selection(), "replay")?;
            let action = match patch {
                Some(_) if selection.ids.len() != 1 => {
                    return Err(CommandError::Usage(
                        "--patch applies to exactly one event; specify one --id".to_owned(),
                    ));
                }
                Some(file) => Action::Substitute(doing.effect(), BodyPatch { patch: json(&file)?, keep }),
                None => Action::Replay(doing.effect()),
            };
            (selection, action, form(doing.json))
        }
        DeadLettersCommand::Discard { selection, doing } => {
            (named(selection.selection(), "discard")?, Action::Discard(doing.effect()), form(doing.json))
        }
    })
}

/// Requires a selection for a command that changes dead letters or shows customers' text.
fn named(selection: Selection, command: &str) -> Result<Selection, CommandError> {
    if selection.is_empty() {
        return Err(CommandError::Usage(format!(
            "`dead-letters {command}` requires a selection; specify at least one of: --id, --organization, --reason, --session, \
             --before, --after, --all; `dead-letters list` lists the dead letters"
        )));
    }
    Ok(selection)
}

fn json(file: &Path) -> anyhow::Result<Value> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read the patch {}", file.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("the patch {} is not JSON", file.display()))
}

async fn work(config: &Config, order: &Operation, form: OutputFormat) -> Result<(), CommandError> {
    let stop = CancellationToken::new();
    heed_signals(&stop).context("cannot listen for signals")?;
    let queue = RabbitDeadLetterQueue::new(app::bus_options(config));
    let opened = tokio::select! {
        opened = queue.open(&|text| print_status(text)) => opened.map_err(anyhow::Error::from)?,
        () = stop.cancelled() => return Err(anyhow!("interrupted before anything was changed").into()),
    };
    let mut letters = opened;
    let mut page = EntryPrinter::begin(form, order);
    let mut counting = CountingObserver::new(&mut page);
    let done = execute(&mut *letters, order, &mut counting, &stop).await;
    let count = counting.count;
    page.end();
    report_operation(config, order, count).await;
    if let Some(warning) = letters.warning() {
        print_status(format_args!("warning: {warning}"));
    }
    conclude(order, done)
}

/// Prints the summary and determines the exit status.
fn conclude(order: &Operation, done: Result<Counts, OrderFailure>) -> Result<(), CommandError> {
    let tally = match done {
        Ok(tally) => tally,
        Err(problem @ OrderFailure::NotOne(_)) => return Err(CommandError::Usage(problem.to_string())),
        Err(problem) => return Err(anyhow::Error::from(problem).into()),
    };
    print_status(sum(order, &tally));
    if tally.failed > 0 {
        return Err(anyhow!("{} of {} failed and remain dead letters", tally.failed, tally.matched).into());
    }
    if tally.stopped {
        return Err(anyhow!("interrupted; the remaining dead letters are unchanged; run the command again").into());
    }
    if tally.matched == 0 && matches!(order.action, Action::Show) {
        return Err(anyhow!("no matching dead letters").into());
    }
    Ok(())
}

fn sum(order: &Operation, tally: &Counts) -> String {
    let Counts { seen, matched, failed, .. } = *tally;
    let did = match &order.action {
        Action::List | Action::Show => "",
        Action::Replay(RunMode::Apply) | Action::Substitute(RunMode::Apply, _) => " replayed",
        Action::Discard(RunMode::Apply) => " discarded",
        Action::Replay(RunMode::DryRun) | Action::Substitute(RunMode::DryRun, _) => " would be replayed",
        Action::Discard(RunMode::DryRun) => " would be discarded",
    };
    match (seen, matched) {
        (0, _) => "no dead letters".to_owned(),
        (_, 0) => format!("0 of {seen} dead letters match"),
        _ => format!("{} of {seen} dead letters{did}", matched - failed),
    }
}

/// The first signal stops the command after the current dead letter, the second at once. Neither loses anything.
fn heed_signals(stop: &CancellationToken) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stop = stop.clone();
    tokio::spawn(async move {
        for last in [false, true] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if last {
                std::process::exit(FAILED.into());
            }
            stop.cancel();
        }
    });
    Ok(())
}
