//! Credentials beside a secret: a certificate, and a token of another issuer.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::broker::eventually;
use crate::support::certificates::Minted;
use crate::support::event::{ANOTHER_ORGANIZATION, ORGANIZATION, handoff};
use crate::support::org_rig::OrgRig;
use crate::support::rig::{Rig, rig};
use crate::support::simulator::SECRET;
use crate::support::worker::Worker;

const EXPIRES: &str = "handoffd_credential_expires_timestamp_seconds";

/// Value `{ file = "…" }`.
fn file(path: &Path) -> toml::Table {
    toml::Table::from_iter([("file".to_owned(), path.to_str().unwrap().into())])
}

/// Rig whose organization has this credential, before its worker starts.
async fn rig_with(key: &str, path: impl Fn(&Path) -> PathBuf) -> Rig {
    let mut rig = rig().lay_out().await;
    let path = path(rig.folder.path());
    rig.files.leave_out("client_secret");
    rig.files.organize(key, file(&path));
    rig
}

/// Rig whose organization has this certificate, before its worker starts.
async fn rig_with_certificate(minted: &Minted) -> Rig {
    rig_with("client_certificate", |folder| put(&folder.join("acme.pem"), &minted.both())).await
}

/// Replaces a file at once, as an operator would.
fn put(path: &Path, text: &str) -> PathBuf {
    let draft = path.with_extension("draft");
    std::fs::write(&draft, text).unwrap();
    std::fs::rename(draft, path).unwrap();
    path.to_owned()
}

/// Registers certificates with the application, and ends all tokens.
fn register(rig: &Rig, certificates: &[&Minted]) {
    let certificates: Vec<&String> = certificates.iter().map(|minted| &minted.certificate).collect();
    rig.crm.environment().configure(&json!({ "client_certificates": certificates })).unwrap();
    rig.crm.environment().revoke_tokens();
}

async fn blocked(worker: &Worker, organization: &str) -> Value {
    eventually("a block", async || worker.stands(organization).await["state"] == "blocked").await;
    worker.stands(organization).await
}

