//! `status`: verdict on the running worker, organizations in trouble, what waits.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::remote::Remote;
use super::shell::{CommandError, block_on, pretty, print};
use super::table::{cell, table};
use crate::config::Config;

/// Longest wait for the verdict; a worker that hangs must not look like one that takes its time.
const LIMIT: Duration = Duration::from_secs(8);
/// Organizations with the most waiting events that are listed.
const MOST: usize = 5;

/// Prints the status; the exit status is 0 for `working`, 4 for `degraded` and 1 otherwise.
pub(super) fn status(config: &Config, json: bool) -> Result<(), CommandError> {
    let Some(report) = block_on(StatusReport::read(config))? else {
        let address = config.http.listen;
        let cause = format!("no worker responds at {address} (http.listen)");
        if json {
            print(&pretty(&unheard(&cause))?);
        }
        return Err(CommandError::Failed(anyhow::anyhow!(
            "Unknown: {cause}; start it (systemctl start handoffd), or give this command its configuration (--config, \
             HANDOFFD_CONFIG); no events are lost, they wait in the broker"
        )));
    };
    print(&if json { pretty(&report.status)? } else { report.text() });
    match report.status["verdict"].as_str() {
        Some("working") => Ok(()),
        Some("degraded") => Err(CommandError::Degraded),
        _ => Err(CommandError::AlreadyReported),
    }
}

/// Status of a worker that does not respond.
fn unheard(cause: &str) -> Value {
    let advice = "Start the worker, or give this command its configuration.";
    json!({
        "verdict": "unknown", "since": null,
        "reasons": [{ "organization_id": null, "cause": cause, "advice": advice, "since": null }],
    })
}

/// Answers of a worker.
struct StatusReport {
    status: Value,
    organizations: Vec<Value>,
    queues: Value,
}

impl StatusReport {
    /// Asks the worker; `None` without one.
    async fn read(config: &Config) -> Result<Option<Self>> {
        let Some(remote) = Remote::find(config).await? else { return Ok(None) };
        let status = timeout(LIMIT, remote.get("/api/v1/status")).await;
        let status = status.with_context(|| format!("the worker does not answer within {} s", LIMIT.as_secs()))??;
        let status = status.context("the worker has no /api/v1/status; it is older than this command")?;
        let organizations = remote.get("/api/v1/organizations").await?.unwrap_or_default();
        let organizations = organizations["organizations"].as_array().cloned().unwrap_or_default();
        Ok(Some(Self { status, organizations, queues: remote.get("/api/v1/queues").await?.unwrap_or_default() }))
    }

    fn text(&self) -> String {
        let words = match self.status["verdict"].as_str() {
            Some("working") => "Running normally",
            Some("degraded") => "Degraded",
            _ => "Not processing events",
        };
        let mut text = format!("{words} since {}\n", seconds(&self.status["since"]));
        // Writing to a string can't fail.
        for reason in self.status["reasons"].as_array().into_iter().flatten() {
            let organization = reason["organization_id"].as_str().map(|id| format!("{id}: ")).unwrap_or_default();
            _ = writeln!(text, "\n{organization}{} (since {})", cell(&reason["cause"]), seconds(&reason["since"]));
            if let Some(advice) = reason["advice"].as_str().filter(|advice| !advice.is_empty()) {
                _ = writeln!(text, "  -> {advice}");
            }
        }
        _ = write!(text, "\n{}", table(&self.figures()));
        text
    }

    fn figures(&self) -> Vec<[String; 2]> {
        let row = |name: &str, value: String| [name.to_owned(), value];
        let mut rows = vec![
            row("organizations", self.states()),
            row("oldest event", self.oldest()),
            row("in progress", self.in_progress()),
            row("waiting", self.waiting()),
        ];
        let queues = self.queues["queues"].as_array().into_iter().flatten();
        rows.extend(queues.map(|queue| row(&cell(&queue["queue"]), known(&queue["messages"]))));
        rows
    }

    /// Number of events that this worker holds; those on hold apart.
    fn in_progress(&self) -> String {
        let number = |name: &str| self.queues[name].as_u64();
        match (number("in_flight"), number("on_hold")) {
            (Some(held), Some(on_hold @ 1..)) => format!("{}, and {on_hold} on hold", held.saturating_sub(on_hold)),
            (Some(held), _) => held.to_string(),
            (None, _) => "unknown".to_owned(),
        }
    }

