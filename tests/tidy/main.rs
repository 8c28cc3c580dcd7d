//! Machine-checked conventions: module dependencies, pure modules, library boundaries, file length.

#![allow(clippy::case_sensitive_file_extension_comparisons)] // names of the project's own files

mod imports;
mod walk;
mod wording;

use std::fs;
use std::path::{Path, PathBuf};

/// Longest source file, in lines.
const LONGEST: usize = 400;

/// Modules and the modules that each may import. Modules not listed may import everything: `app`, `cli`, `main`.
const ROOMS: &[(&str, &[&str])] = &[
    ("engine/text", &[]),
    ("engine/event", &["engine/text"]),
    ("engine/workflow", &["engine/event", "engine/text"]),
    ("engine/ports", &["engine/event", "engine/workflow"]),
    ("engine/worker", &["engine/event", "engine/workflow", "engine/ports"]),
    ("engine/time_input", &[]),
    ("engine/dead_letters", &["engine/event", "engine/workflow", "engine/ports", "engine/time_input"]),
    ("engine/memory_store", &["engine/event", "engine/workflow", "engine/ports"]),
    ("private_files", &[]),
    ("regular", &[]),
    ("schema", &[]),
    ("rabbit", &["regular"]),
    ("sled", &["private_files"]),
    ("postgres", &["regular"]),
    ("dynamics", &["regular"]),
    ("config", &["regular"]),
    ("status", &[]),
    ("telemetry", &["config", "status"]),
    ("organizations", &["config", "dynamics", "private_files", "rabbit", "status", "telemetry"]),
    ("admin", &["telemetry", "config", "organizations", "status"]),
];

