//! Group commit: one statement for all waiting calls, one after the other.
//!
//! A call that finds no commit under way is committed at once; while a commit is under way, calls gather for the next
//! one. So nothing waits artificially, and the more there is to do, the less a call costs.

use std::sync::Arc;
use std::time::Duration;

use handoffd_engine::ports::metrics::{Measurement, Metrics};
use handoffd_engine::ports::store::{Change, StoreError};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;

use super::batch::Batch;
use super::errors::{FailureKind, ServerFailure};
use super::health::{StoreHealth, StorePart};
use super::keys;
use super::link::ServerLink;
use super::pending::PendingKeys;
use super::statement::{Durability, Statement};

/// Longest time that noted changes wait for a commit that takes them along.
const NOTED: Duration = Duration::from_millis(25);
/// Largest number of calls in one statement.
const LARGEST: usize = 500;
/// Time after which a commit without an answer makes the store unhealthy. It is still waited for: a standby may have
/// to confirm it, and giving it up would leave it unknown.
const SLOW: Duration = Duration::from_secs(10);
/// Pause before a failed commit is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// Pauses in milliseconds before a commit is tried again that another transaction was in the way of.
const PAUSES: [u64; 4] = [5, 20, 50, 200];

/// Call that waits for its commit.
pub(super) struct CommitCall {
    /// Changes of the call, all or none of which are committed.
    pub changes: Vec<Change>,
    /// Durability that the caller waits for, with its answer; `None` for a note.
    pub waiter: Option<(Durability, CommitWaiter)>,
    /// True while readers of the call's keys wait for it.
    pub is_pending: bool,
}

/// Answer to a call.
pub(super) type CommitWaiter = oneshot::Sender<Result<(), StoreError>>;

/// State of the task that commits.
pub(super) struct BatchCommitter {
    /// Calls, in their order.
    pub calls: mpsc::UnboundedReceiver<CommitCall>,
    /// Connection that commits.
    pub link: ServerLink,
    /// Keys of the waiting calls.
    pub pending: Arc<PendingKeys>,
    /// Health of the store.
    pub health: Arc<StoreHealth>,
    /// Receives the duration of each commit.
    pub metrics: Arc<dyn Metrics>,
    /// Receives the earliest time of the outcomes in each commit, in nanoseconds.
    pub ended: Box<dyn Fn(i64) + Send>,
}

impl BatchCommitter {
    /// Commits calls until all handles to the store are gone or closed, and all calls are answered.
    pub(super) async fn serve(mut self) {
        let mut waiting = Vec::new();
        while self.gather(&mut waiting).await {
            let rest = waiting.split_off(waiting.len().min(LARGEST));
            let calls = std::mem::replace(&mut waiting, rest);
            if let Err(failure) = self.commit(calls).await {
                self.recover(failure, &mut waiting).await;
            }
        }
    }

    /// Waits until there is something to commit. Returns false if there will be nothing any more.
    async fn gather(&mut self, waiting: &mut Vec<CommitCall>) -> bool {
        let mut noted = None;
        loop {
            while let Ok(call) = self.calls.try_recv() {
                waiting.push(call);
            }
            if waiting.iter().any(|call| call.waiter.is_some()) || waiting.len() >= LARGEST {
                return true;
            }
            let call = if waiting.is_empty() {
                self.calls.recv().await
            } else {
                let first = *noted.get_or_insert_with(Instant::now);
                tokio::select! {
                    call = self.calls.recv() => call,
                    () = sleep_until(first + NOTED) => return true,
                }
            };
            match call {
                Some(call) => waiting.push(call),
                None => return !waiting.is_empty(),
            }
        }
    }

    /// Commits calls in one statement. Fails with those that are still to be committed; their callers have been
    /// answered.
    async fn commit(&mut self, calls: Vec<CommitCall>) -> Result<(), Unwritten> {
        let began = Instant::now();
        let result = self.write(&calls).await;
        match result {
            Ok(written) => {
                self.health.set(StorePart::Commits, None);
                self.metrics.record(Measurement::StoreFlushed(began.elapsed()));
                for (number, call) in (0..).zip(calls) {
                    let answer = written.answer(number, &call.changes);
                    self.answer(call, answer);
                }
                Ok(())
            }
            Err(failure) if failure.kind == FailureKind::Data && calls.len() > 1 => self.commit_each(calls).await,
            Err(failure) if failure.kind == FailureKind::Data => {
                warn!(error = %failure, "PostgreSQL refused a change");
                self.answer_all(calls, &Err(failure.writing()));
                Ok(())
            }
            Err(failure) => {
                let calls = self.answer_all(calls, &Err(failure.clone().writing()));
                Err(Unwritten { failure, calls })
            }
        }
    }

    /// Commits each call by itself, after one of them was refused for its data.
    async fn commit_each(&mut self, calls: Vec<CommitCall>) -> Result<(), Unwritten> {
        let mut calls = calls.into_iter();
        while let Some(call) = calls.next() {
            if let Err(mut unwritten) = Box::pin(self.commit(vec![call])).await {
                let problem = unwritten.failure.clone().writing();
                unwritten.calls.extend(self.answer_all(calls.collect(), &Err(problem)));
                return Err(unwritten);
            }
        }
        Ok(())
    }

