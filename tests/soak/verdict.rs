//! Checks every event in Dynamics, among the outcomes and among the dead letters.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::crm::{is_stock, organizations};
use crate::ledger::{Entry, Expected, Ledger};
use crate::stage::Stage;
use crate::wire::Letter;

/// Deviations and totals.
#[derive(Default)]
pub struct Verdict {
    /// Events without their required result.
    pub lost: Vec<String>,
    /// Events, customers or incidents with duplicates.
    pub doubled: Vec<String>,
    /// Events with a result other than the required one.
    pub wrong: Vec<String>,
    /// Rows of all organizations, by table.
    pub rows: BTreeMap<&'static str, usize>,
    /// Dead letters by reason.
    pub dead: BTreeMap<String, usize>,
    /// Second dead letters of an event: published again, or killed between confirm and ack.
    pub dead_again: usize,
    /// Outcomes by routing key and, if skipped, reason.
    pub ends: BTreeMap<String, usize>,
}

/// Records in Dynamics, by owner.
struct Books {
    /// Incidents by their summary.
    incidents: HashMap<String, Vec<Value>>,
    chats: HashMap<String, usize>,
    /// Notes by incident.
    notes: HashMap<String, usize>,
    /// Queue items by incident, in environments without a queue lookup.
    places: HashMap<String, usize>,
    contacts: HashMap<(&'static str, String), usize>,
    /// Times that a rep has reopened a case, by case.
    reopened: HashMap<String, usize>,
}

impl Verdict {
    /// Reads and checks everything.
    pub fn find(ledger: &Ledger, dead: &[Letter], stage: &Stage) -> Self {
        let books = Books::read(stage);
        let mut verdict = Self::default();
        for table in ["incidents", "contacts", "annotations", "oc_liveworkitems", "queueitems"] {
            let rows = organizations().iter().map(|id| stage.crm.rows(id, table).len()).sum();
            verdict.rows.insert(table, rows);
        }
        let mut letters: HashMap<&str, Vec<&str>> = HashMap::new();
        for letter in dead {
            *verdict.dead.entry(letter.reason.clone()).or_default() += 1;
            letters.entry(&letter.event_id).or_default().push(&letter.reason);
        }
        verdict.dead_again = dead.len() - letters.len();
        let entries = ledger.entries();
        for (id, entry) in entries.iter() {
            verdict.judge(id, entry, letters.get(id.as_str()).map_or(&[], Vec::as_slice), &books);
        }
        verdict.leftovers(&entries, &books);
        if ledger.strangers() > 0 {
            verdict.wrong.push(format!("{} outcomes of unknown events", ledger.strangers()));
        }
        verdict
    }

    /// Returns true if nothing is lost, duplicated or wrong.
    pub fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.doubled.is_empty() && self.wrong.is_empty()
    }

    fn judge(&mut self, id: &str, entry: &Entry, letters: &[&str], books: &Books) {
        let Some(outcome) = entry.outcomes.first() else {
            self.lost.push(format!("{id} ({:?}): no outcome, dead letters {letters:?}", entry.expected));
            return;
        };
        let data = &outcome["data"];
        let reason = data["reason"].as_str().map(|reason| format!(" {reason}")).unwrap_or_default();
        let end = format!("{}{reason}", outcome["event"].as_str().unwrap_or_default());
        *self.ends.entry(end.clone()).or_default() += 1;
        if let Expected::DeadLetter(reason) = entry.expected {
            if letters.is_empty() {
                self.lost.push(format!("{id}: expected a dead letter {reason}; {end}"));
            } else if letters.iter().any(|letter| *letter != reason) {
                self.wrong.push(format!("{id}: dead letters {letters:?}, expected {reason}"));
            }
            return;
        }
        if !letters.is_empty() {
            self.wrong.push(format!("{id} ({:?}): failed, {letters:?}, {}", entry.expected, data["error"]));
        }
        if entry.outcomes.iter().any(|other| other != outcome) {
            self.doubled.push(format!("{id}: different outcomes: {:?}", entry.outcomes));
        }
        self.records(id, entry, outcome, books);
    }

