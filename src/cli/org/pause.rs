//! `org pause` and `org resume`: through the running worker, which keeps pauses in its store.

use anyhow::{Context, Result};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::cli::remote::Remote;
use crate::cli::shell::{CommandError, block_on, pretty, print, print_status};
use crate::cli::table::cell;
use crate::config::Config;

/// Pauses or resumes an organization: `verb` is `pause` or `resume`.
pub(super) fn change(config: &Config, id: &str, verb: &str, json: bool) -> Result<(), CommandError> {
    let Some(view) = block_on(asked(config, id, verb))? else {
        return Err(CommandError::Usage(format!(
            "organization {id:?} is not configured in the running worker; list the configured ones with `handoffd org list`"
        )));
    };
    let hindrance = block_on(hindrance(config))?;
    let text = match verb {
        "pause" => format!("{id} paused since {}; its events are on hold until it is resumed\n", cell(&view["since"])),
        _ => format!("{id} resumed; its state is {}\n", cell(&view["state"])),
    };
    print(&if json { pretty(&view)? } else { text });
    if let Some(cause) = hindrance {
        print_status(format_args!("the worker is not processing events: {cause}"));
    }
    Ok(())
}

/// Returns the reason for which the worker processes nothing, if there is one.
async fn hindrance(config: &Config) -> Result<Option<String>> {
    let Some(remote) = Remote::find(config).await? else { return Ok(None) };
    let status = remote.get("/api/v1/status").await?.unwrap_or_default();
    Ok((status["verdict"] == "not_working").then(|| cell(&status["reasons"][0]["cause"])))
}

async fn asked(config: &Config, id: &str, verb: &str) -> Result<Option<Value>> {
    let remote = Remote::find(config).await?.with_context(|| {
        format!("no worker responds at {} (http.listen); only a running worker pauses and resumes", config.http.listen)
    })?;
    let id = utf8_percent_encode(id, NON_ALPHANUMERIC);
    remote.post(&format!("/api/v1/organizations/{id}/{verb}")).await
}
