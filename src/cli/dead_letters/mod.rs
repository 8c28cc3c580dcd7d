//! In: `dead-letters list`, `groups`, `show`, `replay`, `discard` and their options.
//! Out: an order to the `dead_letters` module, and its entries on standard output as they arrive.
//! Absent: matching and replaying; the broker.

pub(super) mod arguments;
mod groups;
mod page;
mod progress;
mod table;

use std::path::Path;

use anyhow::{Context, anyhow};
use handoffd_engine::dead_letters::{
    Action, BodyChange, BodyPatch, Counts, DeadLetterEntry, EntryWatch, LetterChange, Observer, Operation,
    OrderFailure, RunMode, SelectionError, SelectionText, execute,
};
use handoffd_engine::event::Limits;
use handoffd_engine::ports::bus::{DeadLetterQueue, DeadLetters};
use jiff::Zoned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use self::arguments::DeadLettersCommand;
use self::groups::GroupPrinter;
use self::page::{EntryPrinter, OutputFormat, Printer};
use self::progress::ProgressReport;
use super::audit::{report_discards, report_operation};
use super::remote::user;
use super::shell::{CommandError, FAILED, block_on, can_ask, confirmed, print_status};
use crate::admin::audit::dead_letters::{OperationTally, audited};
use crate::admin::audit::{Identity, operator};
use crate::app;
use crate::config::Config;
use crate::rabbit::RabbitDeadLetterQueue;

/// Subcommand as it is carried out.
struct Order {
    operation: Operation,
    form: OutputFormat,
    /// True if groups are counted and printed instead of entries.
    grouped: bool,
    /// True if the operator confirms before, on a terminal.
    asks: bool,
}

/// Runs a subcommand of `dead-letters`.
pub(super) fn dead_letters(config: &Config, command: DeadLettersCommand) -> Result<(), CommandError> {
    let limits = Limits { max_event_bytes: config.worker.max_event_bytes };
    let mut order = read(command, limits)?;
    if order.asks && can_ask() {
        let matched = block_on(async { Ok(preview(config, &order.operation).await) })??;
        if !confirmed(&question(matched, &order.operation)) {
            return Err(CommandError::Failed(anyhow!("not confirmed; nothing was discarded")));
        }
        // Not those that have come since.
        order.operation.most = usize::try_from(matched).ok();
    }
    block_on(async { Ok(work(config, order).await) })?
}

fn read(command: DeadLettersCommand, limits: Limits) -> Result<Order, CommandError> {
    let mut asks = false;
    let grouped = matches!(command, DeadLettersCommand::Groups { .. });
    let (name, text, action, json) = match command {
        DeadLettersCommand::List { selection, json } => ("list", selection.text(), Action::List, json),
        DeadLettersCommand::Groups { selection, json } => ("groups", selection.text(), Action::List, json),
        DeadLettersCommand::Show { names, selection, json } => {
            let mut text = selection.text();
            for name in names {
                text.add_id(name);
            }
            ("show", text, Action::Show, json)
        }
        DeadLettersCommand::Replay { selection, doing, patch, keep } => {
            let (text, mode) = (selection.text(), RunMode::of(doing.dry_run));
            let action = match patch {
                Some(file) => Action::Substitute(mode, patch_of_one(&text, &file, keep)?),
                None => Action::Change(LetterChange::Replay, mode),
            };
            ("replay", text, action, doing.json)
        }
        DeadLettersCommand::Discard { yes, selection, doing } => {
            asks = !yes && !doing.dry_run;
            let action = Action::Change(LetterChange::Discard, RunMode::of(doing.dry_run));
            ("discard", selection.text(), action, doing.json)
        }
    };
    let selection = text.selection(&Zoned::now()).map_err(|error| invalid(&error))?;
    if selection.is_empty() && !matches!(action, Action::List) {
        return Err(without_selection(name));
    }
    let form = if json { OutputFormat::Json } else { OutputFormat::Text };
    let by = Some(operator(Identity::Local, Some(&user())));
    let operation = Operation { selection, action, most: None, limits, by };
    Ok(Order { operation, form, grouped, asks })
}

/// Observer of a preview, which needs the number of matches only.
struct PreviewProgress(ProgressReport);

impl Observer for PreviewProgress {
    fn looked_at(&mut self, count: u64, total: u64) {
        self.0.at(count, total);
    }

    fn entry(&mut self, _: DeadLetterEntry) {}
}

