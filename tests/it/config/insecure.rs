//! Insecure settings, as `config check` warns of them.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;

use super::site::{ACME, Site};

/// Configuration without an insecure setting.
const SECURE: &str = "[http]\ntoken = \"16-characters-xy\"\n";

/// Settings beside [`SECURE`], each with the keys that are insecure.
const SETTINGS: &[(&str, &[&str])] = &[
    ("", &[]),
    ("[dynamics]\nallow_insecure = true", &["dynamics.allow_insecure"]),
    ("[broker]\nurl = \"amqp://handoffd:pw@mq.example.net/%2f\"", &["broker.url"]),
    ("[broker]\nurl = \"amqps://handoffd:pw@mq.example.net/%2f\"", &[]),
    ("[broker]\nurl = \"amqps://guest:pw@mq.example.net/%2f\"", &["broker.url"]),
    ("[broker]\nurl = \"amqps://mq.example.net\"", &["broker.url"]),
    ("[broker]\nurl = \"amqp://guest:pw@10.0.0.1/%2f\"", &["broker.url", "broker.url"]),
    (
        "[broker]\nurl = [\"amqp://guest:pw@localhost\", \"amqp://guest:pw@127.0.0.2\", \"amqp://guest:pw@[::1]:1\"]",
        &[],
    ),
    ("[broker]\nurl = [\"amqp://guest:pw@localhost\", \"amqp://u:pw@[2001:db8::1]\"]", &["broker.url"]),
];

fn keys(lines: &[String]) -> Vec<&str> {
    lines.iter().filter_map(|line| line.split(": ").next()).collect()
}

#[test]
fn each_insecure_setting_is_listed_with_advice_and_without_secrets() {
    for (text, expected) in SETTINGS {
        let lines = Site::new(&format!("{SECURE}{text}\n")).insecure(&[]);
        assert_eq!(keys(&lines), *expected, "{text}");
        assert!(lines.iter().all(|line| line.contains("; ") && !line.contains("pw")), "{lines:?}");
    }
    let beyond = SECURE.replace("[http]", "[http]\nlisten = \"0.0.0.0:9464\"");
    assert_eq!(keys(&Site::new(&beyond).insecure(&[])), ["http.listen"]);
    let mapped = SECURE.replace("[http]", "[http]\nlisten = \"[::ffff:127.0.0.1]:9464\"");
    assert_eq!(Site::new(&mapped).insecure(&[]), <[String; 0]>::default());
    assert_eq!(keys(&Site::new("").insecure(&[])), ["http.token"], "open on this machine");
}

#[test]
fn a_secret_file_that_others_can_read_is_listed() {
    let site = Site::new("");
    let token = site.write("token", "16-characters-xy");
    let secret = site.write("secret", "s3cret");
    let site = Site::new(&format!("[http]\ntoken = {{ file = {token:?} }}\n"));
    site.organization("a.toml", &ACME.replace("\"pl41n\"", &format!("{{ file = {secret:?} }}")));
    for (mode, listed) in [(0o600, false), (0o640, false), (0o644, true), (0o602, true)] {
        for path in [&token, &secret] {
            set_permissions(path, Permissions::from_mode(mode)).expect("its mode");
        }
        let lines = site.insecure(&[]);
        assert_eq!(keys(&lines), if listed { vec!["http.token", "client_secret"] } else { vec![] }, "{mode:o}");
        assert!(!listed || lines[0].ends_with(&format!("chmod o= {token}")), "{lines:?}");
    }
}
