//! Reload of organizations without a restart.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tracing::info;

use super::background::BackgroundReader;
use super::systemd::ServiceManager;
use crate::organizations::OrganizationRegistry;

/// Interval between readings of the directory. It is polled, since files are few and small, and file-system events are
/// not available on every mount (a Kubernetes secret, a network share).
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Longest read of the directory before it is reported, because a network mount may hang.
const READ_LIMIT: Duration = Duration::from_secs(5);

/// Reads the directory at intervals, and at once on SIGHUP.
pub(super) async fn keep_current(register: Arc<OrganizationRegistry>, (hangup, herald): (Arc<Notify>, ServiceManager)) {
    let of = register.clone();
    let read = move || of.read_files();
    let mut reading = BackgroundReader::new("organizations.directory", READ_LIMIT, read);
    loop {
        // A read that was requested while another one was running begins at once.
        if !reading.is_asked() {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = hangup.notified() => {
                    info!("SIGHUP received; reloading organizations");
                    herald.reloads();
                    reading.ask();
                }
            }
        }
        let asked = reading.is_asked();
        if let Some(read) = reading.next().await {
            register.apply_files(read.result, read.asked).await;
        }
        // Sent even if the read hangs, so that the service manager does not wait for it.
        if asked {
            herald.has_reloaded();
        }
    }
}
