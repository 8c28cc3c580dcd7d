//! The rules of the house that a machine can check: who may import whom, what is pure, how long a file may be.

#![allow(clippy::case_sensitive_file_extension_comparisons)] // our own files, which we name

use std::fs;
use std::path::{Path, PathBuf};

/// Longest source file, in lines.
const LONGEST: usize = 400;

/// Each room, and the rooms it may import. What is not listed here may import everything: `app`, `cli`, `bin`, `main`.
const ROOMS: &[(&str, &[&str])] = &[
    ("event", &[]),
    ("machine", &["event"]),
    ("schema", &["event", "machine"]),
    ("watch", &["event", "machine"]),
    ("crm", &["event", "machine"]),
    ("store", &["event", "machine", "watch"]),
    ("regular", &[]),
    ("bus", &["event", "machine", "watch", "regular"]),
    ("dynamics", &["event", "machine", "watch", "crm", "regular"]),
    ("worker", &["event", "machine", "watch", "crm", "store", "bus"]),
    ("letters", &["event", "machine", "bus"]),
    ("config", &["event", "machine", "regular"]),
    ("ops", &["event", "machine", "watch", "store", "config", "bus", "letters"]),
];

/// The simulator plays the other side: it knows nothing of handoffd.
const SIMULATOR: &str = "dynamics/simulator";

/// Pure: no async, clock, dice, files, environment, logging.
const PURE: &[&str] = &[
    "event/",
    "machine/",
    "schema/",
    "dynamics/request.rs",
    "dynamics/reply.rs",
    "dynamics/blockade.rs",
    "dynamics/classify",
    "dynamics/description.rs",
    "dynamics/explain.rs",
    "dynamics/inspect/fields.rs",
    "dynamics/inspect/finding.rs",
    "dynamics/inspect/privileges.rs",
    "dynamics/inspect/reply",
    "dynamics/inspect/request.rs",
    "dynamics/inspect/secured.rs",
    "dynamics/keys.rs",
    "dynamics/mask",
    "dynamics/pace.rs",
    "dynamics/text.rs",
    "store/sled/keys.rs",
    "store/sled/codec.rs",
    "bus/rabbit/topology.rs",
    "bus/rabbit/copy.rs",
    "bus/rabbit/organization_queue.rs",
    "worker/prefetch.rs",
    "machine/deaths.rs",
    "bus/rabbit/fit.rs",
    "bus/rabbit/mend.rs",
    "bus/rabbit/shrink.rs",
    "bus/rabbit/death.rs",
    "bus/rabbit/broker_deaths/rise.rs",
    "bus/rabbit/broker_deaths/tally.rs",
    "letters/entry.rs",
    "letters/patch.rs",
    "letters/selection.rs",
    "letters/whole.rs",
    "ops/page/badge.rs",
    "ops/page/chart.rs",
    "ops/page/failure.rs",
    "ops/page/find.rs",
    "ops/page/layout.rs",
    "ops/page/letters/",
    "ops/page/link.rs",
    "ops/page/now.rs",
    "ops/page/organizations.rs",
    "ops/page/text.rs",
    "ops/page/timeline.rs",
    "ops/page/words.rs",
    "worker/headers.rs",
    "worker/remember.rs",
    "worker/letters.rs",
];
const IMPURE_WORDS: &[&str] = &[
    "async ",
    ".await",
    "tokio::",
    "Timestamp::now",
    "Instant::now",
    "SystemTime",
    "rand::",
    "new_v4",
    "std::fs",
    "std::env",
    "std::net",
    "tracing::",
    "println!",
    "eprintln!",
    "\nstatic ",
    "thread::",
];

/// Where each library lives, and nowhere else.
const HOMES: &[(&str, &[&str])] = &[
    ("lapin", &["bus/rabbit/"]),
    ("async_rs", &["bus/rabbit/connect.rs"]),
    (
        "reqwest",
        &["dynamics/client.rs", "dynamics/resolver.rs", "dynamics/token.rs", "cli/remote.rs", "ops/traces/post.rs"],
    ),
    ("opentelemetry", &["ops/traces/", "watch/trace.rs"]),
    ("opentelemetry_sdk", &["ops/traces/", "watch/trace.rs"]),
    ("tracing_opentelemetry", &["ops/traces/", "watch/trace.rs"]),
    ("sled", &["store/sled/"]),
    ("backoff", &["worker/pause.rs"]),
    ("axum", &["ops/http/", "ops/page/routes/", "dynamics/simulator/"]),
    ("maud", &["ops/page/"]),
    ("sd_notify", &["app/herald.rs"]),
    ("chacha20poly1305", &["config/organizations/vault.rs"]),
    ("clap", &["cli/", "bin/"]),
    ("clap_complete", &["cli/"]),
    ("clap_mangen", &["cli/"]),
    ("prometheus", &["ops/metrics/"]),
    ("anyhow", &["app/", "cli/", "main.rs", "bin/"]),
];

#[test]
fn rooms_import_only_what_they_may() {
    let faults = sources().into_iter().flat_map(|(path, text)| {
        let room = path.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned();
        let allowed = ROOMS.iter().find(|(name, _)| *name == room).map(|(_, allowed)| *allowed);
        let imports = allowed.map(|_| imports(&text)).unwrap_or_default();
        imports.into_iter().filter_map(move |import| {
            let fine = import == room || allowed.is_some_and(|rooms| rooms.contains(&import.as_str()));
            (!fine).then(|| format!("{path} imports {import}"))
        })
    });
    assert_none(faults);
}

