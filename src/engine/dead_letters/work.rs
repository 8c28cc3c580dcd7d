//! Walk through the dead letters that applies an order and reports an entry for each match.
//! Nothing is removed from the dead-letter queue before the broker has confirmed its copy, or the operator has asked to delete it.

use async_trait::async_trait;
use futures_util::StreamExt;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::entry::{DeadLetterEntry, OperationResult};
use super::letter_id::LetterIds;
use super::order::{Action, BodyChange, BodyPatch, LetterChange, Operation, RunMode};
use super::patch::{PatchError, Patched, REPLACED_BODY, patched, replaced};
use super::whole::full_view;
use crate::ports::bus::headers::{OF_A_DEATH, REPLAYED_AT, REPLAYED_BY, REPLAYS};
use crate::ports::bus::{DeadLetter, DeadLetterError, DeadLetters, Replay};

/// Most replays waiting for the broker's confirm at once.
const OUTSTANDING: usize = 64;

/// Receiver of progress and results.
#[async_trait]
pub trait Observer: Send {
    /// Waits until the receiver has room for more entries; called before each window.
    async fn room(&mut self) {}
    /// Reports progress: dead letters read so far, and their total.
    fn looked_at(&mut self, count: u64, total: u64);
    /// Reports a match, with the result of the action, or the message if it is to be shown.
    fn entry(&mut self, entry: DeadLetterEntry);
}

/// Counts of a walk through the dead letters.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Dead letters read.
    pub seen: u64,
    /// Dead letters that matched the selection.
    pub matched: u64,
    /// Matches for which the action failed.
    pub failed: u64,
    /// True if the walk was stopped before its end.
    pub stopped: bool,
}

/// Error that ends a walk early.
#[derive(Debug, thiserror::Error)]
pub enum OrderFailure {
    /// The broker failed.
    #[error(transparent)]
    Letters(#[from] DeadLetterError),
    /// A patch requires exactly one match.
    #[error(
        "{0} dead letters match, but a patch requires exactly one; select one by its own id (--letter; `dead-letters list` shows it)"
    )]
    NotOne(u64),
    /// The patch can't be applied.
    #[error(transparent)]
    Patch(#[from] PatchError),
    /// The original body would be lost.
    #[error("the original body is too long for a header of the message; give a file to keep it in (--keep FILE)")]
    NowhereToKeep,
    /// The original body could not be saved.
    #[error("can't save the original body to {path}: {problem}")]
    Keep {
        /// File for the original.
        path: String,
        /// Error of the file system.
        problem: std::io::Error,
    },
}

/// Walks through all dead letters. `stop` ends the walk after those already in progress. On every error the dead letters not
/// yet processed stay in the queue.
pub async fn execute(
    letters: &mut dyn DeadLetters,
    order: &Operation,
    observer: &mut dyn Observer,
    stop: &CancellationToken,
) -> Result<Counts, OrderFailure> {
    let (tally, ids) = (Counts::default(), LetterIds::default());
    let mut work = Work { order, observer, stop, tally, ids, only: None };
    let done = match work.go_through(letters).await {
        Ok(()) => work.substitute().await,
        Err(failure) => Err(failure),
    };
    let tally = work.tally;
    let closed = letters.close().await;
    done?;
    closed?;
    Ok(tally)
}

struct Work<'a> {
    order: &'a Operation,
    observer: &'a mut dyn Observer,
    stop: &'a CancellationToken,
    tally: Counts,
    ids: LetterIds,
    /// Candidate for a patch.
    only: Option<(DeadLetterEntry, DeadLetter)>,
}

