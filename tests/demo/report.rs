//! Formats the findings.

use std::fmt::Write;

use crate::verify::Finding;

const COLUMNS: [&str; 6] = ["event", "organization", "route", "Dynamics now holds", "requests", "outcome"];

/// Formats the table.
pub fn table(findings: &[Finding]) -> String {
    let mut rows = vec![COLUMNS.map(str::to_owned)];
    rows.extend(findings.iter().map(row));
    let mut widths = [0; COLUMNS.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    rows.insert(1, widths.map(|width| "─".repeat(width)));
    let line = |row: &[String; 6]| {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("  {}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// Lists skipped and failed samples with their reasons.
pub fn reasons(findings: &[Finding]) -> String {
    let mut lines = String::new();
    for finding in findings {
        if let Some(why) = &finding.why {
            let why = why.replace('\n', &format!("\n{:42}", ""));
            _ = writeln!(lines, "  {:<26} {:<12} {why}", finding.name, finding.outcome);
        }
    }
    lines
}

fn row(finding: &Finding) -> [String; 6] {
    let route = finding.route.replace('_', " ");
    let requests = format!("{:>8}", finding.requests);
    let Finding { name, organization, holds, outcome, .. } = finding;
    [name.clone(), organization.clone(), route, holds.clone(), requests, outcome.clone()]
}

/// Explains a reason for skipping an event.
pub fn in_words(reason: &str) -> &str {
    match reason {
        "not_resolved" => "not_resolved: the session was closed without being resolved",
        "live_work_item" => "live_work_item: the session has a live work item, which agents close themselves",
        "incident_not_found" => "incident_not_found: the case named in the event does not exist",
        "no_incident" => "no_incident: no handoff of this session arrived within worker.resolution_wait",
        "already_closed" => "already_closed: the worker had already closed the session's cases",
        other => other,
    }
}
