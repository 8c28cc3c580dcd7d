//! Verifies the result: each sample's outcome, and the records and requests in Dynamics.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use serde_json::Value;

use crate::broker::Returns;
use crate::costs::Costs;
use crate::dynamics::Snapshot;
use crate::event::EventFile;
use crate::report::in_words;
use crate::samples::{Holds, ROUNDS, ROWS, Sample};

/// Observed result of one sample.
pub struct Finding {
    /// Name of the sample.
    pub name: String,
    /// Organization of the event.
    pub organization: String,
    /// Route: `incident`, `live_work_item`, or empty.
    pub route: String,
    /// Records in Dynamics.
    pub holds: String,
    /// Number of requests.
    pub requests: usize,
    /// Outcome in words.
    pub outcome: String,
    /// Reason for being skipped or dead-lettered.
    pub why: Option<String>,
}

/// Collects findings and deviations.
pub struct Verifier<'a> {
    files: &'a BTreeMap<&'static str, EventFile>,
    snapshot: &'a Snapshot,
    returns: &'a Returns,
    costs: &'a Costs,
    /// Deviations from the expected result.
    pub problems: Vec<String>,
}

impl<'a> Verifier<'a> {
    /// Verifier without findings.
    pub fn new(
        files: &'a BTreeMap<&'static str, EventFile>,
        snapshot: &'a Snapshot,
        returns: &'a Returns,
        costs: &'a Costs,
    ) -> Self {
        Self { files, snapshot, returns, costs, problems: Vec::new() }
    }

    /// Verifies every sample.
    pub fn samples(&mut self) -> Vec<Finding> {
        ROUNDS.iter().flat_map(|round| round.samples).map(|sample| self.sample(sample)).collect()
    }

    /// Verifies totals: the number of rows, and that every request belongs to an event.
    pub fn totals(&mut self) {
        let all = || ROUNDS.iter().flat_map(|round| round.samples);
        let expected = |holds: Holds| all().filter(|sample| sample.holds == holds).count();
        let cases = self.snapshot.cases().count();
        let work_items = self.snapshot.work_items().count();
        self.expect("all", "cases", expected(Holds::Case), cases);
        self.expect("all", "live work items", expected(Holds::WorkItem), work_items);
        for (environment, table, expected) in ROWS {
            let found = self.snapshot.rows(environment, table).count();
            self.expect(environment, table, *expected, found);
        }
        let to_close = all().map(cases_closed_by).sum();
        let closed = self.snapshot.cases().filter(|(_, row)| is_closed(row)).count();
        self.expect("all", "closed cases", to_close, closed);
        self.expect("all", "token requests", 2, self.snapshot.tokens);
        self.expect("all", "requests without an event", 0, self.costs.unexplained);
    }

    fn sample(&mut self, sample: &Sample) -> Finding {
        let file = &self.files[sample.name];
        let outcomes: Vec<Value> = {
            let all = self.returns.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
            all.iter().filter(|outcome| file.is_source_of(outcome)).cloned().collect()
        };
        let outcome = outcomes.first().cloned().unwrap_or_default();
        let (text, why) = self.outcome(sample, &outcomes);
        let requests = if sample.holds == Holds::Before { 0 } else { self.costs.of(sample.name) };
        self.expect(sample.name, "requests", sample.requests, requests);
        Finding {
            name: if sample.holds == Holds::Before { format!("{} again", sample.name) } else { sample.name.to_owned() },
            organization: file.organization.clone(),
            route: outcome["data"]["route"].as_str().unwrap_or("-").to_owned(),
            holds: self.held(sample, &outcome),
            requests,
            outcome: text,
            why,
        }
    }