#[test]
fn seams_and_backends_do_not_know_each_other() {
    let faults = sources().into_iter().flat_map(|(path, text)| {
        let others: &[&str] = match path.as_str() {
            path if path.starts_with("store/sled/") => &["store::memory", "crate::bus", "crate::dynamics"],
            path if path.starts_with("store/memory/") => &["store::sled", "crate::bus", "crate::dynamics"],
            path if path.starts_with("letters/") => &["bus::rabbit"],
            path if path.starts_with("worker/tests/") => &["bus::rabbit", "store::sled", "crate::dynamics"],
            path if path.starts_with("worker/") => &["bus::rabbit", "store::sled", "store::memory", "crate::dynamics"],
            // Its tests stand on the store in memory, as a fake.
            path if path.starts_with("worker/") && !is_test(path) => {
                &["bus::rabbit", "store::sled", "store::memory", "crate::dynamics"]
            }
            path if path.starts_with("ops/") => &["store::sled", "bus::rabbit"],
            path if path.starts_with(SIMULATOR) => &["crate::event", "crate::machine", "crate::worker", "super::super"],
            _ => &[],
        };
        others
            .iter()
            .filter(|other| text.contains(**other))
            .map(|other| format!("{path} knows {other}"))
            .collect::<Vec<_>>()
    });
    assert_none(faults);
}

#[test]
fn pure_files_have_no_effects() {
    let faults = sources().into_iter().flat_map(|(path, text)| {
        let pure = PURE.iter().any(|pure| path.starts_with(pure)) && !is_test(&path);
        let words = IMPURE_WORDS.iter().filter(|word| pure && text.contains(**word));
        words.map(|word| format!("{path} has {word:?}")).collect::<Vec<_>>()
    });
    assert_none(faults);
}

#[test]
fn libraries_stay_at_home() {
    let faults = sources().into_iter().flat_map(|(path, text)| {
        let strangers = HOMES.iter().filter(|(library, homes)| {
            let at_home = homes.iter().any(|home| path.starts_with(home));
            !at_home
                && !is_test(&path)
                && [
                    format!("use {library}::"),
                    format!(" {library}::"),
                    format!("({library}::"),
                    format!("<{library}::"),
                ]
                .iter()
                .any(|form| text.contains(form.as_str()))
        });
        strangers.map(|(library, _)| format!("{path} uses {library}")).collect::<Vec<_>>()
    });
    assert_none(faults);
}

#[test]
fn files_are_short_and_rooms_say_what_they_are() {
    let mut faults = Vec::new();
    for (path, text) in all_files(&["src", "tests"]) {
        let lines = text.lines().count();
        if lines > LONGEST {
            faults.push(format!("{path} has {lines} lines: is there a second noun in it?"));
        }
        if !text.starts_with("//!") && !is_test(&path) {
            faults.push(format!("{path} does not say what it is"));
        }
    }
    for (path, text) in sources() {
        let head: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
        let said = head.join(" ");
        if path.ends_with("/mod.rs")
            && !["In:", "Out:", "Absent:"].iter().all(|word| said.contains(word))
            && !is_test(&path)
        {
            faults.push(format!("{path} does not say In:, Out: and Absent:"));
        }
    }
    assert_none(faults);
}

#[test]
fn nothing_is_left_for_later() {
    let words =
        ["TO".to_owned() + "DO", "FIX".to_owned() + "ME", "todo".to_owned() + "!(", "unimplemented".to_owned() + "!("];
    let faults = all_files(&["src", "tests", "deploy", "config", "docs"]).into_iter().flat_map(|(path, text)| {
        words
            .iter()
            .filter(|word| text.contains(word.as_str()))
            .map(|word| format!("{path} has {word}"))
            .collect::<Vec<_>>()
    });
    assert_none(faults);
}

/// The part of a file that ships: without its tests, which begin at `#[cfg(test)]`, and without comments.
fn sources() -> Vec<(String, String)> {
    let files = all_files(&["src"]).into_iter().filter(|(path, _)| path.ends_with(".rs"));
    files.map(|(path, text)| (path.trim_start_matches("src/").to_owned(), shipped(&path, &text))).collect()
}

fn shipped(path: &str, text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let keep_head = path.ends_with("mod.rs");
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//") || (keep_head && line.starts_with("//!")))
        .collect::<Vec<_>>()
        .join("\n")
}

fn is_test(path: &str) -> bool {
    path.ends_with("tests.rs") || path.contains("/tests/") || path.starts_with("tests/")
}

/// The rooms that a file names: `crate::room`, also in `use crate::{a, b}`.
fn imports(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in text.split("crate::").skip(1) {
        let names =
            if let Some(group) = part.strip_prefix('{') { group.split('}').next().unwrap_or_default() } else { part };
        let word =
            |name: &str| name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        if part.starts_with('{') {
            found.extend(names.split(',').map(word).filter(|name| !name.is_empty()));
        } else {
            found.push(word(names));
        }
    }
    found
}

fn all_files(folders: &[&str]) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut waiting: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut files = Vec::new();
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() && !["target", "corpus", "artifacts", "node_modules"].contains(&name.as_str()) {
                waiting.push(path);
            } else if ["rs", "sh", "py", "toml", "md"].iter().any(|end| name.ends_with(&format!(".{end}"))) {
                let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
                if relative.ends_with(".rs") || !folders.contains(&"tests") || folders.contains(&"docs") {
                    files.push((relative, fs::read_to_string(&path).unwrap_or_default()));
                }
            }
        }
    }
    assert!(files.len() > 20, "the sources are where they should be");
    files
}

fn assert_none(faults: impl IntoIterator<Item = String>) {
    let faults: Vec<String> = faults.into_iter().collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
