//! `health`: checks a running worker. Serves as the health check of a container without an HTTP client.

use anyhow::{Result, bail};

use super::remote::Remote;
use crate::config::Config;

/// Fails, with the reasons, if no worker responds or the worker is not healthy.
pub(super) async fn health(config: &Config, question: HealthCheck) -> Result<String> {
    let Some(remote) = Remote::find(config).await? else {
        bail!("no worker responds at {} (http.listen)", config.http.listen);
    };
    let (path, well) = match question {
        HealthCheck::Alive => ("/livez", "alive"),
        HealthCheck::Ready => ("/readyz", "ready"),
    };
    match remote.check_health(path).await? {
        None => Ok(format!("{well}\n")),
        Some(reasons) => bail!("the worker is not {well}: {}", reasons.join("; ")),
    }
}

/// Kind of health check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum HealthCheck {
    /// Liveness: the process responds.
    Alive,
    /// Readiness: the worker processes events.
    Ready,
}
