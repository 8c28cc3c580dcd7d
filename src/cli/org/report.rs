//! Formats a test report as text.

use serde_json::Value;

use crate::cli::table::line;

/// Maximum line width, as in `--help`.
const WIDTH: usize = 110;

/// Formats one check per line, with its advice below it.
pub(super) fn text(report: &Value) -> String {
    let checks: Vec<&Value> = report["checks"].as_array().into_iter().flatten().collect();
    let widest = checks.iter().map(|check| string(&check["check"]).chars().count()).max().unwrap_or_default();
    let (widths, room) = ([4, widest], WIDTH.saturating_sub(widest + 8));
    let mut output = String::new();
    for check in checks {
        let mut cells = [mark(string(&check["result"])), string(&check["check"])];
        let advice = Some(string(&check["advice"])).filter(|advice| !advice.is_empty());
        let advice = advice.map(|advice| wrapped(&format!("→ {advice}"), room, "  "));
        for text in wrapped(string(&check["message"]), room, "").into_iter().chain(advice.into_iter().flatten()) {
            output += &line(&[cells[0], cells[1], &text], &widths);
            cells = ["", ""];
        }
    }
    output + &verdict(report)
}

/// Summary line, which names the failing half.
fn verdict(report: &Value) -> String {
    let id = string(&report["organization_id"]);
    let checks = || report["checks"].as_array().into_iter().flatten();
    if report["passed"] == true {
        let warnings = checks().filter(|check| check["result"] == "warned").count();
        return match warnings {
            0 => format!("\n{id} passed.\n"),
            1 => format!("\n{id} passed with 1 warning.\n"),
            count => format!("\n{id} passed with {count} warnings.\n"),
        };
    }
    let half = |half: &str| checks().any(|check| check["result"] == "failed" && check["half"] == half);
    let failing = match (half("credentials"), half("environment")) {
        (true, _) => "its credentials (Entra ID)",
        (false, _) => "its environment (Dynamics 365)",
    };
    format!("\n{id} failed on {failing}.\n")
}

fn mark(result: &str) -> &'static str {
    match result {
        "passed" => "ok",
        "failed" => "FAIL",
        "warned" => "warn",
        _ => "-",
    }
}

/// Breaks a text into lines of at most this many characters; the lines after the first begin with the indent.
fn wrapped(text: &str, width: usize, indent: &str) -> Vec<String> {
    let mut words = text.split(' ');
    let mut lines = vec![words.next().unwrap_or_default().to_owned()];
    for word in words {
        match lines.last_mut().filter(|line| line.chars().count() + 1 + word.chars().count() <= width) {
            Some(line) => *line = format!("{line} {word}"),
            None => lines.push(format!("{indent}{word}")),
        }
    }
    lines
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_is_aligned_and_names_the_failing_half() {
        let report = json!({ "organization_id": "org_acme", "passed": false, "checks": [
            { "check": "token", "half": "credentials", "result": "passed", "message": "Entra ID gives a token", "advice": "" },
            { "check": "owner", "half": "environment", "result": "failed", "message": "it is disabled",
              "advice": format!("Enable {}it.", "the user ".repeat(12)) },
            { "check": "queue", "half": "environment", "result": "skipped", "message": "none", "advice": "" },
        ] });
        let expected = format!(
            "ok    token  Entra ID gives a token\nFAIL  owner  it is disabled\n             → Enable {}the\n               user the user the user it.\n\
             -     queue  none\n\norg_acme failed on its environment (Dynamics 365).\n",
            "the user ".repeat(9)
        );
        assert_eq!(text(&report), expected);
    }

    #[test]
    fn warnings_are_counted() {
        let report = json!({ "organization_id": "o", "passed": true, "checks": [
            { "check": "x", "half": "environment", "result": "warned", "message": "m", "advice": "a" }] });
        assert!(text(&report).ends_with("\no passed with 1 warning.\n"), "{}", text(&report));
    }
}
