//! Precedence of defaults, file and environment.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use handoffd::config::schema::ConfigKey;
use handoffd::config::{self, BrokerUrl, Config, KEYS, LogFormat, OnCorruption};
use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::site::{ACME, Site, pairs};

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/handoffd.toml")
}

fn urls(config: &Config) -> Vec<&str> {
    config.broker.url.iter().map(BrokerUrl::expose).collect()
}

#[test]
fn the_shipped_file_is_exactly_the_defaults() {
    let text = std::fs::read_to_string(shipped()).expect("the shipped file");
    let table: toml::Table = toml::from_str(&text).expect("TOML");
    let mut seen = BTreeSet::new();
    for (section, keys) in &table {
        for (name, value) in keys.as_table().expect("a section") {
            let key = KEYS
                .iter()
                .find(|key| key.section == section && key.name == name)
                .unwrap_or_else(|| panic!("{section}.{name} is no key"));
            assert_eq!(Some(value), key.default_value().as_ref(), "{section}.{name}");
            seen.insert(key.variable());
        }
    }
    let all: BTreeSet<String> = KEYS.iter().map(ConfigKey::variable).collect();
    assert_eq!(seen, all);
    let empty = Site::new("").load(&[]).expect("an empty file is all defaults");
    let shipped = config::load(&shipped(), pairs(&[])).expect("the shipped file is legal");
    assert_eq!(format!("{empty:?}"), format!("{shipped:?}"));
}

#[test]
fn the_defaults_are_the_contracts() {
    let config = Site::new("").load(&[]).expect("all defaults");
    assert_eq!(urls(&config), ["amqp://guest:guest@127.0.0.1:5672/%2f"]);
    assert_eq!(config.broker.organization_queue_prefix, "handoffd.organization");
    assert_eq!(config.broker.new_queue_wait, Duration::from_secs(5));
    assert_eq!(config.broker.confirm_timeout, Duration::from_secs(30));
    assert_eq!(config.broker.queue, "handoffd.events");
    assert_eq!(config.broker.bindings, ["session.handoff.#", "session.resolved.#", "conversation.closed"]);
    assert_eq!(config.broker.prefetch, 256);
    assert!(config.broker.declare);
    assert_eq!(config.worker.max_event_bytes, 1_048_576);
    assert_eq!(config.worker.resolution_wait, Duration::from_secs(120));
    assert_eq!(config.retry.in_process, 3);
    let delays: Vec<&str> = config.retry.delays.iter().map(|delay| delay.text.as_str()).collect();
    assert_eq!(delays, ["5s", "30s", "2m", "10m", "1h"]);
    assert_eq!(config.dynamics.authority, "https://login.microsoftonline.com");
    assert_eq!(config.dynamics.max_concurrency, 52);
    assert!(!config.dynamics.allow_insecure);
    assert_eq!(config.store.path, Path::new("data/handoffd.sled"));
    assert_eq!(config.store.on_corruption, OnCorruption::Quarantine);
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:9464");
    assert!(config.http.reader_token.is_none() && config.http.metrics_listen.is_none());
    assert!(config.http.token.is_none() && config.organizations.encryption_key.is_none());
    assert!(config.tracing.otlp_endpoint.is_none());
}

#[test]
fn every_key_of_the_shipped_file_has_a_comment_of_its_own() {
    let text = std::fs::read_to_string(shipped()).expect("the shipped file");
    let lines: Vec<&str> = text.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        if line.contains(" = ") && !line.starts_with('#') {
            assert!(lines[index - 1].starts_with("# "), "no comment above: {line}");
        }
    }
}

#[test]
fn the_environment_wins_over_the_file() {
    let site = Site::new("[broker]\nqueue = \"from.file\"\nprefetch = 7\n[retry]\ndelays = [\"9s\"]\n");
    let config = site
        .load(&[
            ("HANDOFFD_BROKER__PREFETCH", "11"),
            ("HANDOFFD_BROKER__DECLARE", "false"),
            ("HANDOFFD_BROKER__BINDINGS", "[\"a.#\", 'b']"),
            ("HANDOFFD_RETRY__DELAYS", "200ms, 1s"),
            ("HANDOFFD_LOG__FORMAT", "json"),
            ("HANDOFFD_STORE__ON_CORRUPTION", "stop"),
            ("HANDOFFD_STORE__PATH", "12"),
            ("HANDOFFD_HTTP__TOKEN", "{ env = \"SECRET\" }"),
            ("HANDOFFD_HTTP__READER_TOKEN", "looks-only"),
            ("HANDOFFD_HTTP__METRICS_LISTEN", "[::]:9465"),
            ("SECRET", "s3cret"),
            ("HANDOFFD_CONFIG", "ignored"),
            ("HANDOFFD_PORT", "ignored"),
            ("OTHER_BROKER__URL", "ignored"),
        ])
        .expect("legal");
    assert_eq!(config.broker.queue, "from.file");
    assert_eq!(config.broker.prefetch, 11);
    assert!(!config.broker.declare);
    let delays: Vec<&str> = config.retry.delays.iter().map(|delay| delay.text.as_str()).collect();
    assert_eq!(delays, ["200ms", "1s"]);
    assert_eq!(config.broker.bindings, ["a.#", "b"]);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.store.on_corruption, OnCorruption::Stop);
    assert_eq!(config.store.path, Path::new("12"));
    assert_eq!(config.http.token.as_ref().expect("a token").expose_secret(), "s3cret");
    assert_eq!(config.http.reader_token.as_ref().expect("a token").expose_secret(), "looks-only");
    assert_eq!(config.http.metrics_listen.expect("an address").to_string(), "[::]:9465");
    assert!(!format!("{config:?}").contains("s3cret") && !format!("{config:?}").contains("looks-only"));
}

