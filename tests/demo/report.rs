//! What was found, for a person to read.

use crate::verify::Finding;

const COLUMNS: [&str; 6] = ["event", "organization", "route", "Dynamics now holds", "requests", "outcome"];

/// The table.
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

/// What was skipped or given up, and why.
pub fn reasons(findings: &[Finding]) -> String {
    let told = findings.iter().filter_map(|finding| Some((finding, finding.why.as_ref()?)));
    told.map(|(finding, why)| format!("  {:<25} {:<12} {why}\n", finding.name, finding.outcome)).collect()
}

fn row(finding: &Finding) -> [String; 6] {
    let route = finding.route.replace('_', " ");
    let requests = format!("{:>8}", finding.requests);
    let Finding { name, organization, holds, outcome, .. } = finding;
    [(*name).to_owned(), organization.clone(), route, holds.clone(), requests, outcome.clone()]
}
