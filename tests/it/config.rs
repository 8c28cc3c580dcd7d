//! The configuration as its user meets it: files, environment, commands.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use handoffd::cli;
use handoffd::config::schema::{KEYS, Key, Kind};
use handoffd::config::{self, Environment, LogFormat, OnCorruption, organizations};
use tempfile::TempDir;

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/handoffd.toml")
}

fn env(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn pairs(variables: &[(&str, &str)]) -> std::vec::IntoIter<(String, String)> {
    let pairs: Vec<_> = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    pairs.into_iter()
}

/// A directory with `handoffd.toml` and `organizations/`.
struct Site(TempDir);

impl Site {
    fn new(text: &str) -> Self {
        let site = Self(tempfile::tempdir().expect("a temporary directory"));
        std::fs::create_dir(site.directory()).expect("a directory");
        std::fs::write(site.file(), text).expect("a file");
        site
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("handoffd.toml")
    }

    fn directory(&self) -> PathBuf {
        self.0.path().join("organizations")
    }

    fn organization(&self, name: &str, text: &str) {
        std::fs::write(self.directory().join(name), text).expect("a file");
    }

    fn load(&self, variables: &[(&str, &str)]) -> Result<config::Config, String> {
        config::load(&self.file(), pairs(variables)).map_err(|faults| faults.to_string())
    }

    fn check(&self, variables: &[(&str, &str)]) -> Result<String, String> {
        let directory = self.directory();
        let directory = directory.to_str().expect("UTF-8");
        let mut variables = variables.to_vec();
        variables.push(("HANDOFFD_ORGANIZATIONS__DIRECTORY", directory));
        cli::config::check(&self.file(), &env(&variables)).map_err(|faults| faults.to_string())
    }
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
    let all: BTreeSet<String> = KEYS.iter().map(Key::variable).collect();
    assert_eq!(seen, all);
    let empty = Site::new("").load(&[]).expect("an empty file is all defaults");
    let shipped = config::load(&shipped(), pairs(&[])).expect("the shipped file is legal");
    assert_eq!(format!("{empty:?}"), format!("{shipped:?}"));
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
            ("HANDOFFD_RETRY__DELAYS", "200ms, 1s"),
            ("HANDOFFD_BROKER__BINDINGS", "[\"a.#\", \"b\"]"),
            ("HANDOFFD_LOG__FORMAT", "json"),
            ("HANDOFFD_STORE__ON_CORRUPTION", "stop"),
            ("HANDOFFD_HTTP__TOKEN", "{ env = \"SECRET\" }"),
            ("SECRET", "s3cret"),
            ("HANDOFFD_CONFIG", "ignored"),
            ("HANDOFFD_PORT", "ignored"),
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
    assert!(config.http.token.is_some());
    assert!(!format!("{config:?}").contains("s3cret"));
}
