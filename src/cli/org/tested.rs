//! A tested organization: its report and the exit status.

use serde_json::{Value, json};

use super::report;
use crate::app;
use crate::cli::shell::{CommandError, block_on, pretty, print};
use crate::config::{Config, EnvironmentVariables};
use crate::organizations::Organization;

pub(super) fn tested(
    config: &Config,
    env: &EnvironmentVariables,
    organization: &Organization,
) -> Result<Value, CommandError> {
    Ok(json!(block_on(app::inspect(config, env, organization))?))
}

pub(super) fn print_report(report: &Value, json: bool) -> Result<(), CommandError> {
    print(&if json { pretty(report)? } else { report::text(report) });
    Ok(())
}

/// Exit status of a test.
pub(super) fn passed(report: &Value) -> Result<(), CommandError> {
    if report["passed"] == true { Ok(()) } else { Err(CommandError::AlreadyReported) }
}
