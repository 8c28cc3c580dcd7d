//! Environment variables `HANDOFFD_…` that match no key. Without this check a misspelt one would be ignored silently.

use std::path::Path;

use super::document;
use super::fault::{ConfigFault, ConfigFaults, FaultPlace};
use super::model::KEYS;
use super::schema::ConfigKey;
use super::secret::EnvironmentVariables;
use super::setting::Layers;
use super::suggest::closest;

const PREFIX: &str = "HANDOFFD_";
/// Variable that replaces the command line's `--config`.
pub const OF_COMMANDS: &str = "HANDOFFD_CONFIG";
/// Variables of the project's scripts and tests: `deploy/broker.sh`, `tests/`.
const OF_SCRIPTS: [&str; 7] = [
    "HANDOFFD_BROKER_LIFE",
    "HANDOFFD_BROKER_OWNER",
    "HANDOFFD_BROKER_ROOT",
    "HANDOFFD_BROKER_TEMPORARY",
    "HANDOFFD_COMPAT",
    "HANDOFFD_SCREENSHOTS",
    "HANDOFFD_UPDATE_DOCS",
];

/// Reports whether a variable can only be meant for the configuration.
fn is_ours(name: &str) -> bool {
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

/// Returns the faults of variables that match no key and that neither a file nor a variable names as the place of a
/// secret, `{ env = "…" }`: such names are arbitrary.
pub(super) fn unknown_variables(
    path: &Path,
    env: &EnvironmentVariables,
    layers: &Layers,
    directory: &Path,
) -> ConfigFaults {
    let is_key = |name: &str| KEYS.iter().any(|key| key.variable() == name);
    let unknown: Vec<&str> = env.iter().map(|(name, _)| name).filter(|name| is_ours(name) && !is_key(name)).collect();
    if unknown.is_empty() {
        return ConfigFaults::default();
    }
    let values = layers.values().flat_map(|set| set.values()).map(|setting| setting.value.to_string());
    let files = document::list(directory).unwrap_or_default();
    let files = [path.to_owned()].into_iter().chain(files).filter_map(|file| document::text(&file));
    let texts: Vec<String> = values.chain(files).collect();
    let quoted = |name: &str| [format!("\"{name}\""), format!("'{name}'")];
    let is_named = |name: &str| quoted(name).iter().any(|quoted| texts.iter().any(|text| text.contains(quoted)));
    ConfigFaults(unknown.into_iter().filter(|name| !is_named(name)).map(unknown_variable).collect())
}

/// Returns the fault of an unknown variable, with the likely key. Its value may be a secret and is not quoted.
fn unknown_variable(name: &str) -> ConfigFault {
    let variables: Vec<String> = KEYS.iter().map(ConfigKey::variable).collect();
    let variables = || variables.iter().map(|variable| variable.trim_start_matches(PREFIX));
    let typed = name.trim_start_matches(PREFIX);
    // `HANDOFFD_PREFETCH` lacks the section.
    let lone = || {
        let ends = |variable: &&str| variable.split_once("__").is_some_and(|(_, key)| key == typed);
        variables().find(ends)
    };
    // `HANDOFFD_CONFIG_FILE`, `HANDOFFD_CONFIGG`.
    let of_commands = || Some(OF_COMMANDS.trim_start_matches(PREFIX)).filter(|name| typed.starts_with(name));
    // `HANDOFFD_LOG` lacks the key, `HANDOFFD_HTTP__PORT` names none of the section.
    let of_section = || {
        let section = typed.split("__").next().unwrap_or_default();
        let keys = variables().filter(|variable| variable.split_once("__").is_some_and(|(known, _)| known == section));
        keys.map(|key| format!("`{PREFIX}{key}`")).collect::<Vec<_>>().join(", ")
    };
    let likely = lone().or_else(of_commands).or_else(|| closest(typed, variables()));
    let likely = likely.map(|key| format!("did you mean `{PREFIX}{key}`?"));
    let one_of =
        || Some(of_section()).filter(|keys| !keys.is_empty()).map(|keys| format!("did you mean one of {keys}?"));
    let (place, found) = (FaultPlace::Variable(name.to_owned()), "a name that matches no configuration key".to_owned());
    ConfigFault {
        suggestion: likely.or_else(one_of),
        ..ConfigFault::new(place, "", found, "HANDOFFD_<SECTION>__<KEY>")
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
            ("HANDOFFD_TOKEN", "HANDOFFD_HTTP__TOKEN"),
            ("HANDOFFD_LOGLEVEL", "HANDOFFD_LOG__LEVEL"),
            ("HANDOFFD_CONFIGG", "HANDOFFD_CONFIG"),
            ("HANDOFFD_CONFIG_FILE", "HANDOFFD_CONFIG"),
            ("HANDOFFD_MAX_CONCURRENCY", "HANDOFFD_DYNAMICS__MAX_CONCURRENCY"),
        ] {
            assert_eq!(unknown_variable(name).suggestion, Some(format!("did you mean `{likely}`?")), "{name}");
        }
        assert_eq!(unknown_variable("HANDOFFD_COLOUR").suggestion, None);
        let one_of = |name| unknown_variable(name).suggestion.unwrap();
        assert_eq!(one_of("HANDOFFD_LOG"), "did you mean one of `HANDOFFD_LOG__FORMAT`, `HANDOFFD_LOG__LEVEL`?");
        assert!(one_of("HANDOFFD_BROKER").starts_with("did you mean one of `HANDOFFD_BROKER__URL`, "));
        assert!(one_of("HANDOFFD_HTTP__PORT").starts_with("did you mean one of `HANDOFFD_HTTP__LISTEN`, "));
    }
}
