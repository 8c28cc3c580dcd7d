//! Current state of the bus: its line to the broker, and the reasons for which the worker is not ready.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::consume::settle::ConsumeContext;
use super::link::Link;
use super::refusal::StartError;

/// State that the supervisor writes and every other part of the bus reads.
pub(super) struct SharedState {
    now: watch::Sender<ConnectionState>,
    /// Outcome of the first contact: the topology is complete, or it can never be.
    contact: watch::Sender<Option<Result<(), StartError>>>,
}

/// Connection to the broker.
pub(super) struct ConnectionState {
    context: Option<Arc<ConsumeContext>>,
    /// Reason for which nothing is consumed; `None` while the inbox is consumed.
    not_consuming_reason: Option<String>,
    /// Reason for which the connected broker counts as silent.
    silent_reason: Option<String>,
    /// Cancelled when consuming ends.
    until: CancellationToken,
}

impl ConnectionState {
    fn new(context: Option<Arc<ConsumeContext>>, instead: String) -> Self {
        Self { context, not_consuming_reason: Some(instead), silent_reason: None, until: CancellationToken::new() }
    }

    /// Context of the line, unless it has ended.
    fn context(&self) -> Option<Arc<ConsumeContext>> {
        self.context.clone().filter(|context| !context.link.has_ended())
    }
}

impl SharedState {
    pub(super) fn new(place: &str) -> Self {
        let now = ConnectionState::new(None, format!("connecting to the broker at {place}"));
        Self { now: watch::Sender::new(now), contact: watch::Sender::new(None) }
    }

    /// Context of the current line, for settling messages.
    pub(super) fn context(&self) -> Option<Arc<ConsumeContext>> {
        self.now.borrow().context()
    }

    /// Current line to the broker.
    pub(super) fn link(&self) -> Option<Arc<Link>> {
        Some(self.context()?.link.clone())
    }

    /// Context of the line that consumes, and the token that is cancelled when consuming ends.
    pub(super) fn consumer(&self) -> Option<(Arc<ConsumeContext>, CancellationToken)> {
        let now = self.now.borrow();
        now.context().filter(|_| now.not_consuming_reason.is_none()).map(|context| (context, now.until.clone()))
    }

    /// Subscribes to changes.
    pub(super) fn changes(&self) -> watch::Receiver<ConnectionState> {
        self.now.subscribe()
    }

    /// Records a new line that does not consume yet.
    pub(super) fn connected(&self, context: Arc<ConsumeContext>) {
        self.now.send_replace(ConnectionState::new(Some(context), "the consumer has not been started".to_owned()));
        self.contact.send_replace(Some(Ok(())));
    }

    /// Records that the inbox is consumed.
    pub(super) fn consuming(&self) {
        self.now.send_modify(|now| {
            if now.not_consuming_reason.take().is_some() {
                now.until = CancellationToken::new();
            }
        });
    }

    /// Records that the line is up and does not consume, with the reason.
    pub(super) fn not_consuming(&self, why: &str) {
        self.now.send_modify(|now| {
            now.not_consuming_reason = Some(why.to_owned());
            now.until.cancel();
        });
    }

    /// Records for which reason the connected broker counts as silent, or that it answers.
    pub(super) fn set_silent(&self, why: Option<String>) {
        self.now.send_modify(|now| now.silent_reason = why);
    }

    /// Records that there is no line. Returns true if the reason is new.
    pub(super) fn set_disconnected(&self, why: String) -> bool {
        let before = self.now.send_replace(ConnectionState::new(None, why.clone()));
        before.until.cancel();
        before.context.is_some() || before.not_consuming_reason != Some(why)
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
        self.now.borrow().not_consuming_reason.is_none()
    }

    /// True while the broker is connected and answers.
    pub(super) fn answers(&self) -> bool {
        let now = self.now.borrow();
        now.context().is_some() && now.silent_reason.is_none()
    }

    /// Reasons for which the worker is not ready.
    pub(super) fn unready(&self) -> Vec<String> {
        let now = self.now.borrow();
        let blocked = now.context.as_ref().and_then(|context| context.link.blocked());
        now.not_consuming_reason.iter().chain(&now.silent_reason).cloned().chain(blocked).collect()
    }
}
