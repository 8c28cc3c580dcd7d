//! `config check` and `config show`.

use std::process::Command;

use super::site::{ACME, Site};

#[test]
fn check_lists_what_was_checked() {
    let site = Site::new("");
    let text = site.check(&[]).expect("no fault");
    let directory = site.directory();
    assert_eq!(
        text,
        format!(
            "ok: {}, 0 organizations\nwarning: no organizations configured in {}; events would become dead letters \
             (unknown_organization)\n",
            site.file().display(),
            directory.display()
        )
    );
    let path = site.organization("a.toml", ACME);
    let text = site.check(&[]).expect("no fault");
    let expected =
        format!("ok: {}, 1 organization\n  org_acme → https://acme.crm.dynamics.com ({path})\n", site.file().display());
    assert_eq!(text, expected);
}

#[test]
fn show_lists_effective_values_and_their_sources() {
    let site = Site::new(
        "[broker]\nurl = \"amqp://me:hidden@mq:5672/%2f\"\nprefetch = 9\ndeclare = true\n[http]\ntoken = { env = \"TOKEN\" }\n",
    );
    site.organization("a.toml", ACME);
    let text = site
        .show(&[("TOKEN", "hidden"), ("HANDOFFD_RETRY__DELAYS", "1s,2s"), ("HANDOFFD_LOG__LEVEL", "debug")])
        .expect("no fault");
    let file = site.file().display().to_string();
    for line in [
        format!("url = \"amqp://me:***@mq:5672/%2f\"  # from {file}:2"),
        format!("prefetch = 9  # from {file}:3"),
        format!("token = \"***\"  # environment variable TOKEN, from {file}:6"),
        "delays = [\"1s\", \"2s\"]  # from HANDOFFD_RETRY__DELAYS".to_owned(),
        "level = \"debug\"  # from HANDOFFD_LOG__LEVEL".to_owned(),
        "queue = \"handoffd.events\"".to_owned(),
        "declare = true".to_owned(),
        "encryption_key = \"\"".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(text.contains("org_acme"));
    assert!(!text.contains("hidden") && !text.contains("pl41n"), "{text}");
    let table: toml::Table = toml::from_str(&text).expect("it is TOML again");
    assert_eq!(table.len(), 10);
}

#[test]
fn the_default_broker_url_is_masked_too() {
    let text = Site::new("").show(&[]).expect("no fault");
    assert!(text.contains("url = \"amqp://guest:***@127.0.0.1:5672/%2f\"\n"), "{text}");
}

#[test]
fn show_with_faults_shows_them() {
    assert!(Site::new("[broker]\nprefetch = 0\n").show(&[]).expect_err("a fault").contains("broker.prefetch"));
}

#[test]
fn an_empty_handoffd_config_counts_as_unset() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_handoffd"));
    command.args(["config", "check"]).env("HANDOFFD_CONFIG", "").current_dir(&folder);
    let error = String::from_utf8(command.output().expect("it runs").stderr).expect("UTF-8");
    assert!(error.starts_with("config/handoffd.toml: found no such file"), "{error}");
}

#[test]
fn output_that_can_not_be_written_is_a_failure() {
    let full = std::fs::File::options().write(true).open("/dev/full").expect("a device");
    let mut command = Command::new(env!("CARGO_BIN_EXE_handoffd"));
    let output = command.args(["schema"]).stdout(full).output().expect("it runs");
    let error = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.starts_with("error: cannot write to standard output: No space left"), "{error}");
}