    fn records(&mut self, id: &str, entry: &Entry, outcome: &Value, books: &Books) {
        let summary = entry.event.0["data"]["summary"].as_str().unwrap_or_default();
        let meta = &outcome["data"]["session_meta"];
        match entry.expected {
            Expected::Incident | Expected::IncidentWithNote => {
                let rows = books.incidents.get(summary).map_or(&[][..], Vec::as_slice);
                self.exactly(1, rows.len(), || format!("{id}: incidents, {outcome}"));
                let Some(row) = rows.first() else { return };
                let key = row["incidentid"].as_str().unwrap_or_default();
                if meta["dynamics365_incident_id"] != key {
                    self.wrong.push(format!("{id}: its outcome names another incident: {outcome}"));
                }
                let notes = usize::from(entry.expected == Expected::IncidentWithNote);
                self.exactly(notes, books.notes.get(key).copied().unwrap_or(0), || format!("{id}: notes"));
                if entry.event.0["organization_id"].as_str().is_some_and(is_stock) {
                    let places = books.places.get(key).copied().unwrap_or(0);
                    self.exactly(1, places, || format!("{id}: queue items"));
                }
            }
            Expected::Chat => {
                let count = books.chats.get(summary).copied().unwrap_or(0);
                self.exactly(1, count, || format!("{id}: live work items"));
            }
            Expected::Resolution | Expected::DeadLetter(_) => {
                let closed = outcome["event"] == "dynamics365.resolution.succeeded";
                let of = |row: &&Value| meta["dynamics365_incident_id"] == row["incidentid"];
                let row = books.incidents.values().flatten().find(of);
                let is_open = |row: &Value| row["statecode"] != 1 && !books.was_reopened(row);
                if closed && row.is_some_and(is_open) {
                    self.wrong.push(format!("{id}: reported as closed, but open: {outcome}"));
                }
            }
        }
    }

    fn exactly(&mut self, expected: usize, found: usize, what: impl Fn() -> String) {
        match found.cmp(&expected) {
            std::cmp::Ordering::Less => self.lost.push(format!("{}: {found} of {expected}", what())),
            std::cmp::Ordering::Greater => self.doubled.push(format!("{}: {found}, not {expected}", what())),
            std::cmp::Ordering::Equal => {}
        }
    }

    /// Finds records without an event, and duplicate customers.
    fn leftovers(&mut self, entries: &HashMap<String, Entry>, books: &Books) {
        let known: std::collections::HashSet<&str> =
            entries.values().filter_map(|entry| entry.event.0["data"]["summary"].as_str()).collect();
        let summaries = books.incidents.keys().chain(books.chats.keys());
        let unknown = summaries.filter(|summary| !known.contains(summary.as_str()));
        self.doubled.extend(unknown.map(|summary| format!("record without an event: {summary}")));
        let again = books.reopened.iter().filter(|(_, count)| **count > 1);
        self.doubled.extend(again.map(|(id, count)| format!("case {id} was closed and reopened {count} times")));
        let twice = books.contacts.iter().filter(|(_, count)| **count > 1);
        self.doubled.extend(twice.map(|((organization, email), count)| format!("{organization}: {count} × {email}")));
    }
}

impl Books {
    fn was_reopened(&self, incident: &Value) -> bool {
        incident["incidentid"].as_str().is_some_and(|id| self.reopened.contains_key(id))
    }

    fn read(stage: &Stage) -> Self {
        let mut books = Self {
            incidents: HashMap::new(),
            chats: HashMap::new(),
            notes: HashMap::new(),
            places: HashMap::new(),
            contacts: HashMap::new(),
            reopened: stage.crm.reopened(),
        };
        for organization in organizations() {
            let rows = |table| stage.crm.rows(organization, table);
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            for row in rows("incidents") {
                books.incidents.entry(summary(&row)).or_default().push(row);
            }
            for row in rows("oc_liveworkitems") {
                *books.chats.entry(text(&row["subject"])).or_default() += 1;
            }
            for (table, into) in [("annotations", &mut books.notes), ("queueitems", &mut books.places)] {
                for row in rows(table) {
                    *into.entry(text(&row["_objectid_value"])).or_default() += 1;
                }
            }
            for row in rows("contacts") {
                let email = text(&row["emailaddress1"]).to_lowercase();
                *books.contacts.entry((organization.as_str(), email)).or_default() += 1;
            }
        }
        books
    }
}

/// Summary in an incident's description.
pub fn summary(incident: &Value) -> String {
    let description = incident["description"].as_str().unwrap_or_default();
    let line = description.lines().find_map(|line| line.strip_prefix("Summary: "));
    line.unwrap_or_default().to_owned()
}
