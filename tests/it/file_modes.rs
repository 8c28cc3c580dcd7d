//! Modes of all files that the worker and the commands create, under a umask that withholds nothing.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::json;

use crate::dead_letter_commands::desk::Dead;
use crate::store_damage::garble;
use crate::support::broker::eventually;
use crate::support::event::{ANOTHER_ORGANIZATION, handoff};
use crate::support::rig::{Rig, rig};
use crate::support::simulator::SECRET;

const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
/// Program that clears the umask and becomes the one that is named after it.
const WITH_OPEN_UMASK: [&str; 4] = ["/bin/sh", "-c", "umask 000; exec \"$@\"", "sh"];
/// Organization that `org save` puts in place.
const SAVED: &str = "org_saved";

/// Modes of everything below a folder, except logs, which the test creates.
fn modes(folder: &Path) -> BTreeMap<PathBuf, u32> {
    let mut modes = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // sled removes its snapshots while it runs.
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        if found.is_dir() {
            modes.extend(self::modes(&path));
        }
        if path.extension().is_none_or(|extension| extension != "log") {
            modes.insert(path, found.mode() & 0o777);
        }
    }
    modes
}

/// Sets modes as an earlier version, or another umask, left them.
fn open_up(folder: &Path) {
    for (path, mode) in modes(folder) {
        fs::set_permissions(path, Permissions::from_mode(mode | 0o066)).unwrap();
    }
    fs::set_permissions(folder, Permissions::from_mode(0o777)).unwrap();
}

async fn run(rig: &Rig, arguments: &[&str]) -> Output {
    let config = rig.files.write(rig.folder.path(), "worker");
    let mut command = Command::new(WITH_OPEN_UMASK[0]);
    command.args(&WITH_OPEN_UMASK[1..]).arg(env!("CARGO_BIN_EXE_handoffd")).arg("--config").arg(config);
    command.args(arguments).stdin(Stdio::null()).env("HANDOFFD_HTTP__LISTEN", "127.0.0.1:1");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

#[tokio::test]
async fn nothing_that_is_created_is_open_to_other_users_whatever_the_umask() {
    let rig = rig().set("organizations", "encryption_key", KEY).lay_out().await;
    let folder = rig.folder.path();
    // The files of the test: configuration, drafts, patch.
    rig.files.write(folder, "worker");
    let draft = folder.join("draft");
    rig.files.write_another_organization(&draft, SAVED);
    let (draft, patch, kept) =
        (draft.join(format!("organizations/{SAVED}.toml")), folder.join("patch"), folder.join("kept"));
    fs::write(&patch, json!({ "data": { "summary": "short" } }).to_string()).unwrap();
    let own = modes(folder);

    let worker = rig.start_worker_under("worker", &WITH_OPEN_UMASK);
    worker.ready().await;
    rig.hand_off(&handoff("email")).await;
    let document = json!({
        "environment_url": rig.crm.url(), "tenant_id": "11111111-1111-1111-1111-111111111111",
        "client_id": "22222222-2222-2222-2222-222222222222", "client_secret": SECRET,
    });
    let saved = format!("/organizations/{ANOTHER_ORGANIZATION}");
    assert_eq!(worker.api("PUT", &saved, Some(&document)).await.0, 200);
    worker.stop().await;

    let dead = Dead::new().bury(&rig).await;
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    run(&rig, &["dead-letters", "replay", "--id", dead.id(), "--patch", &text(&patch), "--keep", &text(&kept)]).await;
    run(&rig, &["org", "save", &text(&draft)]).await;
    run(&rig, &["outcomes", "list"]).await;

    // An open store is closed when it is opened, and set aside with closed files.
    open_up(&rig.store("worker"));
    garble(&rig.store("worker"));
    let worker = rig.start_worker_under("worker", &WITH_OPEN_UMASK);
    eventually("a store that was set aside", async || {
        worker.try_unready().await.is_some_and(|why| why.iter().any(|why| why.contains("handoffd store accept")))
    })
    .await;
    worker.stop().await;

    let mut created = modes(folder);
    created.retain(|path, _| !own.contains_key(path));
    for name in [".corrupt-", ".unaccepted", "worker.sled/db", "/kept", &format!("organizations/{SAVED}.toml")] {
        assert!(created.keys().any(|path| path.to_str().unwrap().contains(name)), "no {name}: {created:#?}");
    }
    let open = created.iter().filter(|(_, mode)| **mode & 0o077 != 0);
    let open: Vec<String> = open.map(|(path, mode)| format!("{mode:o} {}", path.display())).collect();
    assert!(open.is_empty(), "open to other users:\n{}", open.join("\n"));
}