    /// Keeps what could not be written and tries again until the server takes it. Calls that arrive meanwhile fail. So
    /// a call that failed may be committed later, but nothing that was noted is lost while the process lives.
    async fn recover(&mut self, unwritten: Unwritten, waiting: &mut Vec<CommitCall>) {
        let Unwritten { mut failure, mut calls } = unwritten;
        loop {
            let problem = failure.clone().unavailable();
            self.health.set(StorePart::Commits, Some(problem.clone()));
            calls.extend(self.answer_all(std::mem::take(waiting), &Err(problem.clone())));
            self.reject_until(Instant::now() + AGAIN, &problem, &mut calls).await;
            match self.commit(calls).await {
                Ok(()) => return,
                Err(unwritten) => Unwritten { failure, calls } = unwritten,
            }
            if self.calls.is_closed() && self.calls.is_empty() {
                return; // the store is closing, and its server is away
            }
        }
    }

    async fn reject_until(&mut self, until: Instant, problem: &StoreError, rejected: &mut Vec<CommitCall>) {
        loop {
            tokio::select! {
                () = sleep_until(until) => return,
                call = self.calls.recv() => match call {
                    Some(call) => rejected.push(self.answer(call, Err(problem.clone()))),
                    None => return sleep_until(until).await,
                },
            }
        }
    }

    /// Answers calls and returns them without their callers.
    fn answer_all(&self, calls: Vec<CommitCall>, result: &Result<(), StoreError>) -> Vec<CommitCall> {
        calls.into_iter().map(|call| self.answer(call, result.clone())).collect()
    }

    /// Answers a call and returns it without its caller.
    fn answer(&self, mut call: CommitCall, result: Result<(), StoreError>) -> CommitCall {
        if std::mem::take(&mut call.is_pending) {
            self.pending.remove(&call.changes);
        }
        if let Some((_, waiter)) = call.waiter.take() {
            _ = waiter.send(result); // the caller may be gone
        }
        call
    }

    /// Writes calls in one transaction. Tries again where that may help at once.
    async fn write(&mut self, calls: &[CommitCall]) -> Result<WrittenCalls, ServerFailure> {
        let durable = calls.iter().any(|call| matches!(call.waiter, Some((Durability::Durable, _))));
        let batch = Batch::of(calls.iter().map(|call| call.changes.as_slice()));
        if let Some(earliest) = batch.finish_times().min() {
            (self.ended)(earliest);
        }
        let durability = if durable { Durability::Durable } else { Durability::MayBeLost };
        let statement = Statement::write(&batch, durability);
        for pause in PAUSES {
            match self.execute(&statement).await {
                Err(failure) if failure.kind == FailureKind::NoPartition => self.add_days(&batch).await?,
                Err(failure) if failure.kind == FailureKind::Conflict => sleep(Duration::from_millis(pause)).await,
                written => return written,
            }
        }
        self.execute(&statement).await
    }

    async fn execute(&mut self, statement: &Statement) -> Result<WrittenCalls, ServerFailure> {
        let client = self.link.client()?;
        let params = statement.params();
        let mut answer = std::pin::pin!(client.query_typed(&statement.text, &params));
        let answer = tokio::select! {
            answer = &mut answer => answer,
            () = sleep(SLOW) => {
                let slow = ServerFailure::new(FailureKind::Unavailable, format!("no answer to a commit within {SLOW:?}"));
                self.health.set(StorePart::Commits, Some(slow.unavailable()));
                answer.await
            }
        };
        let rows = answer?;
        let Some(row) = rows.first() else { return Ok(WrittenCalls::default()) };
        Ok(WrittenCalls { held: row.try_get(0)?, allowed: row.try_get(1)? })
    }

    /// Creates the partitions of the batch's outcomes.
    async fn add_days(&mut self, batch: &Batch<'_>) -> Result<(), ServerFailure> {
        let mut days: Vec<i64> = batch.finish_times().map(keys::day).collect();
        days.sort_unstable();
        days.dedup();
        let client = self.link.client()?;
        for day in days {
            super::sweep::add_day(&client, day).await?;
        }
        Ok(())
    }
}

/// Numbers of the guarded calls whose claim holds, and of those that were written.
#[derive(Default)]
struct WrittenCalls {
    held: Vec<i32>,
    allowed: Vec<i32>,
}

impl WrittenCalls {
    /// Returns the answer to a call.
    fn answer(&self, number: i32, changes: &[Change]) -> Result<(), StoreError> {
        let is_guarded = changes.iter().any(|change| matches!(change, Change::Guard(_)));
        if !is_guarded || self.allowed.contains(&number) {
            return Ok(());
        }
        Err(if self.held.contains(&number) { StoreError::Superseded } else { StoreError::Fenced })
    }
}

/// Calls that could not be written.
struct Unwritten {
    failure: ServerFailure,
    calls: Vec<CommitCall>,
}