/// Pure files: no async, clock, random numbers, files, environment or logging.
const PURE: &[&str] = &[
    "engine/event/",
    "engine/text/",
    "engine/workflow/",
    "schema/",
    "status/",
    "dynamics/request/mod.rs",
    "dynamics/reply/mod.rs",
    "dynamics/circuit_breaker/mod.rs",
    "dynamics/classify",
    "dynamics/description/mod.rs",
    "dynamics/explain/mod.rs",
    "dynamics/organization_check/credential.rs",
    "dynamics/organization_check/fields.rs",
    "dynamics/organization_check/finding.rs",
    "dynamics/organization_check/privileges.rs",
    "dynamics/organization_check/reply",
    "dynamics/organization_check/request.rs",
    "dynamics/organization_check/secured.rs",
    "dynamics/keys.rs",
    "dynamics/mask",
    "dynamics/aimd/mod.rs",
    "sled/keys/mod.rs",
    "sled/codec/mod.rs",
    "postgres/batch.rs",
    "postgres/fleet/assignment.rs",
    "postgres/fleet/balance.rs",
    "postgres/fleet/holdings.rs",
    "postgres/fleet/lease.rs",
    "postgres/fleet/view.rs",
    "postgres/keys.rs",
    "postgres/rows.rs",
    "rabbit/topology/mod.rs",
    "rabbit/publish/copy.rs",
    "rabbit/topology/queue_name.rs",
    "engine/ports/store/portable/choose.rs",
    "engine/ports/store/portable/line.rs",
    "engine/worker/prefetch.rs",
    "rabbit/sanitize/repair/mod.rs",
    "rabbit/sanitize/trim.rs",
    "rabbit/dead_letters/death.rs",
    "rabbit/dead_letters/broker_deaths/rise.rs",
    "rabbit/dead_letters/broker_deaths/tally.rs",
    "rabbit/dead_letters/letter_digest.rs",
    "engine/time_input.rs",
    "engine/dead_letters/entry.rs",
    "engine/dead_letters/group.rs",
    "engine/dead_letters/letter_id.rs",
    "engine/dead_letters/order.rs",
    "engine/dead_letters/patch.rs",
    "engine/dead_letters/selection.rs",
    "engine/dead_letters/selection_text.rs",
    "engine/dead_letters/whole.rs",
    "admin/api/redact.rs",
    "admin/page/activity.rs",
    "admin/page/badge.rs",
    "admin/page/chart.rs",
    "admin/page/failure.rs",
    "admin/page/find.rs",
    "admin/page/layout.rs",
    "admin/page/dead_letters/",
    "admin/page/link.rs",
    "admin/page/now.rs",
    "admin/page/organizations/mod.rs",
    "admin/page/text.rs",
    "admin/page/timeline.rs",
    "admin/page/words.rs",
    "engine/worker/headers/mod.rs",
    "engine/worker/remember/mod.rs",
    "engine/worker/new_dead_letter/mod.rs",
];
const IMPURE_WORDS: &[&str] = &[
    "async ",
    ".await",
    "tokio::",
    "Timestamp::now",
    "Zoned::now",
    "TimeZone::system",
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

/// Libraries and the only modules that may use them.
const HOMES: &[(&str, &[&str])] = &[
    ("lapin", &["rabbit/"]),
    ("async_rs", &["rabbit/connection/connect.rs"]),
    (
        "reqwest",
        &[
            "dynamics/client.rs",
            "dynamics/resolver.rs",
            "dynamics/token.rs",
            "cli/remote.rs",
            "telemetry/traces/post.rs",
        ],
    ),
    ("opentelemetry", &["telemetry/traces/", "engine/ports/trace.rs"]),
    ("opentelemetry_sdk", &["telemetry/traces/", "engine/ports/trace.rs"]),
    ("tracing_opentelemetry", &["telemetry/traces/", "engine/ports/trace.rs"]),
    ("sled", &["sled/"]),
    ("tokio_postgres", &["postgres/"]),
    ("tokio_rustls", &["postgres/tls.rs"]),
    ("rustls_native_certs", &["postgres/tls.rs"]),
    ("backoff", &["engine/worker/backoff.rs", "postgres/link.rs", "rabbit/connection/backoff.rs"]),
    ("axum", &["admin/api/", "admin/page/routes/", "simulator/"]),
    ("rustix", &["private_files.rs", "organizations/files/write.rs"]),
    ("maud", &["admin/page/"]),
    ("procfs", &["cli/listener.rs"]),
    ("whoami", &["app/fleet.rs", "cli/remote.rs"]),
    ("tokio_io_timeout", &["admin/api/listen.rs"]),
    ("sd_notify", &["app/systemd.rs"]),
    ("chacha20poly1305", &["organizations/vault.rs"]),
    ("x509_parser", &["dynamics/certificate.rs", "simulator/assertion.rs"]),
    ("ring", &["simulator/assertion.rs"]),
    ("htmlize", &["dynamics/mask/"]),
    ("unicode_normalization", &["dynamics/mask/"]),
    ("clap", &["cli/", "simulator/main.rs"]),
    ("clap_complete", &["cli/"]),
    ("clap_mangen", &["cli/"]),
    ("prometheus", &["telemetry/metrics/"]),
    ("anyhow", &["app/", "cli/", "main.rs", "simulator/main.rs"]),
];

#[test]
fn modules_import_only_allowed_modules() {
    let faults = sources().into_iter().flat_map(|(path, text)| {
        let room = room(&path);
        let allowed = ROOMS.iter().find(|(name, _)| *name == room).map(|(_, allowed)| *allowed);
        let mut imports = allowed.map(|_| imports(&path, &text)).unwrap_or_default();
        // The worker's own tests use the in-memory store.
        imports.retain(|import| !(is_test(&path) && import == "engine/memory_store"));
        imports.into_iter().filter_map(move |import| {
            let fine = import == room || allowed.is_some_and(|rooms| rooms.contains(&import.as_str()));
            (!fine).then(|| format!("{path} must not import {import}"))
        })
    });
    assert_none(faults);
}

#[test]
fn pure_files_have_no_effects() {
    let faults = sources().into_iter().flat_map(|(path, text)| {
        let pure = PURE.iter().any(|pure| path.starts_with(pure)) && !is_test(&path);
        let words = IMPURE_WORDS.iter().filter(|word| pure && text.contains(**word));
        words.map(|word| format!("{path} is pure but contains {word:?}")).collect::<Vec<_>>()
    });
    assert_none(faults);
}

#[test]
fn libraries_are_used_only_in_their_modules() {
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
        strangers.map(|(library, _)| format!("{path} must not use {library}")).collect::<Vec<_>>()
    });
    assert_none(faults);
}

#[test]
fn files_are_short_and_have_module_heads() {
    let mut faults = Vec::new();
    for (path, text) in all_files(&["src", "tests"]) {
        let lines = text.lines().count();
        if lines > LONGEST {
            faults.push(format!("{path} has {lines} lines, more than {LONGEST}; split it by subject"));
        }
        if !text.starts_with("//!") && !is_test(&path) {
            faults.push(format!("{path} has no module documentation; begin it with `//!`"));
        }
    }
    for (path, text) in sources() {
        let head: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
        let said = head.join(" ");
        if is_room(&path) && !["In:", "Out:", "Absent:"].iter().all(|word| said.contains(word)) && !is_test(&path) {
            faults.push(format!("{path} lacks the lines `//! In:`, `//! Out:` and `//! Absent:`"));
        }
    }
    assert_none(faults);
}

