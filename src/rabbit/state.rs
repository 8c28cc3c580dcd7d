//! Current state of the bus: its line to the broker, and the reasons for which the worker is not ready.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::link::Link;
use super::refusal::StartError;
use super::settle::ConsumeContext;
use super::shared::lock;

/// State that the supervisor writes and every other part of the bus reads.
pub(super) struct SharedState {
    now: Mutex<ConnectionState>,
    /// Outcome of the first contact: the topology is complete, or it can never be.
    contact: watch::Sender<Option<Result<(), StartError>>>,
    /// Counter of the changes between consuming and not consuming.
    changes: watch::Sender<u64>,
}

struct ConnectionState {
    context: Option<Arc<ConsumeContext>>,
    /// Reason for which nothing is consumed; `None` while the inbox is consumed.
    not_consuming_reason: Option<String>,
    /// Cancelled when consuming ends.
    until: CancellationToken,
}

impl ConnectionState {
    fn new(context: Option<Arc<ConsumeContext>>, instead: String) -> Self {
        Self { context, not_consuming_reason: Some(instead), until: CancellationToken::new() }
    }
}

impl SharedState {
    pub(super) fn new(place: &str) -> Self {
        Self {
            now: Mutex::new(ConnectionState::new(None, format!("connecting to the broker at {place}"))),
            contact: watch::Sender::new(None),
            changes: watch::Sender::new(0),
        }
    }

    /// Context of the current line, for settling messages.
    pub(super) fn context(&self) -> Option<Arc<ConsumeContext>> {
        self.lock().context.clone().filter(|context| !context.line.has_ended())
    }

    /// Current line to the broker.
    pub(super) fn line(&self) -> Option<Arc<Link>> {
        Some(self.context()?.line.clone())
    }

    /// Context of the line that consumes, and the token that is cancelled when consuming ends.
    pub(super) fn consumer(&self) -> Option<(Arc<ConsumeContext>, CancellationToken)> {
        let context = self.context()?;
        let now = self.lock();
        now.not_consuming_reason.is_none().then(|| (context, now.until.clone()))
    }

    /// Subscribes to the counter of changes between consuming and not consuming.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Records a new line that does not consume yet.
    pub(super) fn connected(&self, context: Arc<ConsumeContext>) {
        *self.lock() = ConnectionState::new(Some(context), "the consumer has not been started".to_owned());
        self.contact.send_replace(Some(Ok(())));
    }

    /// Records that the inbox is consumed.
    pub(super) fn consuming(&self) {
        {
            let mut now = self.lock();
            if now.not_consuming_reason.take().is_some() {
                now.until = CancellationToken::new();
            }
        }
        self.changed();
    }

    /// Records that the line is up and does not consume, with the reason.
    pub(super) fn not_consuming(&self, why: &str) {
        {
            let mut now = self.lock();
            now.not_consuming_reason = Some(why.to_owned());
            now.until.cancel();
        }
        self.changed();
    }

    /// Records that there is no line. Returns true if the reason is new.
    pub(super) fn set_disconnected(&self, why: String) -> bool {
        let is_new = {
            let mut now = self.lock();
            let is_new = now.context.is_some() || now.not_consuming_reason.as_ref() != Some(&why);
            now.until.cancel();
            *now = ConnectionState::new(None, why);
            is_new
        };
        self.changed();
        is_new
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Records that the topology can never be right. Only the first contact reports it.
    pub(super) fn set_topology_error(&self, error: &StartError) {
        self.contact.send_if_modified(|contact| {
            let first = contact.is_none();
            if first {
                *contact = Some(Err(error.clone()));
            }
            first
        });
    }

    /// Waits for the first contact and returns its outcome.
    pub(super) async fn contact(&self) -> Result<(), StartError> {
        let mut contact = self.contact.subscribe();
        match contact.wait_for(Option::is_some).await {
            Ok(result) => result.clone().unwrap_or(Ok(())),
            // The sender lives in `self`.
            Err(_) => Ok(()),
        }
    }

    /// True while the inbox is consumed.
    pub(super) fn consumes(&self) -> bool {
        self.lock().not_consuming_reason.is_none()
    }

    /// Reasons for which the worker is not ready.
    pub(super) fn unready(&self) -> Vec<String> {
        let now = self.lock();
        let blocked = now.context.as_ref().and_then(|context| context.line.blocked());
        now.not_consuming_reason.iter().cloned().chain(blocked).collect()
    }

    fn lock(&self) -> MutexGuard<'_, ConnectionState> {
        lock(&self.now)
    }
}
