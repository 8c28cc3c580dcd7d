//! What is known at this moment: the line, and why the worker is not ready.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use super::line::Line;
use super::lock;
use super::refusal::StartError;

/// Shared by the supervisor, who writes it, and everybody else.
pub(super) struct State {
    now: Mutex<Now>,
    /// The first time that the topology stood, or why it never will.
    contact: watch::Sender<Option<Result<(), StartError>>>,
}

struct Now {
    line: Option<Arc<Line>>,
    /// What there is instead of a consumer; nothing while it consumes.
    instead: Option<String>,
}

impl State {
    pub(super) fn new(place: &str) -> Self {
        Self {
            now: Mutex::new(Now { line: None, instead: Some(format!("connecting to the broker at {place}")) }),
            contact: watch::Sender::new(None),
        }
    }

    /// The line that is up.
    pub(super) fn line(&self) -> Option<Arc<Line>> {
        self.lock().line.clone().filter(|line| !line.has_ended())
    }

    /// A line is up; `instead` it does not consume yet.
    pub(super) fn connected(&self, line: Arc<Line>) {
        *self.lock() = Now { line: Some(line), instead: Some("the consumer has not been started".to_owned()) };
        self.contact.send_replace(Some(Ok(())));
    }

    /// It consumes.
    pub(super) fn consuming(&self) {
        self.lock().instead = None;
    }

    /// There is a line, but it does not consume.
    pub(super) fn not_consuming(&self, why: &str) {
        self.lock().instead = Some(why.to_owned());
    }

    /// There is no line. Says whether that is news.
    pub(super) fn away(&self, why: String) -> bool {
        let mut now = self.lock();
        let news = now.line.is_some() || now.instead.as_ref() != Some(&why);
        *now = Now { line: None, instead: Some(why) };
        news
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
        let blocked = now.line.as_ref().is_some_and(|line| line.is_blocked());
        let blocked = blocked.then(|| "the broker blocks publishers (memory or disk alarm)".to_owned());
        now.instead.iter().cloned().chain(blocked).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        lock(&self.now)
    }
}