/// One file writes to the terminal, so that nothing gets there without escapes.
#[test]
fn only_the_shell_of_commands_prints() {
    let shipped = sources().into_iter().filter(|(path, _)| !path.starts_with("simulator/") && path != "cli/shell.rs");
    let faults = shipped.flat_map(|(path, text)| {
        let words =
            ["print!(", "println!(", "stdout()", "stderr()"].into_iter().filter(move |word| text.contains(word));
        words.map(|word| format!("{path} contains {word:?}; use `cli::shell`")).collect::<Vec<_>>()
    });
    assert_none(faults);
}

/// A rule about a file that is not there holds nothing.
#[test]
fn files_that_rules_name_exist() {
    let files: Vec<String> = sources().into_iter().map(|(path, _)| path).collect();
    let named =
        PURE.iter().chain(HOMES.iter().flat_map(|(_, homes)| homes.iter())).chain(ROOMS.iter().map(|(room, _)| room));
    let absent = named.filter(|named| !files.iter().any(|path| path.starts_with(**named)));
    assert_none(absent.map(|named| format!("{named} is named in tests/tidy/main.rs and does not exist")));
}

#[test]
fn no_unfinished_code_is_left() {
    let words =
        ["TO".to_owned() + "DO", "FIX".to_owned() + "ME", "todo".to_owned() + "!(", "unimplemented".to_owned() + "!("];
    let faults = all_files(&["src", "tests", "deploy", "config", "docs"]).into_iter().flat_map(|(path, text)| {
        words
            .iter()
            .filter(|word| text.contains(word.as_str()))
            .map(|word| format!("{path} contains {word}"))
            .collect::<Vec<_>>()
    });
    assert_none(faults);
}

/// True for the `mod.rs` of a module that [`ROOMS`] names, or that stands beside them.
fn is_room(path: &str) -> bool {
    path.ends_with("/mod.rs") && path.trim_end_matches("/mod.rs") == room(path)
}

/// Shipped part of each file: without its tests, which begin at `#[cfg(test)]`, and without comments.
fn sources() -> Vec<(String, String)> {
    let files = all_files(&["src"]).into_iter().filter(|(path, _)| path.ends_with(".rs"));
    files.map(|(path, text)| (path.trim_start_matches("src/").to_owned(), shipped(&path, &text))).collect()
}

fn shipped(path: &str, text: &str) -> String {
    let begins_tests = |at: &usize| text[*at..].lines().nth(1).is_some_and(|line| line.contains("mod "));
    let end = text.match_indices("#[cfg(test)]\n").map(|(at, _)| at).find(begins_tests);
    let code = &text[..end.unwrap_or(text.len())];
    let keep_head = path.ends_with("mod.rs");
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//") || (keep_head && line.starts_with("//!")))
        .collect::<Vec<_>>()
        .join("\n")
}

fn is_test(path: &str) -> bool {
    path.ends_with("tests.rs") || path.contains("/tests/") || path.starts_with("tests/")
}

/// Module of a file: its first folder, in the engine its first two.
fn room(path: &str) -> String {
    let mut parts = path.trim_end_matches(".rs").split('/');
    let first = parts.next().unwrap_or_default();
    if first == "engine" { format!("engine/{}", parts.next().unwrap_or_default()) } else { first.to_owned() }
}

/// Modules that a file names by `crate::`, also in `use crate::{a::{b, c}, d}`.
fn imports(path: &str, text: &str) -> Vec<String> {
    let prefix = if path.starts_with("engine/") { "engine/" } else { "" };
    let named = text.split("crate::").skip(1).flat_map(|part| match part.strip_prefix('{') {
        Some(group) => heads(group),
        None => vec![word(part)],
    });
    named.filter(|name| !name.is_empty()).map(|name| format!("{prefix}{name}")).collect()
}

/// First segments of the paths in a group of imports, given everything after its opening brace.
fn heads(group: &str) -> Vec<String> {
    let (mut depth, mut begins, mut found) = (0_usize, true, Vec::new());
    for (at, char) in group.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            char if begins && !char.is_whitespace() => {
                found.push(word(&group[at..]));
                begins = false;
            }
            _ => {}
        }
    }
    found
}

fn word(text: &str) -> String {
    text.chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect()
}

#[test]
fn a_group_of_imports_names_its_modules() {
    let text = "use crate::{event::{Body, Event},\n ports::bus::{Bus, Delivery}, workflow};\nuse crate::worker;";
    assert_eq!(imports("rabbit/mod.rs", text), ["event", "ports", "workflow", "worker"]);
    assert_eq!(imports("engine/x.rs", "crate::event::Event"), ["engine/event"]);
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
    assert!(files.len() > 20, "found only {} source files", files.len());
    files
}

fn assert_none(faults: impl IntoIterator<Item = String>) {
    let faults: Vec<String> = faults.into_iter().collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