impl Work<'_> {
    async fn go_through(&mut self, letters: &mut dyn DeadLetters) -> Result<(), OrderFailure> {
        let total = letters.total();
        if self.order.action.changes_nothing() {
            letters.read_ahead();
        }
        loop {
            self.observer.room().await;
            if self.stop.is_cancelled() {
                self.tally.stopped = true;
                return Ok(());
            }
            let window = letters.next().await?;
            if window.is_empty() {
                return Ok(());
            }
            self.tally.seen += window.len() as u64;
            self.process_window(window).await?;
            self.observer.looked_at(self.tally.seen, total);
            if self.room() == 0 {
                return Ok(());
            }
        }
    }

    async fn process_window(&mut self, window: Vec<DeadLetter>) -> Result<(), OrderFailure> {
        let room = self.room();
        let (order, ids) = (self.order, &mut self.ids);
        let read = window
            .into_iter()
            .map(|letter| (DeadLetterEntry::of(&letter, ids.assign(letter.digest), order.limits), letter));
        let chosen: Vec<_> = read.filter(|(entry, _)| order.selection.matches(entry)).take(room).collect();
        self.tally.matched += chosen.len() as u64;
        match &self.order.action {
            Action::List => chosen.into_iter().for_each(|(entry, _)| self.observer.entry(entry)),
            Action::Show => {
                for (entry, letter) in chosen {
                    let message = Some(full_view(letter.details(), &letter.body));
                    self.observer.entry(DeadLetterEntry { message, ..entry });
                }
            }
            Action::Change(change, RunMode::DryRun) => self.rehearse(chosen, change.rehearsed()),
            Action::Change(LetterChange::Replay, RunMode::Apply) => {
                let by = self.order.by.as_deref();
                return self.all(chosen, |entry, letter| replay(entry, letter, by)).await;
            }
            Action::Change(LetterChange::Discard, RunMode::Apply) => return self.all(chosen, discard).await,
            Action::Substitute(..) => self.only = chosen.into_iter().next().or(self.only.take()),
        }
        Ok(())
    }

    /// Number of matches that the walk may still report.
    fn room(&self) -> usize {
        let matched = usize::try_from(self.tally.matched).unwrap_or(usize::MAX);
        self.order.most.map_or(usize::MAX, |most| most.saturating_sub(matched))
    }

    fn rehearse(&mut self, chosen: Vec<(DeadLetterEntry, DeadLetter)>, fate: OperationResult) {
        for (entry, _) in chosen {
            self.observer.entry(entry.with(fate));
        }
    }

    /// Acts on many dead letters concurrently and reports them in their order.
    async fn all<F>(
        &mut self,
        chosen: Vec<(DeadLetterEntry, DeadLetter)>,
        act: impl Fn(DeadLetterEntry, DeadLetter) -> F + Send,
    ) -> Result<(), OrderFailure>
    where
        F: Future<Output = Result<DeadLetterEntry, DeadLetterError>> + Send,
    {
        let stop = self.stop;
        let chosen = chosen.into_iter().take_while(|_| !stop.is_cancelled());
        let mut done = std::pin::pin!(
            futures_util::stream::iter(chosen).map(|(entry, letter)| act(entry, letter)).buffered(OUTSTANDING)
        );
        while let Some(entry) = done.next().await {
            let entry = entry?;
            self.tally.failed += u64::from(entry.result == Some(OperationResult::Failed));
            self.observer.entry(entry);
        }
        Ok(())
    }

    /// Applies the patch after the walk, because only then is it certain that exactly one dead letter matches.
    async fn substitute(&mut self) -> Result<(), OrderFailure> {
        let Action::Substitute(effect, substitute) = &self.order.action else { return Ok(()) };
        if self.tally.stopped {
            return Ok(());
        }
        let Some((entry, letter)) = self.only.take().filter(|_| self.tally.matched == 1) else {
            return Err(OrderFailure::NotOne(self.tally.matched));
        };
        let (envelope, body, limits) = (&letter.envelope, &letter.body, self.order.limits);
        let patched = match &substitute.change {
            BodyChange::Merge(patch) => patched(envelope, body, patch, limits)?,
            BodyChange::Replace(after) => replaced(envelope, body, after, limits)?,
        };
        if patched.original.is_none() && substitute.keep.is_none() {
            return Err(OrderFailure::NowhereToKeep);
        }
        if *effect == RunMode::DryRun {
            self.observer.entry(entry.with(OperationResult::WouldReplay));
            return Ok(());
        }
        keep(substitute, &letter.body)?;
        let Patched { body, original } = patched;
        let mut message = as_replay(&letter, self.order.by.as_deref());
        message.body = Some(body);
        message.headers.extend(original.map(|original| (REPLACED_BODY, original)));
        let entry = record_result(entry, letter.replay(message).await, OperationResult::Replayed)?;
        self.tally.failed += u64::from(entry.result == Some(OperationResult::Failed));
        self.observer.entry(entry);
        Ok(())
    }
}

async fn replay(
    entry: DeadLetterEntry,
    letter: DeadLetter,
    by: Option<&str>,
) -> Result<DeadLetterEntry, DeadLetterError> {
    let message = as_replay(&letter, by);
    record_result(entry, letter.replay(message).await, OperationResult::Replayed)
}

async fn discard(entry: DeadLetterEntry, letter: DeadLetter) -> Result<DeadLetterEntry, DeadLetterError> {
    record_result(entry, letter.discard().await, OperationResult::Discarded)
}

/// Returns the replay of a dead letter: without the headers added when it was given up, and marked as replayed.
fn as_replay(letter: &DeadLetter, by: Option<&str>) -> Replay {
    let before: u64 = letter.envelope.header(REPLAYS).and_then(|text| text.parse().ok()).unwrap_or(0);
    // Truncated to milliseconds, the precision of the worker's own times, which are compared with it.
    let now = Timestamp::now();
    let now = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
    let mut headers = vec![(REPLAYS, before.saturating_add(1).to_string()), (REPLAYED_AT, now.to_string())];
    headers.extend(by.map(|by| (REPLAYED_BY, by.to_owned())));
    Replay { body: None, headers, without: OF_A_DEATH }
}

/// Records the result. A failure of one dead letter goes into its entry; a failure of the broker ends the walk.
fn record_result(
    entry: DeadLetterEntry,
    done: Result<(), DeadLetterError>,
    fate: OperationResult,
) -> Result<DeadLetterEntry, DeadLetterError> {
    match done {
        Ok(()) => {
            info!(
                letter_id = entry.letter_id,
                event_id = entry.event_id,
                organization_id = entry.organization_id,
                session_id = entry.session_id,
                reason = entry.reason,
                result = fate.as_str(),
                "operator {} dead letter",
                fate.as_str()
            );
            Ok(entry.with(fate))
        }
        Err(problem @ (DeadLetterError::Publish(_) | DeadLetterError::Twice(_))) => {
            Ok(entry.failed(problem.to_string()))
        }
        Err(problem) => Err(problem),
    }
}

/// Saves the original before anything is changed, for its owner alone, and never overwrites a file.
fn keep(substitute: &BodyPatch, original: &[u8]) -> Result<(), OrderFailure> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let Some(path) = &substitute.keep else { return Ok(()) };
    let written =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).and_then(|mut file| {
            file.write_all(original)?;
            file.sync_all()
        });
    written.map_err(|problem| OrderFailure::Keep { path: path.display().to_string(), problem })
}
