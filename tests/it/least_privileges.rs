//! `docs/DYNAMICS.md`, "Least privileges": a role with exactly these privileges processes every event, lost responses
//! included.

use std::collections::BTreeSet;
use std::path::Path;

use dynamics_simulator::Profile;
use serde_json::json;

use crate::support::event::{handoff, resolved};
use crate::support::rig::{Rig, rig};
use crate::support::simulator::OWNER;

/// Privilege names in the document's table: `| Case (`Incident`) | Create, Append To | … |`.
fn role() -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/DYNAMICS.md");
    let page = std::fs::read_to_string(path).unwrap();
    let section = page.split("\n## ").find(|section| section.starts_with("Least privileges\n")).unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1).filter(|line| !line.starts_with("| ---"));
    let names = rows.flat_map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let table = cells[0].split('`').nth(1).unwrap().to_owned();
        let verbs = cells[1].split(',').map(|verb| verb.trim().replace(' ', ""));
        verbs.map(move |verb| format!("prv{verb}{table}").to_lowercase()).collect::<Vec<_>>()
    });
    names.collect()
}

fn grant_only(rig: &Rig, role: &BTreeSet<String>) {
    let all = rig.crm.environment().privileges();
    let missing: Vec<&String> = all.iter().filter(|name| !role.contains(&name.to_lowercase())).collect();
    assert_eq!(all.len() - missing.len(), role.len(), "a name that no environment has: {role:?}, {all:?}");
    rig.crm.environment().configure(&json!({ "missing_privileges": missing })).unwrap();
}

#[tokio::test]
async fn the_documented_role_is_sufficient() {
    for profile in [Profile::OpenCx, Profile::Stock] {
        let rig = rig().profile(profile).queue().organize("default_owner_id", OWNER).lay_out().await;
        grant_only(&rig, &role());
        rig.start_worker("worker").ready().await;
        let lines = vec![json!({ "sender": "customer", "text": "0123456789 ".repeat(50) }); 10];
        let case = handoff("email").with("/data/transcript", lines);
        let steps = ["contacts.query", "contacts.create", "incidents.create", "annotations.create", "AddToQueue"];
        let closings = ["incidents.update", "CloseIncident"];
        for operation in steps.iter().chain(&closings).chain(&["oc_liveworkitems.create"]) {
            rig.crm.fault(&json!({ "operation": operation, "fault": "reset_after_commit" }));
        }
        rig.hand_off(&case).await;
        let closed = rig.process(&resolved(case.session())).await.body;
        assert_eq!(closed["event"], "dynamics365.resolution.succeeded", "{closed}");
        rig.hand_off(&handoff("web")).await;
        let refused = rig.crm.environment().requests().into_iter().filter(|request| request.status == Some(403));
        assert_eq!(refused.map(|request| request.operation).collect::<Vec<_>>(), Vec::<String>::new(), "{profile:?}");
        assert!(rig.crm.fired().await >= 6, "answers were lost");
        rig.nothing_is_left().await;
    }
}
