//! `health`: asks a running worker how it is. For a container's health check, where there is no HTTP client.

use anyhow::{Result, bail};

use super::remote::Remote;
use crate::config::Config;

/// Fails, with the reasons, when no worker answers or the one that does is not well.
pub(super) async fn health(config: &Config, question: Question) -> Result<String> {
    let Some(remote) = Remote::find(config).await? else {
        bail!("no worker answers at {} (http.listen)", config.http.listen);
    };
    let (path, well) = match question {
        Question::Alive => ("/livez", "alive"),
        Question::Ready => ("/readyz", "ready"),
    };
    match remote.is_well(path).await? {
        None => Ok(format!("{well}\n")),
        Some(reasons) => bail!("the worker is not {well}: {}", reasons.join("; ")),
    }
}

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Question {
    /// Does the process answer?
    Alive,
    /// Does it carry events?
    Ready,
}
