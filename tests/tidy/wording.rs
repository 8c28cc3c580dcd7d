//! Names and doc comments: each type name once, each doc comment opening with what it is about.

use std::collections::BTreeMap;

use super::{all_files, assert_none, is_test, sources};

/// Words that a doc comment does not open with: it opens with a noun or a verb.
const NO_OPENINGS: &[&str] =
    &["what", "how", "who", "whose", "whom", "whether", "whatever", "whoever", "nobody", "somebody"];

#[test]
fn doc_comments_open_with_a_noun_or_a_verb() {
    let files = all_files(&["src", "tests"]).into_iter().filter(|(path, _)| path.ends_with(".rs"));
    let faults = files.flat_map(|(path, text)| {
        let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
        let opens =
            |at: usize, marker: &str| lines[at].starts_with(marker) && (at == 0 || !lines[at - 1].starts_with(marker));
        let bad = |at: &usize| {
            ["///", "//!"].iter().any(|marker| opens(*at, marker) && is_bad(lines[*at].trim_start_matches(marker)))
        };
        (0..lines.len()).filter(bad).map(|at| format!("{path}:{}: {}", at + 1, lines[at])).collect::<Vec<_>>()
    });
    assert_none(faults);
}

fn is_bad(sentence: &str) -> bool {
    let first = sentence.trim().split(|char: char| !char.is_alphabetic()).next().unwrap_or_default().to_lowercase();
    NO_OPENINGS.contains(&first.as_str())
}

#[test]
fn a_type_name_is_defined_once() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, text) in sources().into_iter().filter(|(path, _)| !is_test(path)) {
        for name in text.lines().filter_map(defined) {
            places.entry(name.to_owned()).or_default().push(path.clone());
        }
    }
    let twice = places.into_iter().filter(|(_, places)| places.len() > 1);
    assert_none(twice.map(|(name, places)| format!("{name} is defined in {}", places.join(" and "))));
}

/// Name of the type that a line at the outermost level defines.
fn defined(line: &str) -> Option<&str> {
    let line = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ")?.1,
        Some(rest) => rest.trim_start(),
        None => line,
    };
    let (keyword, rest) = line.split_once(' ')?;
    let name = rest.split(|char: char| !(char.is_alphanumeric() || char == '_')).next()?;
    matches!(keyword, "struct" | "enum" | "trait" | "type").then_some(name)
}

/// `a.rs` beside `a/` is the other style: a module with children is a folder with `mod.rs`.
#[test]
fn modules_with_children_are_folders() {
    let files = sources();
    let faults = files.iter().filter_map(|(path, _)| {
        let folder = format!("{}/", path.trim_end_matches(".rs"));
        let has_folder = files.iter().any(|(other, _)| other.starts_with(&folder));
        has_folder.then(|| format!("{path} stands beside {folder}: make it {folder}mod.rs"))
    });
    assert_none(faults);
}

#[test]
fn openings_and_definitions_are_recognised() {
    assert!(is_bad(" Whose it is.") && is_bad(" How: so") && !is_bad(" Howitzer") && !is_bad(" Number of events"));
    assert_eq!(defined("pub(in crate::x) struct Permit {"), Some("Permit"));
    assert_eq!(defined("pub type Forwarding = Pin<Box<()>>;"), Some("Forwarding"));
    assert_eq!((defined("    struct Inner;"), defined("impl Permit {")), (None, None));
}
