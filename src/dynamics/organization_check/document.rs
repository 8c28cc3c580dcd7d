//! Compares the table "Least privileges" of `docs/DYNAMICS.md` with the privileges that a test of an organization checks.

use std::collections::BTreeSet;
use std::path::Path;

use handoffd_engine::workflow::samples::settings_with;
use handoffd_engine::workflow::{CloseWith, QueueAssignment, Settings};
use uuid::Uuid;

use super::privileges::{Need, Urgency, needed};

const CHATS: &str = "oc_liveworkitem";
const LOOKS: &str = "after a lost answer";

/// Row of the document's table: privileges on one table of Dynamics, and the condition under which they are needed.
struct PrivilegeRow {
    names: Vec<String>,
    when: String,
}

impl PrivilegeRow {
    fn read(line: &str) -> Self {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [table, privileges, _level, when] = cells[..] else { panic!("four columns: {line}") };
        let table = table.split('`').nth(1).expect("the name that privileges carry");
        let names = privileges.split(',').map(|verb| format!("prv{}{table}", verb.replace(' ', "")).to_lowercase());
        Self { names: names.collect(), when: when.to_owned() }
    }

    fn is_look(&self) -> bool {
        self.when.starts_with(LOOKS)
    }

    fn applies(&self, settings: &Settings, chats: Option<&str>) -> bool {
        let queued = settings.default_queue_id.is_some();
        match self.when.trim_start_matches(LOOKS).trim_start_matches(", ") {
            "" | "always" => true,
            "with `default_owner_id`" => settings.default_owner_id.is_some(),
            "with `default_queue_id`" => queued,
            "with `default_queue_id`, unless `queue_assignment = \"bind\"`" => {
                queued && settings.queue_assignment != QueueAssignment::Bind
            }
            "unless `close_with = \"patch\"`" => settings.close_with != CloseWith::Patch,
            "with live work items" => chats.is_some(),
            other => panic!("docs/DYNAMICS.md has an unknown condition: {other}"),
        }
    }
}

fn table() -> Vec<PrivilegeRow> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/DYNAMICS.md");
    let text = std::fs::read_to_string(path).expect("docs/DYNAMICS.md");
    let section = text.split("\n## ").find(|section| section.starts_with("Least privileges\n")).expect("the section");
    let rows: Vec<PrivilegeRow> =
        section.lines().filter(|line| line.starts_with('|')).skip(2).map(PrivilegeRow::read).collect();
    assert!(rows.len() > 5, "{} rows", rows.len());
    rows
}

fn named(needs: &[Need], looks: bool) -> BTreeSet<String> {
    let chosen = needs.iter().filter(|need| (need.urgency == Urgency::Looks) == looks);
    chosen.map(|need| need.names[0].to_lowercase()).collect()
}

fn every_kind_of_settings() -> Vec<Settings> {
    let mut all = Vec::new();
    for close_with in [CloseWith::Auto, CloseWith::Patch, CloseWith::CloseIncident] {
        for queue_assignment in [QueueAssignment::Auto, QueueAssignment::Bind, QueueAssignment::AddToQueue] {
            for (owner, queue) in [(false, false), (true, false), (false, true), (true, true)] {
                all.push(settings_with(|settings| {
                    (settings.close_with, settings.queue_assignment) = (close_with, queue_assignment);
                    settings.default_owner_id = owner.then(Uuid::nil);
                    settings.default_queue_id = queue.then(Uuid::nil);
                }));
            }
        }
    }
    all
}

#[test]
fn the_documents_least_privileges_are_those_that_a_test_asks_for() {
    let rows = table();
    for settings in every_kind_of_settings() {
        for chats in [None, Some(CHATS)] {
            let needs = needed(&settings, chats);
            for looks in [false, true] {
                let rows = rows.iter().filter(|row| row.is_look() == looks && row.applies(&settings, chats));
                let documented: BTreeSet<String> = rows.flat_map(|row| row.names.clone()).collect();
                assert_eq!(documented, named(&needs, looks), "left: docs/DYNAMICS.md, right: the code; looks: {looks}");
            }
        }
    }
}
