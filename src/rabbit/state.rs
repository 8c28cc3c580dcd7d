//! The state at this moment: the line, and why the worker is not ready.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::line::Line;
use super::lock;
use super::refusal::StartError;
use super::settle::ConsumeContext;

/// Shared by the supervisor, who writes it, and everybody else.
pub(super) struct State {
    now: Mutex<Now>,
    /// The first time that the topology stood, or why it never will.
    contact: watch::Sender<Option<Result<(), StartError>>>,
    /// Counts changes of whether it consumes.
    changes: watch::Sender<u64>,
}

struct Now {
    context: Option<Arc<ConsumeContext>>,
    /// What there is instead of a consumer; nothing while it consumes.
    instead: Option<String>,
    /// Cancelled when it no longer consumes.
    until: CancellationToken,
}

impl Now {
    fn new(context: Option<Arc<ConsumeContext>>, instead: String) -> Self {
        Self { context, instead: Some(instead), until: CancellationToken::new() }
    }
}

impl State {
    pub(super) fn new(place: &str) -> Self {
        Self {
            now: Mutex::new(Now::new(None, format!("connecting to the broker at {place}"))),
            contact: watch::Sender::new(None),
            changes: watch::Sender::new(0),
        }
    }

    /// The line that is up, with all that messages are settled with.
    pub(super) fn context(&self) -> Option<Arc<ConsumeContext>> {
        self.lock().context.clone().filter(|context| !context.line.has_ended())
    }

    /// The line that is up.
    pub(super) fn line(&self) -> Option<Arc<Line>> {
        Some(self.context()?.line.clone())
    }

    /// The line that consumes, and until when it does.
    pub(super) fn consumer(&self) -> Option<(Arc<ConsumeContext>, CancellationToken)> {
        let context = self.context()?;
        let now = self.lock();
        now.instead.is_none().then(|| (context, now.until.clone()))
    }

    /// Counts changes of whether it consumes.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// A line is up; it does not consume yet.
    pub(super) fn connected(&self, context: Arc<ConsumeContext>) {
        *self.lock() = Now::new(Some(context), "the consumer has not been started".to_owned());
        self.contact.send_replace(Some(Ok(())));
    }

    /// It consumes.
    pub(super) fn consuming(&self) {
        {
            let mut now = self.lock();
            if now.instead.take().is_some() {
                now.until = CancellationToken::new();
            }
        }
        self.changed();
    }

    /// There is a line, but it does not consume.
    pub(super) fn not_consuming(&self, why: &str) {
        {
            let mut now = self.lock();
            now.instead = Some(why.to_owned());
            now.until.cancel();
        }
        self.changed();
    }

    /// There is no line. Whether that is news.
    pub(super) fn away(&self, why: String) -> bool {
        let news = {
            let mut now = self.lock();
            let news = now.context.is_some() || now.instead.as_ref() != Some(&why);
            now.until.cancel();
            *now = Now::new(None, why);
            news
        };
        self.changed();
        news
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// The set-up can't be right; only the first contact is told.
    pub(super) fn unfit(&self, error: &StartError) {
        self.contact.send_if_modified(|contact| {
            let first = contact.is_none();
            if first {
                *contact = Some(Err(error.clone()));
            }
            first
        });
    }

    /// Waits for the first contact.
    pub(super) async fn contact(&self) -> Result<(), StartError> {
        let mut contact = self.contact.subscribe();
        match contact.wait_for(Option::is_some).await {
            Ok(result) => result.clone().unwrap_or(Ok(())),
            // The sender lives in `self`.
            Err(_) => Ok(()),
        }
    }

    /// Whether it consumes.
    pub(super) fn consumes(&self) -> bool {
        self.lock().instead.is_none()
    }

    /// Why it is not ready.
    pub(super) fn unready(&self) -> Vec<String> {
        let now = self.lock();
        let blocked = now.context.as_ref().and_then(|context| context.line.blocked());
        now.instead.iter().cloned().chain(blocked).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        lock(&self.now)
    }
}
