//! `org save` and `org list`.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::org_rig::OrgRig;
use crate::support::simulator::SECRET;

#[tokio::test]
async fn a_file_is_put_in_place_only_when_its_test_passes() {
    let office = OrgRig::open().await;
    let (config, draft) = laid_out(&office, "acme.toml", |_| {});
    office.crm.environment().configure(&json!({ "application_user": "missing" })).unwrap();
    let output = office.run_with(&config, &["org", "save", &draft]).await;
    assert_eq!(output.status, 1, "{}", output.err);
    assert!(
        output.out.contains("New app user") && output.err.contains("acme.toml was not created"),
        "{} {}",
        output.out,
        output.err
    );
    assert_eq!(names(&office.directory()), Vec::<String>::new());

    office.crm.environment().configure(&json!({ "application_user": "present" })).unwrap();
    let output = office.run_with(&config, &["org", "save", &draft]).await;
    assert_eq!(output.status, 0, "{} {}", output.out, output.err);
    let saved = office.directory().join("acme.toml");
    assert_eq!(names(&office.directory()), ["acme.toml"]);
    assert_eq!(std::fs::read(&saved).unwrap(), std::fs::read(&draft).unwrap());
    assert_eq!(std::fs::metadata(&saved).unwrap().mode() & 0o777, 0o600, "it holds the secret itself");
    assert!(!output.out.contains(SECRET));

    // The same file again, with a fault: the last good one stays.
    std::fs::write(&draft, std::fs::read_to_string(&draft).unwrap().replace(SECRET, "wrong")).unwrap();
    let output = office.run_with(&config, &["org", "save", &draft]).await;
    assert!(output.status == 1 && output.err.contains("acme.toml is unchanged"), "{} {}", output.status, output.err);
    assert!(std::fs::read_to_string(&saved).unwrap().contains(SECRET));
}

#[tokio::test]
async fn a_file_that_conflicts_with_another_is_refused() {
    let office = OrgRig::open().await;
    let (config, draft) = laid_out(&office, "acme.toml", |_| {});
    assert_eq!(office.run_with(&config, &["org", "save", &draft]).await.status, 0);
    let asked = office.crm.environment().requests().len();

    let (_, other_name) = laid_out(&office, "acme-new.toml", |_| {});
    let output = office.run_with(&config, &["org", "save", &other_name]).await;
    assert_eq!(output.status, 2);
    assert!(output.err.contains("acme.toml; to replace it"), "{}", output.err);

    let (_, other_id) =
        laid_out(&office, "acme.toml", |table| _ = table.insert("organization_id".into(), "org_x".into()));
    let output = office.run_with(&config, &["org", "save", &other_id]).await;
    assert_eq!(output.status, 2);
    assert!(output.err.contains("configures organization \"org_acme\""), "{}", output.err);

    let (_, faulty) = laid_out(&office, "acme.toml", |table| _ = table.insert("client_sekret".into(), "x".into()));
    let output = office.run_with(&config, &["org", "save", &faulty]).await;
    assert_eq!(output.status, 2);
    assert!(output.err.contains("did you mean"), "{}", output.err);
    assert_eq!(office.crm.environment().requests().len(), asked, "none of them was tested");
}

#[tokio::test]
async fn the_list_shows_sources_and_unreadable_files() {
    let office = OrgRig::open().await;
    let output = office.run(&["org", "list"]).await;
    assert_eq!(output.status, 0, "{}", output.err);
    assert!(output.out.contains("org_acme") && output.out.contains(&office.crm.url()), "{}", output.out);
    std::fs::write(office.directory().join("broken.toml"), "organization_id = 7\n").unwrap();
    let listed = office.run(&["org", "list", "--json"]).await.json();
    let all = listed.as_array().unwrap();
    assert_eq!(all.len(), 2, "{listed:#}");
    let file = office.directory().join("org_acme.toml").display().to_string();
    assert_eq!(
        all[0],
        json!({
            "organization_id": "org_acme", "source": "file", "file": file, "environment_url": office.crm.url(),
            "readable": true, "problem": null, "state": null, "waiting": null, "oldest_seconds": null,
            "worker": null,
        })
    );
    assert_eq!((&all[1]["readable"], &all[1]["organization_id"]), (&json!(false), &json!(null)));
    assert!(all[1]["problem"].as_str().unwrap().contains("organization_id"), "{listed:#}");
    let text = office.run(&["org", "list"]).await.out;
    assert!(text.lines().nth(2).unwrap().contains("organization_id: "), "{text}");

    // Of two files of one organization neither is right, and each is listed with its fault.
    std::fs::copy(&file, office.directory().join("broken.toml")).unwrap();
    let listed = office.run(&["org", "list", "--json"]).await.json();
    let all = listed.as_array().unwrap();
    assert_eq!(all.len(), 2, "{listed:#}");
    for one in all {
        assert!(one["problem"].as_str().unwrap().contains("one file for each organization"), "{listed:#}");
    }
}

/// Configuration without organizations, and an organization file beside it.
fn laid_out(office: &OrgRig, name: &str, change: impl Fn(&mut toml::Table)) -> (PathBuf, String) {
    let config = office.files.write(office.folder.path(), "office");
    let written = office.directory().join("org_acme.toml");
    let mut table: toml::Table = std::fs::read_to_string(&written).unwrap().parse().unwrap();
    std::fs::remove_file(written).unwrap();
    change(&mut table);
    let drafts = office.folder.path().join("drafts");
    std::fs::create_dir_all(&drafts).unwrap();
    let draft = drafts.join(name);
    std::fs::write(&draft, table.to_string()).unwrap();
    (config, draft.display().to_string())
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