#[tokio::test]
async fn a_certificate_signs_in_without_a_secret() {
    let minted = Minted::valid_for(30);
    let rig = rig_with_certificate(&minted).await;
    register(&rig, &[&minted]);
    rig.start_worker("worker").ready().await;
    rig.hand_off(&handoff("email")).await;
    rig.crm.environment().revoke_tokens();
    rig.hand_off(&handoff("email")).await;
    let asked = rig.crm.requests("token");
    assert_eq!(asked.len(), 2, "an assertion each: {asked:?}");
    let body = String::from_utf8(asked[0].body.clone().unwrap().to_vec()).unwrap();
    let expected = "client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion=***&";
    assert!(body.contains(expected) && !body.contains("client_secret"), "{body}");
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_federated_token_is_read_anew_for_each_token() {
    // As Kubernetes projects it: the path leads through a link that is replaced.
    let rig = rig_with("federated_token", |folder| {
        for version in ["first", "second"] {
            std::fs::create_dir(folder.join(version)).unwrap();
            std::fs::write(folder.join(version).join("token"), format!("header.{version}.signature\n")).unwrap();
        }
        std::os::unix::fs::symlink("first", folder.join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/token", folder.join("token")).unwrap();
        folder.join("token")
    })
    .await;
    let accepts = |version: &str| {
        let token = format!("header.{version}.signature");
        rig.crm.environment().configure(&json!({ "federated_tokens": [token] })).unwrap();
        rig.crm.environment().revoke_tokens();
    };
    accepts("first");
    rig.start_worker("worker").ready().await;
    rig.hand_off(&handoff("email")).await;
    let folder = rig.folder.path();
    std::os::unix::fs::symlink("second", folder.join("..next")).unwrap();
    std::fs::rename(folder.join("..next"), folder.join("..data")).unwrap();
    accepts("second");
    rig.hand_off(&handoff("email")).await;
    let asked = rig.crm.requests("token");
    assert_eq!(asked.iter().map(|entry| entry.status).collect::<Vec<_>>(), [Some(200), Some(200)]);
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_certificate_that_is_not_registered_blocks_its_organization_with_advice() {
    let minted = Minted::valid_for(30);
    let rig = rig_with_certificate(&minted).await;
    rig.start_worker("worker").ready().await;
    let event = handoff("email");
    rig.bus.publish(&event).await;
    let stands = blocked(&rig.worker(), ORGANIZATION).await;
    assert!(stands["error"].as_str().unwrap().contains("AADSTS700027"), "{stands}");
    assert!(stands["advice"].as_str().unwrap().contains("Upload the certificate"), "{stands}");

    register(&rig, &[&minted]);
    rig.bus.outcome(event.id()).await;
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_certificate_that_changes_on_disk_takes_effect_without_a_restart() {
    let (first, second) = (Minted::valid_for(30), Minted::valid_for(60));
    let rig = rig_with_certificate(&first).await;
    register(&rig, &[&first]);
    let worker = rig.start_worker("worker");
    worker.ready().await;
    rig.hand_off(&handoff("email")).await;
    let end = worker.metric(EXPIRES, ORGANIZATION).await;
    let path = rig.folder.path().join("acme.pem");

    // A faulty one leaves the old one in force.
    put(&path, &second.certificate);
    eventually("the fault", async || worker.logged("invalid organization files")).await;
    assert!(worker.log().contains("acme.pem, expected PEM of a certificate"), "{}", worker.log());
    rig.crm.environment().revoke_tokens();
    rig.hand_off(&handoff("email")).await;

    // Known to Entra ID first: the worker asks for a token as soon as the file has changed.
    register(&rig, &[&second]);
    put(&path, &second.both());
    eventually("the new end", async || worker.metric(EXPIRES, ORGANIZATION).await > end).await;
    rig.hand_off(&handoff("email")).await;
    let refused = rig.crm.requests("token").into_iter().filter(|entry| entry.status != Some(200)).count();
    assert_eq!(refused, 0);
    let log = worker.log();
    let mut secret = second.key.lines().chain(first.key.lines()).filter(|line| !line.starts_with('-'));
    assert!(!secret.any(|line| log.contains(line)), "a key is in the log");
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_faulty_certificate_at_the_start_blocks_its_organization_and_no_other() {
    let (minted, other) = (Minted::valid_for(30), Minted::valid_for(30));
    let rig = rig_with_certificate(&minted).await;
    register(&rig, &[&minted]);
    rig.files.write(rig.folder.path(), "worker");
    let mut faulty = rig.files.clone();
    let path = rig.folder.path().join("globex.pem");
    put(&path, &format!("{}{}", other.certificate, minted.key));
    faulty.organize("client_certificate", file(&path));
    faulty.write_another_organization(rig.folder.path(), ANOTHER_ORGANIZATION);
    let worker = rig.start_worker("worker");
    worker.ready().await;
    let waits = handoff("email").with("/organization_id", ANOTHER_ORGANIZATION);
    rig.bus.publish(&waits).await;
    rig.hand_off(&handoff("email")).await;
    let stands = blocked(&worker, ANOTHER_ORGANIZATION).await;
    let error = stands["error"].as_str().unwrap();
    assert!(error.contains("globex.pem") && error.contains("does not match the certificate"), "{stands}");
    assert!(!worker.metrics().await.contains(&format!("{EXPIRES}{{organization=\"{ANOTHER_ORGANIZATION}\"}}")));
    let checked = worker.command(&["config", "check"]).await;
    assert_eq!(checked.status.code(), Some(2), "{checked:?}");

    put(&path, &minted.both());
    rig.bus.outcome(waits.id()).await;
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_federated_token_that_is_gone_blocks_its_organization_until_it_is_back() {
    let token = "header.claims.signature";
    let rig = rig_with("federated_token", |folder| put(&folder.join("token"), token)).await;
    rig.crm.environment().configure(&json!({ "federated_tokens": [token] })).unwrap();
    rig.start_worker("worker").ready().await;
    rig.hand_off(&handoff("email")).await;
    let path = rig.folder.path().join("token");
    std::fs::remove_file(&path).unwrap();
    rig.crm.environment().revoke_tokens();
    let event = handoff("email");
    rig.bus.publish(&event).await;
    let stands = blocked(&rig.worker(), ORGANIZATION).await;
    assert!(stands["error"].as_str().unwrap().contains(path.to_str().unwrap()), "{stands}");
    assert!(stands["advice"].as_str().unwrap().contains("correct federated_token"), "{stands}");
    assert_eq!(rig.crm.count("token"), 1, "nothing is asked without a token");
    put(&path, token);
    let outcome = rig.bus.outcome(event.id()).await.body;
    assert_eq!(outcome["data"]["attempts"], 1, "{outcome}");
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_test_shows_the_end_of_a_certificate() {
    let mut office = OrgRig::open().await;
    let credential = async |office: &OrgRig| {
        let output = office.run(&["org", "test", "org_acme", "--json"]).await;
        assert_eq!(output.status, 0, "{} {}", output.out, output.err);
        output.json()["checks"].as_array().unwrap().iter().find(|check| check["check"] == "credential").unwrap().clone()
    };
    let check = credential(&office).await;
    assert!(check["message"].as_str().unwrap().contains("the end of client_secret is unknown"), "{check}");
    office.files.leave_out("client_secret");
    for (days, result) in [(30, "passed"), (13, "warned")] {
        let minted = Minted::valid_for(days);
        let path = put(&office.folder.path().join("acme.pem"), &minted.both());
        office.files.organize("client_certificate", file(&path));
        office.crm.environment().configure(&json!({ "client_certificates": [minted.certificate] })).unwrap();
        let check = credential(&office).await;
        assert_eq!((&check["result"], &check["half"]), (&json!(result), &json!("credentials")), "{check}");
        assert!(check["message"].as_str().unwrap().starts_with("client_certificate ends on 20"), "{check}");
    }
}

#[tokio::test]
async fn a_saved_certificate_is_encrypted_and_never_shown() {
    let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let rig = rig().set("organizations", "encryption_key", key).start().await;
    let minted = Minted::valid_for(30);
    register(&rig, &[&minted]);
    let with = |credential: Value| {
        let mut document = json!({
            "environment_url": rig.crm.url(), "tenant_id": "11111111-1111-1111-1111-111111111111",
            "client_id": "22222222-2222-2222-2222-222222222222",
        });
        document.as_object_mut().unwrap().extend(credential.as_object().unwrap().clone());
        document
    };
    let path = format!("/organizations/{ANOTHER_ORGANIZATION}");
    let refused = async |credential: Value| {
        let (status, problem) = rig.worker().api("PUT", &path, Some(&with(credential))).await;
        assert_eq!(status, 400, "{problem}");
        problem["detail"].as_str().unwrap().to_owned()
    };
    let pem = put(&rig.folder.path().join("acme.pem"), &minted.both());
    let mut words = Vec::new();
    for place in [json!({ "file": pem }), json!({ "file": "/nowhere" }), json!({ "env": "PATH" })] {
        for name in ["client_certificate", "client_secret"] {
            words.push(refused(json!({ name: place.clone() })).await.replace(name, "…"));
        }
    }
    assert!(words.iter().all(|other| *other == words[0]) && words[0].contains("the secret itself"), "{words:?}");
    for token in [json!({ "file": pem }), json!("a.b.c")] {
        let detail = refused(json!({ "federated_token": token })).await;
        assert!(detail.contains("federated_token is allowed only in an organization's file"), "{detail}");
    }
    refused(json!({ "client_certificate": minted.both(), "client_secret": SECRET })).await;
    refused(json!({ "client_certificate": minted.key })).await;

    let document = with(json!({ "client_certificate": minted.both(), "client_secret": null }));
    let (status, report) = rig.worker().api("PUT", &path, Some(&document)).await;
    assert_eq!(status, 200, "{report}");
    rig.hand_off(&handoff("email").with("/organization_id", ANOTHER_ORGANIZATION)).await;
    assert!(rig.worker().metric(EXPIRES, ANOTHER_ORGANIZATION).await > 0);
    let shown = rig.worker().stands(ANOTHER_ORGANIZATION).await.to_string() + rig.worker().log().as_str();
    rig.worker().stop().await;
    let line = minted.key.lines().nth(3).unwrap();
    assert!(!shown.contains(line));
    for entry in std::fs::read_dir(rig.store("worker")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(line.len()).any(|window| window == line.as_bytes()), "{}", path.display());
        }
    }
    rig.start_worker("worker").ready().await;
    rig.hand_off(&handoff("email").with("/organization_id", ANOTHER_ORGANIZATION)).await;
}
