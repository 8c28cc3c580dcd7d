//! Environment variables `HANDOFFD_…` that match no key. Without this check a misspelt one would be ignored silently.

use std::path::{Path, PathBuf};

use super::document;
use super::fault::{ConfigFault, FaultPlace};
use super::schema::KEYS;
use super::setting::Layers;
use super::suggest::closest;

const PREFIX: &str = "HANDOFFD_";
/// Variable that replaces the command line's `--config`.
const OF_COMMANDS: &str = "HANDOFFD_CONFIG";
/// Variables of the project's scripts and tests: `deploy/broker.sh`, `tests/`.
const OF_SCRIPTS: [&str; 8] = [
    "HANDOFFD_BROKER_LIFE",
    "HANDOFFD_BROKER_OWNER",
    "HANDOFFD_BROKER_ROOT",
    "HANDOFFD_BROKER_TEMPORARY",
    "HANDOFFD_COMPAT",
    "HANDOFFD_SCREENSHOTS",
    "HANDOFFD_TOKEN",
    "HANDOFFD_UPDATE_DOCS",
];

/// Reports whether a variable can only be meant for the configuration.
pub(super) fn is_ours(name: &str) -> bool {
    name.starts_with(PREFIX)
        && name != OF_COMMANDS
        && !OF_SCRIPTS.contains(&name)
        && !name.starts_with("HANDOFFD_TEST_")
        && !is_service_link(name)
}

/// Reports whether a variable is one that Kubernetes sets in every pod for a service `handoffd`:
/// `HANDOFFD_SERVICE_HOST`, `HANDOFFD_PORT_9464_TCP_ADDR`, …
fn is_service_link(name: &str) -> bool {
    let rest = name.strip_prefix(PREFIX).unwrap_or_default();
    let port = rest.strip_prefix("PORT").is_some_and(|rest| {
        rest.is_empty()
            || rest.strip_prefix('_').is_some_and(|rest| rest.starts_with(|char: char| char.is_ascii_digit()))
    });
    port || rest == "SERVICE_HOST" || rest == "SERVICE_PORT" || rest.starts_with("SERVICE_PORT_")
}

/// Reports whether a file or a variable refers to it as the place of a secret, `{ env = "…" }`. Such names are
/// arbitrary.
pub(super) fn is_named(name: &str, file: &Path, layers: &Layers) -> bool {
    let quoted = [format!("\"{name}\""), format!("'{name}'")];
    let names = |text: &str| quoted.iter().any(|quoted| text.contains(quoted));
    let set = || layers.values().flat_map(|set| set.values());
    set().any(|setting| names(&setting.value.to_string()))
        || document::text(file).is_some_and(|text| names(&text))
        || organization_files(layers).iter().any(|path| document::text(path).is_some_and(|text| names(&text)))
}

/// Lists the files of the organizations' directory, including faulty ones.
fn organization_files(layers: &Layers) -> Vec<PathBuf> {
    let set = layers.get("organizations").and_then(|set| set.get("directory")).map(|setting| setting.value.clone());
    let default = || KEYS.iter().find(|key| key.section == "organizations" && key.name == "directory")?.default_value();
    let directory = set.or_else(default).and_then(|value| value.as_str().map(str::to_owned));
    directory.and_then(|directory| document::list(Path::new(&directory)).ok()).unwrap_or_default()
}

/// Returns the fault of an unknown variable, with the likely key. Its value may be a secret and is not quoted.
pub(super) fn unknown(name: &str) -> ConfigFault {
    let variables: Vec<String> = KEYS.iter().map(super::schema::ConfigKey::variable).collect();
    let variables = || variables.iter().map(|variable| variable.trim_start_matches(PREFIX));
    let typed = name.trim_start_matches(PREFIX);
    // `HANDOFFD_PREFETCH` lacks the section.
    let lone = || {
        let ends = |variable: &&str| variable.split_once("__").is_some_and(|(_, key)| key == typed);
        variables().find(ends)
    };
    ConfigFault {
        place: FaultPlace::Variable(name.to_owned()),
        key: String::new(),
        found: Some("a name that matches no configuration key".to_owned()),
        expected: "HANDOFFD_<SECTION>__<KEY>".to_owned(),
        suggestion: lone().or_else(|| closest(typed, variables())).map(|key| format!("did you mean `{PREFIX}{key}`?")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unrelated_variables_are_ignored() {
        for name in [
            "HANDOFFD_CONFIG",
            "HANDOFFD_BROKER_LIFE",
            "HANDOFFD_TEST_AMQP_URL",
            "HANDOFFD_PORT",
            "HANDOFFD_PORT_9464_TCP_ADDR",
            "HANDOFFD_SERVICE_HOST",
            "HANDOFFD_SERVICE_PORT_HTTP",
            "PATH",
        ] {
            assert!(!is_ours(name), "{name}");
        }
        for name in
            ["HANDOFFD_BROKER_URL", "HANDOFFD_CONFIGURATION", "HANDOFFD_PORTS", "HANDOFFD_PORT_X", "HANDOFFD_SERVICE"]
        {
            assert!(is_ours(name), "{name}");
        }
    }

    #[test]
    fn the_likely_key_is_suggested() {
        for (name, likely) in [
            ("HANDOFFD_BROKER_URL", "HANDOFFD_BROKER__URL"),
            ("HANDOFFD_BROKER__ULR", "HANDOFFD_BROKER__URL"),
            ("HANDOFFD_LOGLEVEL", "HANDOFFD_LOG__LEVEL"),
            ("HANDOFFD_MAX_CONCURRENCY", "HANDOFFD_DYNAMICS__MAX_CONCURRENCY"),
        ] {
            assert_eq!(unknown(name).suggestion, Some(format!("did you mean `{likely}`?")), "{name}");
        }
        assert_eq!(unknown("HANDOFFD_COLOUR").suggestion, None);
    }
}
