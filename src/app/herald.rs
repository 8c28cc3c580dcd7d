//! Tells the service manager (systemd, or whoever has set `NOTIFY_SOCKET`) how the worker stands.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::warn;

use super::vitals::Unready;

/// How often it is looked whether the worker is ready, and why not.
const LOOK: Duration = Duration::from_millis(250);
/// Between two signs of life where nobody waits for any.
const NEVER: Duration = Duration::from_secs(24 * 3600);
/// Messages that wait for a manager that takes none; later ones are dropped.
const MOST_WAITING: usize = 64;

/// Speaks to the service manager; where there is none, to nobody.
#[derive(Clone)]
pub(super) struct Herald {
    /// The manager has heard that the worker is ready.
    heard: Arc<AtomicBool>,
    /// To the thread that speaks to the manager, where there is one: sending to a manager that takes nothing waits.
    manager: Option<SyncSender<Notification>>,
}

enum Notification {
    States(Vec<NotifyState<'static>>),
    Status(String),
}

impl Herald {
    /// Tells when the worker consumes, why it does not, and that it is alive: at half of the watchdog's time, by a task of
    /// the runtime that carries the events, so that one that hangs is found out.
    pub(super) fn speak(unready: Unready) -> Self {
        let manager = std::env::var_os("NOTIFY_SOCKET").and_then(|_| begin());
        let herald = Self { heard: Arc::default(), manager };
        if herald.manager.is_some() {
            tokio::spawn(herald.clone().go_on(unready, sd_notify::watchdog_enabled()));
        }
        herald
    }

    /// SIGHUP has come: the organizations are read again.
    pub(super) fn reloads(&self) {
        let now = NotifyState::monotonic_usec_now();
        if let (true, Ok(now)) = (self.heard.load(Ordering::Relaxed), now) {
            self.tell(vec![NotifyState::Reloading, now]);
        }
    }

    /// They are in force.
    pub(super) fn has_reloaded(&self) {
        if self.heard.load(Ordering::Relaxed) {
            self.tell(vec![NotifyState::Ready]);
        }
    }

    /// No new events; those in hand are finished.
    pub(super) fn stops(&self) {
        self.tell(vec![NotifyState::Stopping]);
    }

    async fn go_on(self, unready: Unready, watchdog: Option<Duration>) {
        let mut look = every(LOOK);
        let mut alive = every(watchdog.map_or(NEVER, |limit| (limit / 2).max(Duration::from_millis(1))));
        let mut told = String::new();
        loop {
            tokio::select! {
                _ = look.tick() => self.look(&unready(), &mut told),
                _ = alive.tick() => self.tell(vec![NotifyState::Watchdog]),
            }
        }
    }

    fn look(&self, reasons: &[String], told: &mut String) {
        let status = if reasons.is_empty() { "carries events".to_owned() } else { reasons.join("; ") };
        if reasons.is_empty() && !self.heard.swap(true, Ordering::Relaxed) {
            self.tell(vec![NotifyState::Ready]);
        }
        if status != *told {
            // A line each: one that is broken would be read as something else.
            self.send(Notification::Status(status.replace(['\n', '\r'], " ")));
            *told = status;
        }
    }

    fn tell(&self, states: Vec<NotifyState<'static>>) {
        self.send(Notification::States(states));
    }

    fn send(&self, message: Notification) {
        if let Some(manager) = &self.manager {
            // A manager that takes nothing misses what comes now.
            _ = manager.try_send(message);
        }
    }
}

/// Begins to speak to the manager. It ends with the last herald.
fn begin() -> Option<SyncSender<Notification>> {
    let (sender, messages) = sync_channel(MOST_WAITING);
    let begun = std::thread::Builder::new().name("notify".to_owned()).spawn(move || speak(&messages));
    begun.map_err(|problem| warn!(error = %problem, "no thread to speak to the service manager")).ok()?;
    Some(sender)
}

fn speak(messages: &Receiver<Notification>) {
    for message in messages {
        match message {
            Notification::States(states) => tell(&states),
            Notification::Status(status) => tell(&[NotifyState::Status(&status)]),
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// A manager that does not listen is no reason to stop.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(problem) = sd_notify::notify(states) {
        warn!(error = %problem, "the service manager could not be told how the worker stands (NOTIFY_SOCKET)");
    }
}