    /// Outcome in words, and the reason if the event did not succeed.
    fn outcome(&mut self, sample: &Sample, outcomes: &[Value]) -> (String, Option<String>) {
        let letter = if sample.holds == Holds::DeadLetter { self.letter(sample) } else { None };
        let Some(outcome) = outcomes.first() else {
            // A message without a readable event has no outcome.
            if self.files[sample.name].is_readable() {
                self.problems.push(format!("{}: no outcome was published", sample.name));
            }
            return ("dead letter".to_owned(), letter);
        };
        let (event, data) = (outcome["event"].as_str().unwrap_or_default(), &outcome["data"]);
        let status = event.rsplit('.').next().unwrap_or_default();
        let reason = data["reason"].as_str().unwrap_or("-");
        self.expect(sample.name, "status", sample.status(), status);
        self.expect(sample.name, "attempts", sample.attempts, data["attempts"].as_u64().unwrap_or(0));
        self.expect(sample.name, "reason", sample.reason.unwrap_or("-"), reason);
        if sample.holds == Holds::Before {
            self.same_every_time(sample, outcomes);
            return ("duplicate, same outcome".to_owned(), None);
        }
        let warnings: Vec<&str> = data["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let warnings = warnings.join(", ");
        self.expect(sample.name, "warnings", sample.warning.unwrap_or_default(), warnings.as_str());
        let advice = data["error"]["advice"].as_str().unwrap_or_default();
        match status {
            "skipped" => ("skipped".to_owned(), Some(in_words(reason).to_owned())),
            "failed" => ("dead letter".to_owned(), letter.map(|why| format!("{why}\n{advice}"))),
            _ if warnings.is_empty() => (status.to_owned(), None),
            _ => (format!("{status}, {warnings}"), None),
        }
    }

    /// Verifies the dead letter, which holds the event byte for byte.
    fn letter(&mut self, sample: &Sample) -> Option<String> {
        let all = self.returns.dead.lock().unwrap_or_else(PoisonError::into_inner);
        let body = &self.files[sample.name].body;
        let found: Vec<_> = all.iter().filter(|letter| letter.body == *body).collect();
        let (count, first) = (found.len(), found.first().map(|it| (it.reason.clone(), it.error.clone())));
        drop(all);
        self.expect(sample.name, "dead letters", 1, count);
        let (reason, error) = first?;
        self.expect(sample.name, "x-handoffd-reason", sample.reason.unwrap_or("-"), reason.as_str());
        Some(format!("{reason}: {error}"))
    }

    fn same_every_time(&mut self, sample: &Sample, outcomes: &[Value]) {
        let copies = ROUNDS.iter().flat_map(|round| round.samples);
        let copies = copies.filter(|other| self.files[other.name].id == self.files[sample.name].id).count();
        self.expect(sample.name, "published outcomes", copies, outcomes.len());
        if outcomes.iter().any(|outcome| outcome != &outcomes[0]) {
            self.problems.push(format!("{}: its outcomes differ", sample.name));
        }
    }

    /// Records of a sample in Dynamics, found by its summary; the worker's report is only compared with them.
    fn held(&mut self, sample: &Sample, outcome: &Value) -> String {
        let meta = &outcome["data"]["session_meta"];
        match sample.holds {
            Holds::Case => {
                let Some(row) = self.case(sample.name) else { return "-".to_owned() };
                self.expect(sample.name, "incident id", &row["incidentid"], &meta["dynamics365_incident_id"]);
                self.expect(sample.name, "ticket number", &row["ticketnumber"], &meta["dynamics365_ticket_number"]);
                self.around(sample, &row)
            }
            Holds::WorkItem => {
                let summary = self.files[sample.name].summary.as_deref();
                let found: Vec<Value> = self
                    .snapshot
                    .work_items()
                    .filter(|(_, row)| row["subject"].as_str() == summary)
                    .map(|(_, row)| row.clone())
                    .collect();
                self.expect(sample.name, "live work items", 1, found.len());
                let Some(row) = found.first() else { return "-".to_owned() };
                self.expect(sample.name, "chat id", &row["oc_liveworkitemid"], &meta["dynamics365_chat_id"]);
                text(&row["oc_liveworkitemid"])
            }
            Holds::Closed(cases) => {
                cases.iter().map(|name| self.closed(sample.name, name)).collect::<Vec<_>>().join(", ")
            }
            Holds::Before | Holds::Skipped | Holds::DeadLetter => "-".to_owned(),
        }
    }

    /// Case with its customer, queue and note.
    fn around(&mut self, sample: &Sample, row: &Value) -> String {
        let environment = self.files[sample.name].organization.trim_start_matches("org_").to_owned();
        let of = |table: &str, column: &str, key: &Value| {
            let found = self.snapshot.rows(&environment, table).find(|other| !key.is_null() && other[column] == *key);
            found.cloned()
        };
        let customer = of("contacts", "contactid", &row["_customerid_value"]).map(|contact| text(&contact["fullname"]));
        let note = of("annotations", "_objectid_value", &row["incidentid"]).map(|note| text(&note["filename"]));
        let queued = of("queueitems", "_objectid_value", &row["incidentid"]).is_some();
        let in_queue = queued || !row["_queueid_value"].is_null();
        self.expect(sample.name, "customer", sample.customer.unwrap_or("-"), customer.as_deref().unwrap_or("-"));
        self.expect(sample.name, "is in its queue", true, in_queue);
        let mut parts = vec![text(&row["ticketnumber"])];
        parts.extend(customer);
        parts.extend(note);
        parts.join(", ")
    }

    fn closed(&mut self, sample: &str, case: &str) -> String {
        let Some(row) = self.case(case) else { return "-".to_owned() };
        self.expect(sample, "state of the case", "closed", if is_closed(&row) { "closed" } else { "open" });
        format!("{} closed", text(&row["ticketnumber"]))
    }

    fn case(&mut self, name: &str) -> Option<Value> {
        let file = &self.files[name];
        let found: Vec<Value> = self
            .snapshot
            .cases()
            .filter(|(environment, _)| file.organization == format!("org_{environment}"))
            .filter(|(_, row)| is_about(row, file))
            .map(|(_, row)| row.clone())
            .collect();
        self.expect(name, "cases", 1, found.len());
        found.into_iter().next()
    }

    #[expect(clippy::needless_pass_by_value, reason = "accepts numbers and text by value")]
    fn expect<T: PartialEq + std::fmt::Display>(&mut self, whose: &str, what: &str, expected: T, found: T) {
        if expected != found {
            self.problems.push(format!("{whose}: {what}: expected {expected}, found {found}"));
        }
    }
}

fn is_about(row: &Value, file: &EventFile) -> bool {
    let line = file.summary.as_deref().map(|summary| format!("\nSummary: {summary}\n"));
    line.is_some_and(|line| row["description"].as_str().is_some_and(|text| text.contains(&line)))
}

fn cases_closed_by(sample: &Sample) -> usize {
    if let Holds::Closed(cases) = sample.holds { cases.len() } else { 0 }
}

fn is_closed(row: &Value) -> bool {
    row["statecode"] == 1
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}
