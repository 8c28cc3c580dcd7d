//! Entries streamed as a JSON array while they are read, so that memory stays bounded.

use std::time::Duration;

use async_trait::async_trait;
use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use handoffd_engine::dead_letters::{DeadLetterEntry, Observer};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::browse_end::{BrowseEnd, BrowseTask, broken_off};
use crate::admin::api::Problem;

/// Chunks between the reader and the sender; each holds the entries of one window.
const BETWEEN: usize = 2;
/// Longest wait for a client that reads nothing; it would keep others from the dead letters.
const STALL: Duration = Duration::from_secs(10);
/// Silence after which the response begins, so that clients do not give up. Until then a failure becomes a problem.
const SILENCE: Duration = Duration::from_secs(5);

/// Observer that writes entries into chunks.
pub(super) struct Writer {
    text: String,
    /// True once the array has begun.
    open: bool,
    entries: usize,
    limit: usize,
    /// Time at which a chunk was last sent, or the pass began.
    sent: Instant,
    chunks: mpsc::Sender<Bytes>,
    stop: CancellationToken,
}

/// Output of a pass, in chunks.
pub(super) struct AnswerChunks {
    chunks: mpsc::Receiver<Bytes>,
    look: Option<BrowseTask<Writer>>,
    ended: Option<(Writer, BrowseEnd)>,
    /// Cancels the pass when the client disconnects.
    _guard: DropGuard,
}

/// Returns a writer of at most `limit` entries and the receiver of its chunks. Cancels `stop` if nobody receives them.
pub(super) fn pair(stop: &CancellationToken, limit: usize) -> (Writer, mpsc::Receiver<Bytes>) {
    let (chunks, receiver) = mpsc::channel(BETWEEN);
    let stop = stop.clone();
    (Writer { text: String::new(), open: false, entries: 0, limit, sent: Instant::now(), chunks, stop }, receiver)
}

impl AnswerChunks {
    pub(super) fn new(look: BrowseTask<Writer>, chunks: mpsc::Receiver<Bytes>, stop: CancellationToken) -> Self {
        Self { chunks, look: Some(look), ended: None, _guard: stop.drop_guard() }
    }

    /// Returns the response: a problem if the pass fails before anything was sent; a truncated body if it fails later.
    pub(super) async fn answer(mut self) -> Result<Response, Problem> {
        let first = self.next().await.unwrap_or_else(|| Err(broken_off()))?;
        let body = stream::unfold((Some(first), self), |(first, mut pieces)| async {
            let piece = match first {
                Some(first) => Ok(first),
                None => pieces.next().await?.map_err(|problem| std::io::Error::other(problem.to_string())),
            };
            Some((piece, (None, pieces)))
        });
        Ok(([(header::CONTENT_TYPE, "application/json")], Body::from_stream(body)).into_response())
    }

    async fn next(&mut self) -> Option<Result<Bytes, Problem>> {
        loop {
            if let Ok(chunk) = self.chunks.try_recv() {
                return Some(Ok(chunk));
            }
            if let Some((writer, done)) = self.ended.take() {
                return Some(writer.end(done));
            }
            let look = self.look.as_mut()?;
            tokio::select! {
                Some(chunk) = self.chunks.recv() => return Some(Ok(chunk)),
                ended = look => {
                    self.look = None;
                    match ended {
                        Ok(ended) => self.ended = Some(ended),
                        Err(_) => return Some(Err(broken_off())),
                    }
                }
            }
        }
    }
}

impl Writer {
    /// Returns the remaining text, or the failure with the results so far.
    fn end(mut self, done: BrowseEnd) -> Result<Bytes, Problem> {
        self.begin();
        self.text.push_str(if self.entries == 0 { "]" } else { "\n]" });
        match done {
            Ok(tally) if tally.stopped && self.entries < self.limit => Err(self.tell(broken_off())),
            Ok(_) => Ok(Bytes::from(self.text)),
            Err(problem) => Err(self.tell(problem)),
        }
    }

    fn tell(&self, problem: Problem) -> Problem {
        match serde_json::from_str::<Value>(&self.text) {
            Ok(done) if done[0]["result"].is_string() => problem.with("results", done),
            _ => problem,
        }
    }

    fn begin(&mut self) {
        if !self.open {
            self.text.push('[');
            self.open = true;
        }
    }
}

#[async_trait]
impl Observer for Writer {
    async fn room(&mut self) {
        if self.text.is_empty() {
            if self.sent.elapsed() < SILENCE {
                return;
            }
            self.begin();
            self.text.push('\n');
        }
        let chunk = Bytes::from(std::mem::take(&mut self.text));
        if !matches!(timeout(STALL, self.chunks.send(chunk)).await, Ok(Ok(()))) {
            self.stop.cancel();
        }
        self.sent = Instant::now();
    }

    fn looked_at(&mut self, _: u64, _: u64) {}

    fn entry(&mut self, entry: DeadLetterEntry) {
        if self.entries == self.limit {
            return self.stop.cancel();
        }
        self.begin();
        // Serialization can't fail: the entry holds only strings, numbers and nulls.
        let text = serde_json::to_string(&entry).unwrap_or_default();
        self.text.push_str(if self.entries == 0 { "\n" } else { ",\n" });
        self.text.push_str(&text);
        self.entries += 1;
    }

    fn shown(&mut self, _: DeadLetterEntry, _: Value, _: &Bytes) {}
}