/// Returns the number of dead letters that a discard would delete, which is not 0. They are free for others again when it
/// returns, so that an operator may take time to answer.
async fn preview(config: &Config, operation: &Operation) -> Result<u64, CommandError> {
    let rehearsal = Operation { action: Action::Change(LetterChange::Discard, RunMode::DryRun), ..operation.clone() };
    let stop = CancellationToken::new();
    let mut letters = open(&RabbitDeadLetterQueue::new(app::bus_options(config)), &stop).await?;
    let mut progress = PreviewProgress(ProgressReport::begin());
    let done = execute(&mut *letters, &rehearsal, &mut progress, &stop).await;
    progress.0.end();
    let matched = done.as_ref().map_or(0, |counts| counts.matched);
    conclude(&rehearsal, done).map(|()| matched)
}

fn question(matched: u64, operation: &Operation) -> String {
    let letters = if matched == 1 { "this dead letter".to_owned() } else { format!("these {matched} dead letters") };
    let subject = audited(operation).map(|(_, subject)| subject).unwrap_or_default();
    format!("Permanently delete {letters} ({subject})? It can't be undone.")
}

fn patch_of_one(
    text: &SelectionText,
    file: &Path,
    keep: Option<std::path::PathBuf>,
) -> Result<BodyPatch, CommandError> {
    if text.letters.len() + text.ids.len() != 1 {
        let problem = "--patch applies to exactly one dead letter; specify one --letter or --id";
        return Err(CommandError::Usage(problem.to_owned()));
    }
    Ok(BodyPatch { change: BodyChange::Merge(json(file)?), keep })
}

fn without_selection(command: &str) -> CommandError {
    CommandError::Usage(format!(
        "`dead-letters {command}` requires a selection; specify at least one of: --letter, --id, --organization, --reason, \
         --session, --group, --before, --after, --all; `dead-letters list` lists the dead letters"
    ))
}

fn invalid(error: &SelectionError) -> CommandError {
    let option = match error.field {
        "letters" => "letter",
        "ids" => "id",
        name => name,
    };
    CommandError::Usage(format!("--{option}: found {:?}, expected {}", error.value, error.expected))
}

fn json(file: &Path) -> anyhow::Result<Value> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read the patch {}", file.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("the patch {} is not JSON", file.display()))
}

async fn work(config: &Config, order: Order) -> Result<(), CommandError> {
    let stop = CancellationToken::new();
    heed_signals(&stop).context("cannot listen for signals")?;
    let queue = RabbitDeadLetterQueue::new(app::bus_options(config));
    let mut letters = open(&queue, &stop).await?;
    let mut page: Box<dyn Printer> = if order.grouped {
        Box::new(GroupPrinter::begin(order.form))
    } else {
        Box::new(EntryPrinter::begin(order.form, &order.operation))
    };
    let mut tally = OperationTally::default();
    let mut watched = EntryWatch::new(&mut *page, |entry| tally.add(entry));
    let done = execute(&mut *letters, &order.operation, &mut watched, &stop).await;
    page.end();
    report_operation(config, &order.operation, &tally).await;
    report_discards(config, &tally.discarded).await;
    if let Some(warning) = letters.warning() {
        print_status(format_args!("warning: {warning}"));
    }
    conclude(&order.operation, done)
}

async fn open(queue: &dyn DeadLetterQueue, stop: &CancellationToken) -> Result<Box<dyn DeadLetters>, CommandError> {
    tokio::select! {
        opened = queue.open(&|text| print_status(text)) => Ok(opened.map_err(anyhow::Error::from)?),
        () = stop.cancelled() => Err(interrupted()),
    }
}

fn interrupted() -> CommandError {
    anyhow!("interrupted before anything was changed").into()
}

/// Prints the summary and determines the exit status.
fn conclude(order: &Operation, done: Result<Counts, OrderFailure>) -> Result<(), CommandError> {
    let tally = match done {
        Ok(tally) => tally,
        Err(problem @ OrderFailure::NotOne(0)) => {
            print_status(&problem);
            return Err(CommandError::NothingFound);
        }
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
    if tally.matched == 0 && !matches!(order.action, Action::List) {
        return Err(CommandError::NothingFound);
    }
    Ok(())
}

fn sum(order: &Operation, tally: &Counts) -> String {
    let Counts { seen, matched, failed, .. } = *tally;
    let did = match &order.action {
        Action::List | Action::Show => "",
        Action::Change(LetterChange::Replay, RunMode::Apply) | Action::Substitute(RunMode::Apply, _) => " replayed",
        Action::Change(LetterChange::Discard, RunMode::Apply) => " discarded",
        Action::Change(LetterChange::Replay, RunMode::DryRun) | Action::Substitute(RunMode::DryRun, _) => {
            " would be replayed"
        }
        Action::Change(LetterChange::Discard, RunMode::DryRun) => " would be discarded",
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