    /// Number of organizations in each state.
    fn states(&self) -> String {
        const STATES: [&str; 6] = ["open", "degraded", "throttled", "blocked", "paused", "faulty"];
        let count = |state: &str| self.organizations.iter().filter(|one| one["state"] == state).count();
        let states = STATES.map(|state| (count(state), state));
        let states: Vec<String> =
            states.iter().filter(|(count, _)| *count > 0).map(|(count, state)| format!("{count} {state}")).collect();
        if states.is_empty() { "none configured".to_owned() } else { states.join(", ") }
    }

    fn oldest(&self) -> String {
        let age = |one: &Value| one["oldest_seconds"].as_f64();
        let unknown = self.organizations.iter().filter(|one| age(one).is_none()).count();
        let of_all = format!("unknown for {unknown} of {} organizations", self.organizations.len());
        let oldest = self.organizations.iter().filter_map(|one| Some((age(one)?, cell(&one["organization_id"]))));
        match (oldest.filter(|(age, _)| *age > 0.0).max_by(|one, other| one.0.total_cmp(&other.0)), unknown) {
            (Some((age, organization)), 0) => format!("{age:.0} s, of {organization}"),
            (Some((age, organization)), _) => format!("{age:.0} s, of {organization}, {of_all}"),
            (None, 0) => "none".to_owned(),
            (None, _) => of_all,
        }
    }

    fn waiting(&self) -> String {
        let depth = |one: &Value| one["waiting"].as_u64();
        let mut depths: Vec<(u64, String)> = self
            .organizations
            .iter()
            .filter_map(|one| Some((depth(one).filter(|depth| *depth > 0)?, cell(&one["organization_id"]))))
            .collect();
        let unknown = self.organizations.iter().filter(|one| depth(one).is_none()).count();
        depths.sort_by(|one, other| other.cmp(one));
        let total: u64 = depths.iter().map(|(depth, _)| depth).sum();
        let mut text = total.to_string();
        let most: Vec<String> = depths.iter().take(MOST).map(|(depth, id)| format!("{id} {depth}")).collect();
        if !most.is_empty() {
            _ = write!(text, " ({})", most.join(", "));
        }
        match unknown {
            0 => text,
            _ if unknown == self.organizations.len() => "unknown".to_owned(),
            _ => format!("{text}, unknown for {unknown} of {} organizations", self.organizations.len()),
        }
    }
}

/// Formats a time to the second.
fn seconds(time: &Value) -> String {
    let parsed = time.as_str().and_then(|time| time.parse::<Timestamp>().ok());
    parsed.map_or_else(|| cell(time), |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn known(number: &Value) -> String {
    if number.is_null() { "unknown".to_owned() } else { cell(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_each_reason_and_what_waits() {
        let report = StatusReport {
            status: json!({
                "verdict": "degraded", "since": "2026-11-29T03:00:00.25Z",
                "reasons": [
                    { "organization_id": "org_acme", "cause": "5 of 5 requests timed out", "advice": "Wait.",
                      "since": "2026-11-29T03:00:01Z" },
                    { "organization_id": null, "cause": "faulty file a.toml", "advice": "", "since": "2026-11-29T03:00:02Z" },
                ],
            }),
            organizations: vec![
                json!({ "organization_id": "org_acme", "state": "degraded", "waiting": 7, "oldest_seconds": 61.2 }),
                json!({ "organization_id": "org_b", "state": "open", "waiting": 0, "oldest_seconds": 0.0 }),
                json!({ "organization_id": "org_c", "state": "open" }),
            ],
            queues: json!({ "in_flight": 3, "on_hold": 1, "queues": [{ "queue": "handoffd.dead-letters", "messages": null }] }),
        };
        assert_eq!(
            report.text(),
            "Degraded since 2026-11-29T03:00:00Z\n\
             \n\
             org_acme: 5 of 5 requests timed out (since 2026-11-29T03:00:01Z)\n\
             \u{20}\u{20}-> Wait.\n\
             \n\
             faulty file a.toml (since 2026-11-29T03:00:02Z)\n\
             \n\
             organizations          2 open, 1 degraded\n\
             oldest event           61 s, of org_acme, unknown for 1 of 3 organizations\n\
             in progress            2, and 1 on hold\n\
             waiting                7 (org_acme 7), unknown for 1 of 3 organizations\n\
             handoffd.dead-letters  unknown\n"
        );
    }
}
