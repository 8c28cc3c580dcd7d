//! Insecure settings, as `config check` warns of them.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

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

/// Every key that may name a file with a secret.
#[test]
fn each_key_that_names_a_secret_file_is_looked_at() {
    let site = Site::new("");
    let file = |name: &str, text: &str| {
        let path = site.write(name, text);
        set_permissions(&path, Permissions::from_mode(0o644)).expect("its mode");
        path
    };
    let key = file("key", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let token = file("token", "16-characters-xy");
    let reader = file("reader", "16-characters-yz");
    let (broker, store) = (file("broker", "amqp://u:pw@localhost"), file("store", "postgres://u:pw@127.0.0.1/db"));
    let (pem, private) = (file("certificate", ""), file("private", ""));
    let made = Command::new("openssl")
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=worker -days 1".split(' '))
        .args(["-out", &pem, "-keyout", &private])
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{made:?}");
    set_permissions(&private, Permissions::from_mode(0o644)).expect("its mode");
    let text = format!(
        "[broker]\nurl = {{ file = {broker:?} }}\nclient_certificate = {pem:?}\nclient_key = {private:?}\n\
         [store]\nkind = \"postgres\"\nurl = {{ file = {store:?} }}\n\
         [http]\ntoken = {{ file = {token:?} }}\nreader_token = {{ file = {reader:?} }}\n\
         [organizations]\nencryption_key = {{ file = {key:?} }}\nprevious_encryption_key = {{ file = {key:?} }}\n"
    );
    let mut lines = Site::new(&text).insecure(&[]);
    lines.sort();
    let mut expected = [
        ("broker.client_key", &private),
        ("broker.url", &broker),
        ("http.reader_token", &reader),
        ("http.token", &token),
        ("organizations.encryption_key", &key),
        ("organizations.previous_encryption_key", &key),
        ("store.url", &store),
    ]
    .map(|(key, path)| format!("{key}: {path}"));
    expected.sort();
    let found: Vec<String> = lines
        .iter()
        .map(|line| format!("{}: {}", keys(std::slice::from_ref(line))[0], line.rsplit(' ').next().expect("a path")))
        .collect();
    assert_eq!(found, expected, "{lines:#?}");
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
