//! Faults in organization files, at start and later: each affects only its own organization.

use std::path::PathBuf;

use serde_json::json;

use crate::support::broker::eventually;
use crate::support::event::{ANOTHER_ORGANIZATION, Event, ORGANIZATION, handoff};
use crate::support::rig::{Rig, rig};
use crate::support::worker::{field, program};

fn theirs() -> Event {
    handoff("email").with("/organization_id", ANOTHER_ORGANIZATION)
}

/// Path of a file in the organizations directory.
fn file(rig: &Rig, name: &str) -> PathBuf {
    rig.folder.path().join("organizations").join(name)
}

#[tokio::test]
async fn a_missing_secret_at_the_start_blocks_its_organization_and_no_other() {
    let rig = rig().lay_out().await;
    rig.files.write(rig.folder.path(), "worker");
    let mut faulty = rig.files.clone();
    faulty.organize("client_secret", toml::Value::Table(toml::toml! { env = "NO_SUCH_SECRET" }));
    faulty.write_another_organization(rig.folder.path(), ANOTHER_ORGANIZATION);
    let worker = rig.start_worker("worker");
    worker.ready().await;

    let waits = theirs();
    rig.bus.publish(&waits).await;
    rig.hand_off(&handoff("email")).await;
    rig.bus.gather(ANOTHER_ORGANIZATION, 1).await;
    assert_eq!(worker.stands(ORGANIZATION).await["state"], "open");
    let stands = worker.stands(ANOTHER_ORGANIZATION).await;
    assert_eq!(stands["state"], "blocked", "{stands}");
    assert!(stands["error"].as_str().unwrap().contains("NO_SUCH_SECRET is not set"), "{stands}");
    assert_eq!(worker.metric("handoffd_organization_blocked", ANOTHER_ORGANIZATION).await, 1);
    let of_it = |line: &&serde_json::Value| field(line, "organization_id") == ANOTHER_ORGANIZATION;
    assert!(
        worker.lines().iter().filter(of_it).any(|line| field(line, "error").to_string().contains("NO_SUCH_SECRET"))
    );
    let config = rig.folder.path().join("worker.toml");
    let checked = program().arg("--config").arg(config).args(["config", "check"]).output().unwrap();
    assert_eq!(checked.status.code(), Some(2), "{checked:?}");

    // Corrected: its events flow, without a restart.
    rig.files.write_another_organization(rig.folder.path(), ANOTHER_ORGANIZATION);
    let outcome = rig.bus.outcome(waits.id()).await.body;
    assert_eq!((&outcome["event"], &outcome["data"]["attempts"]), (&json!("dynamics365.handoff.succeeded"), &json!(1)));
    assert_eq!(worker.stands(ANOTHER_ORGANIZATION).await["state"], "open");
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn while_a_file_does_not_give_its_organization_events_of_unknown_ones_wait() {
    let rig = rig().set("retry", "delays", vec!["300ms".to_owned()]).lay_out().await;
    rig.files.write(rig.folder.path(), "worker");
    let broken = file(&rig, &format!("{ANOTHER_ORGANIZATION}.toml"));
    std::fs::write(&broken, "organization_id = ").unwrap();
    let worker = rig.start_worker("worker");
    worker.ready().await;
    let waits = theirs();
    rig.bus.publish(&waits).await;
    rig.awaits("unknown_organization").await;
    rig.hand_off(&handoff("email")).await;
    assert_eq!(rig.bus.dead_letters().await, 0);

    rig.files.write_another_organization(rig.folder.path(), ANOTHER_ORGANIZATION);
    let outcome = rig.bus.outcome(waits.id()).await.body;
    assert_eq!((&outcome["event"], &outcome["data"]["attempts"]), (&json!("dynamics365.handoff.succeeded"), &json!(1)));
    std::fs::write(&broken, "organization_id = ").unwrap();
    let stranger = handoff("email").with("/organization_id", "org_stranger");
    eventually("the report", async || worker.logged("invalid organization files")).await;
    std::fs::remove_file(&broken).unwrap();
    eventually("the removal", async || worker.logged("organization removed")).await;
    assert_eq!(rig.process(&stranger).await.body["data"]["reason"], "unknown_organization");
}

#[tokio::test]
async fn all_files_gone_for_a_moment_make_no_dead_letter() {
    let rig = rig().start().await;
    let (there, away) = (file(&rig, ""), rig.folder.path().join("unmounted"));
    let rename = |from: &PathBuf, to: &PathBuf| std::fs::rename(from, to).unwrap();
    rename(&there, &away);
    std::fs::create_dir(&there).unwrap();
    // Three readings of the directory.
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    rig.hand_off(&handoff("email")).await;
    std::fs::remove_dir(&there).unwrap();
    rename(&away, &there);
    rig.hand_off(&handoff("email")).await;
    assert!(!rig.worker().logged("organization removed"));
    rig.nothing_is_left().await;
}
