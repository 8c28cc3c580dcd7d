//! SIGTERM and SIGINT stop, twice at once; SIGHUP reads the organizations again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// What a second signal exits with, as shells have it: 128 + SIGTERM.
const KILLED: i32 = 143;

/// The process's signals.
pub(super) struct Signals {
    stop: CancellationToken,
    stopping: Arc<AtomicBool>,
    hangup: Arc<Notify>,
}

impl Signals {
    /// Listens from now on.
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

    /// Waits for the first SIGTERM or SIGINT.
    pub(super) async fn stop(&mut self) {
        self.stop.cancelled().await;
    }

    /// Whether it has come.
    pub(super) fn stopping(&self) -> Arc<AtomicBool> {
        self.stopping.clone()
    }

    /// Notified on SIGHUP.
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
            warn!("a second signal: exiting at once; what is in hand comes again");
            std::process::exit(KILLED);
        }
        stop.cancel();
    }
}
