//! Signals: SIGTERM and SIGINT stop the worker, a second one stops it immediately, SIGHUP reloads organizations.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Exit status after a second signal, by the convention of shells: 128 + SIGTERM.
const KILLED: i32 = 143;

/// The process's signals.
pub(super) struct ProcessSignals {
    stop: CancellationToken,
    stopping: Arc<AtomicBool>,
    hangup: Arc<Notify>,
}

impl ProcessSignals {
    /// Installs the signal handlers.
    pub(super) fn listen() -> io::Result<Self> {
        let signals = Self { stop: CancellationToken::new(), stopping: Arc::default(), hangup: Arc::default() };
        tokio::spawn(attend(
            [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?],
            signals.stop.clone(),
            signals.stopping.clone(),
            signals.hangup.clone(),
        ));
        Ok(signals)
    }

    /// Completes on the first SIGTERM or SIGINT.
    pub(super) async fn stop(&mut self) {
        self.stop.cancelled().await;
    }

    /// Returns a flag that is true after the first SIGTERM or SIGINT.
    pub(super) fn stopping(&self) -> Arc<AtomicBool> {
        self.stopping.clone()
    }

    /// Returns the notification of SIGHUP.
    pub(super) fn hangup(&self) -> Arc<Notify> {
        self.hangup.clone()
    }
}

async fn attend(signals: [Signal; 3], stop: CancellationToken, stopping: Arc<AtomicBool>, hangup: Arc<Notify>) {
    let [mut terminate, mut interrupt, mut hup] = signals;
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hup.recv() => {
                hangup.notify_one();
                continue;
            }
        }
        if stopping.swap(true, Ordering::SeqCst) {
            warn!("second signal received; exiting immediately; the broker will redeliver events in progress");
            std::process::exit(KILLED);
        }
        stop.cancel();
    }
}
