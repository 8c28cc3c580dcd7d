//! Credentials beside a secret: a certificate, and a token of another issuer.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::broker::eventually;
use crate::support::certificates::Minted;
use crate::support::event::handoff;
use crate::support::rig::{Rig, rig};

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

#[tokio::test]
async fn a_certificate_signs_in_without_a_secret() {
    let minted = Minted::valid_for(30);
    let rig = rig_with("client_certificate", |folder| {
        let path = folder.join("acme.pem");
        std::fs::write(&path, minted.both()).unwrap();
        path
    })
    .await;
    rig.crm.environment().configure(&json!({ "client_certificates": [minted.certificate] })).unwrap();
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
    let rig = rig_with("client_certificate", |folder| {
        let path = folder.join("acme.pem");
        std::fs::write(&path, minted.both()).unwrap();
        path
    })
    .await;
    rig.start_worker("worker").ready().await;
    let event = handoff("email");
    rig.bus.publish(&event).await;
    let worker = rig.worker();
    eventually("a block", async || worker.stands("org_acme").await["state"] == "blocked").await;
    let stands = worker.stands("org_acme").await;
    assert!(stands["error"].as_str().unwrap().contains("AADSTS700027"), "{stands}");
    assert!(stands["advice"].as_str().unwrap().contains("Upload the certificate"), "{stands}");

    rig.crm.environment().configure(&json!({ "client_certificates": [minted.certificate] })).unwrap();
    rig.bus.outcome(event.id()).await;
    rig.nothing_is_left().await;
}