#[test]
fn secrets_can_come_from_files_and_variables() {
    let site = Site::new("");
    let token = site.write("token", "from-file\r\n");
    let url = site.write("url", "amqps://user:hidden@mq.example.net/%2f\n");
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let text = format!(
        "[broker]\nurl = {{ file = {url:?} }}\n[http]\ntoken = {{ file = {token:?} }}\n\
         [organizations.encryption_key]\nenv = \"KEY\"\n"
    );
    let config = Site::new(&text).load(&[("KEY", key)]).expect("legal");
    assert_eq!(config.http.token.as_ref().expect("a token").expose_secret(), "from-file");
    assert_eq!(urls(&config), ["amqps://user:hidden@mq.example.net/%2f"]);
    assert_eq!(config.broker.url[0].masked(), "amqps://user:***@mq.example.net/%2f");
    let bytes: Vec<u8> = (0..32).collect();
    assert_eq!(config.organizations.encryption_key.as_ref().expect("a key").expose_secret(), bytes);
    let debugged = format!("{config:?}");
    assert!(!debugged.contains("hidden") && !debugged.contains("from-file"), "{debugged}");
}

/// Variables that files name by `env` may have any name.
#[test]
fn a_variable_named_in_a_file_is_not_taken_for_a_misspelt_key() {
    let acme = ACME.replace("\"pl41n\"", "{ env = \"HANDOFFD_ACME_SECRET\" }");
    let site = Site::new("[http]\ntoken = { env = 'HANDOFFD_MY__TOKEN' }\n");
    site.organization("a.toml", &acme);
    let variables = [
        ("HANDOFFD_ACME_SECRET", "s3cret"),
        ("HANDOFFD_MY__TOKEN", "t0ken"),
        ("HANDOFFD_ORGANIZATIONS__ENCRYPTION_KEY", "{ env = \"HANDOFFD_KEY\" }"),
        ("HANDOFFD_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
    ];
    site.check(&variables).expect("legal");
    std::fs::remove_file(site.directory().join("a.toml")).expect("a file");
    let error = site.check(&variables).expect_err("no file names it");
    assert!(error.contains("HANDOFFD_ACME_SECRET") && !error.contains("s3cret"), "{error}");
}

/// Nodes of a cluster, in each accepted form.
#[test]
fn the_url_may_be_a_list() {
    let both = ["amqp://u:a,b@one:5672/%2f", "amqps://u:p@two/v"];
    let (list, commas) = (format!("{both:?}"), both.join(", "));
    let site = Site::new("");
    let file = site.write("urls", &format!("{commas}\n"));
    let inline = format!("[broker]\nurl = {list}\n");
    let cases = [
        (inline, vec![]),
        (format!("[broker]\nurl = {commas:?}\n"), vec![]),
        (format!("[broker]\nurl = {{ file = {file:?} }}\n"), vec![]),
        (
            "[broker]\nurl = [{ env = \"ONE\" }, { env = \"TWO\" }]\n".to_owned(),
            vec![("ONE", both[0]), ("TWO", both[1])],
        ),
        (String::new(), vec![("HANDOFFD_BROKER__URL", commas.as_str())]),
        (String::new(), vec![("HANDOFFD_BROKER__URL", list.as_str())]),
    ];
    for (text, variables) in cases {
        let config = Site::new(&text).load(&variables).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(urls(&config), both, "{text} {variables:?}");
        assert!(!format!("{config:?}").contains("u:p"), "{config:?}");
    }
}

#[test]
fn a_file_of_another_system_is_read() {
    let site = Site::new("\u{feff}[broker]\r\nprefetch = 9\r\n");
    assert_eq!(site.load(&[]).expect("legal").broker.prefetch, 9);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn the_topmost_layer_that_sets_a_number_wins(
        file in proptest::option::of(1_u16..),
        variable in proptest::option::of(1_u16..),
    ) {
        let line = file.map_or(String::new(), |number| format!("[broker]\nprefetch = {number}\n"));
        let variables = variable.map(|number| ("HANDOFFD_BROKER__PREFETCH".to_owned(), number.to_string()));
        let site = Site::new(&line);
        let config = config::load(&site.file(), variables.into_iter()).expect("legal");
        prop_assert_eq!(config.broker.prefetch, variable.or(file).unwrap_or(256));
    }

    #[test]
    fn text_of_a_variable_is_taken_literally(name in "[a-z{}\\[\\]\"'=#,. ]{1,40}") {
        let variable = ("HANDOFFD_BROKER__QUEUE".to_owned(), name.clone());
        let config = config::load(&Site::new("").file(), std::iter::once(variable));
        if let Ok(config) = config {
            prop_assert_eq!(config.broker.queue, name);
        } else {
            prop_assert!(name.starts_with("amq."));
        }
    }

    #[test]
    fn no_environment_makes_loading_panic(key in 0..KEYS.len(), text in ".{0,60}") {
        let variable = (KEYS[key].variable(), text);
        let _ = config::load(&Site::new("").file(), std::iter::once(variable));
    }
}
