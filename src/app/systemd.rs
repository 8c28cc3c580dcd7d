//! Notifications to the service manager: readiness, status, watchdog, reload and stop.
//!
//! The service manager is systemd, or any program that sets `NOTIFY_SOCKET`. Without one, every call does nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::warn;

use super::health::Unready;

/// Interval between checks of the worker's readiness.
const LOOK: Duration = Duration::from_millis(250);
/// Interval between watchdog messages if no watchdog is set.
const NEVER: Duration = Duration::from_secs(24 * 3600);
/// Most messages queued for a manager that does not read them; later ones are dropped.
const MOST_WAITING: usize = 64;

/// Handle for notifying the service manager; does nothing if there is none.
#[derive(Clone)]
pub(super) struct ServiceManager {
    /// True once the manager was notified that the worker is ready.
    heard: Arc<AtomicBool>,
    /// Channel to the sending thread, if there is a manager. A separate thread sends because a manager that does not
    /// read blocks the sender.
    manager: Option<SyncSender<Notification>>,
}

enum Notification {
    States(Vec<NotifyState<'static>>),
    Status(String),
}

impl ServiceManager {
    /// Starts reporting readiness, the reasons for unreadiness, and the watchdog's sign of life. The latter is sent at
    /// half of the watchdog's time from a task of the runtime that processes events, so that a hanging runtime is
    /// detected.
    pub(super) fn start(unready: Unready) -> Self {
        let manager = std::env::var_os("NOTIFY_SOCKET").and_then(|_| begin());
        let service_manager = Self { heard: Arc::default(), manager };
        if service_manager.manager.is_some() {
            tokio::spawn(service_manager.clone().go_on(unready, sd_notify::watchdog_enabled()));
        }
        service_manager
    }

    /// Reports that organizations are being reloaded after SIGHUP.
    pub(super) fn notify_reloading(&self) {
        let now = NotifyState::monotonic_usec_now();
        if let (true, Ok(now)) = (self.heard.load(Ordering::Relaxed), now) {
            self.tell(vec![NotifyState::Reloading, now]);
        }
    }

    /// Reports that the reload has finished.
    pub(super) fn notify_reloaded(&self) {
        if self.heard.load(Ordering::Relaxed) {
            self.tell(vec![NotifyState::Ready]);
        }
    }

    /// Reports that the worker is stopping: it takes no new events and finishes those in progress.
    pub(super) fn notify_stopping(&self) {
        self.tell(vec![NotifyState::Stopping]);
    }

    async fn go_on(self, unready: Unready, watchdog: Option<Duration>) {
        let mut look = every(LOOK);
        let mut alive = every(watchdog.map_or(NEVER, |limit| (limit / 2).max(Duration::from_millis(1))));
        let mut reported = String::new();
        loop {
            tokio::select! {
                _ = look.tick() => self.look(&unready(), &mut reported),
                _ = alive.tick() => self.tell(vec![NotifyState::Watchdog]),
            }
        }
    }

    fn look(&self, reasons: &[String], reported: &mut String) {
        let status = if reasons.is_empty() { "processing events".to_owned() } else { reasons.join("; ") };
        if reasons.is_empty() && !self.heard.swap(true, Ordering::Relaxed) {
            self.tell(vec![NotifyState::Ready]);
        }
        if status != *reported {
            // A newline would start another field of the protocol.
            self.send(Notification::Status(status.replace(['\n', '\r'], " ")));
            *reported = status;
        }
    }

    fn tell(&self, states: Vec<NotifyState<'static>>) {
        self.send(Notification::States(states));
    }

    fn send(&self, message: Notification) {
        if let Some(manager) = &self.manager {
            // A manager that does not read misses this message.
            _ = manager.try_send(message);
        }
    }
}

/// Starts the sending thread. It ends when the last `ServiceManager` is dropped.
fn begin() -> Option<SyncSender<Notification>> {
    let (sender, messages) = sync_channel(MOST_WAITING);
    let begun = std::thread::Builder::new().name("notify".to_owned()).spawn(move || speak(&messages));
    begun
        .map_err(|problem| warn!(error = %problem, "could not start the thread that notifies the service manager"))
        .ok()?;
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

/// Sends the states. A failure is logged and does not stop the worker.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(problem) = sd_notify::notify(states) {
        warn!(error = %problem, "could not notify the service manager (NOTIFY_SOCKET)");
    }
}
