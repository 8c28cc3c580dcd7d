//! Imports between files: none may lead back to where it began.

use std::collections::{BTreeMap, BTreeSet};

use super::{assert_none, is_test, sources};

/// Path of a module: its crate (empty for the root package), then its segments.
type Module = Vec<String>;

/// Modules by path, each with its file and its text.
struct House {
    files: BTreeMap<Module, (String, String)>,
    /// Names that a module re-exports, with the path that each stands for.
    exported: BTreeMap<Module, BTreeMap<String, Vec<String>>>,
}

/// Circles that are still to be cut, each by one of its files. None may be added.
const OPEN: &[&str] = &[];

#[test]
fn no_imports_go_round_in_a_circle() {
    let house = House::read();
    let edges = house.edges();
    let circles = circles(&edges);
    let cut = OPEN.iter().filter(|open| !circles.iter().any(|circle| circle.contains(open)));
    let cut = cut.map(|open| format!("{open} is in no circle any more: take it out of OPEN"));
    let new = circles.iter().filter(|circle| !OPEN.iter().any(|open| circle.contains(open)));
    assert_none(cut.chain(new.map(|circle| format!("import each other: {}", circle.join(", ")))));
}

impl House {
    fn read() -> Self {
        let shipped = sources().into_iter().filter(|(path, _)| !is_test(path) && !path.ends_with("samples.rs"));
        let files: BTreeMap<Module, (String, String)> = shipped
            .filter(|(path, _)| !path.ends_with("main.rs"))
            .map(|(path, text)| (module(&path), (path, text)))
            .collect();
        let exported = files.iter().map(|(module, (_, text))| (module.clone(), exports(text))).collect();
        Self { files, exported }
    }

    fn edges(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let of = |(module, (path, text)): (&Module, &(String, String))| {
            let named = paths(text).into_iter().filter_map(|named| self.file_of(module, &named));
            named.filter(|other| *other != path.as_str()).collect::<BTreeSet<&str>>()
        };
        self.files.iter().map(|entry| (entry.1.0.as_str(), of(entry))).collect()
    }

    /// File that a path leads to from a module, through re-exports.
    fn file_of(&self, from: &Module, path: &[String]) -> Option<&str> {
        let mut rest = path;
        let mut base: Module = match rest.first()?.as_str() {
            "handoffd_engine" => vec!["engine".to_owned()],
            "dynamics_simulator" => vec!["simulator".to_owned()],
            "crate" => from[..1].to_vec(),
            _ => from.clone(),
        };
        if matches!(rest[0].as_str(), "handoffd_engine" | "dynamics_simulator" | "crate" | "self") {
            rest = &rest[1..];
        }
        while rest.first().is_some_and(|segment| segment == "super") {
            base.pop();
            rest = &rest[1..];
        }
        while let Some(segment) = rest.first() {
            let deeper: Module = base.iter().chain([segment]).cloned().collect();
            if !self.files.contains_key(&deeper) {
                break;
            }
            (base, rest) = (deeper, &rest[1..]);
        }
        let (file, _) = self.files.get(&base)?;
        let elsewhere = rest.first().and_then(|name| self.exported[&base].get(name)).filter(|path| path.len() > 1);
        elsewhere.and_then(|path| self.file_of(&base, path)).or(Some(file))
    }
}

/// `engine/worker/mod.rs` → `engine`, `worker`; `rabbit/link.rs` → ``, `rabbit`, `link`.
fn module(path: &str) -> Module {
    let parts: Vec<&str> = path.trim_end_matches(".rs").split('/').collect();
    let (of_crate, rest) = match parts[0] {
        first @ ("engine" | "simulator") => (first, &parts[1..]),
        _ => ("", &parts[..]),
    };
    let segments = rest.iter().filter(|part| !matches!(**part, "mod" | "lib"));
    [of_crate].iter().chain(segments).map(ToString::to_string).collect()
}

/// Names that `pub use` gives to others.
fn exports(text: &str) -> BTreeMap<String, Vec<String>> {
    let trees = statements(text).filter(|(public, _)| *public).flat_map(|(_, tree)| expanded(&tree));
    trees.filter_map(|path| Some((path.last()?.clone(), path))).collect()
}

/// Paths that a file depends on: those that it imports, and those that it writes out.
fn paths(text: &str) -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> =
        statements(text).filter(|(public, _)| !*public).flat_map(|(_, tree)| expanded(&tree)).collect();
    // Re-exports and `pub(in crate::…)` name modules without depending on them.
    let (head, rest) = text.split_once("pub(in ").unwrap_or((text, ""));
    let rest = rest.split("pub(in ").map(|part| part.split_once(") ").map_or(part, |(_, rest)| rest));
    let code: String = [head].into_iter().chain(rest).collect();
    let statements = code.split(';').map(|statement| &statement[..import_at(statement).unwrap_or(statement.len())]);
    let words =
        statements.flat_map(|code| code.split(|char: char| !(char.is_alphanumeric() || char == '_' || char == ':')));
    let written = words.filter(|word| word.contains("::") && !word.ends_with("::"));
    found.extend(written.map(|word| word.split("::").map(str::to_owned).collect()));
    found
}

/// The `use` statements of a file, each with its visibility: true for `pub`.
fn statements(text: &str) -> impl Iterator<Item = (bool, String)> {
    let code = text.split(';').filter_map(|statement| {
        let start = import_at(statement)?;
        let (visibility, tree) = statement[start..].split_once("use ")?;
        Some((visibility.contains("pub"), tree.split_whitespace().collect::<Vec<_>>().join(" ")))
    });
    code.collect::<Vec<_>>().into_iter()
}

/// Beginning of the line on which a statement imports something, whatever its visibility.
fn import_at(statement: &str) -> Option<usize> {
    statement.match_indices('\n').map(|(at, _)| at).find(|at| {
        let line = statement[at + 1..].trim_start();
        let rest = line.strip_prefix("pub").unwrap_or(line);
        let hidden = rest.strip_prefix('(').and_then(|rest| rest.split_once(')'));
        hidden.map_or(rest, |(_, rest)| rest).trim_start().starts_with("use ")
    })
}

/// `a::{b, c::{d}}` → `a::b`, `a::c::d`.
fn expanded(tree: &str) -> Vec<Vec<String>> {
    let tree = tree.split(" as ").next().unwrap_or_default().trim();
    let Some((head, group)) = tree.split_once('{') else {
        return vec![tree.split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()];
    };
    let head: Vec<String> =
        head.split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect();
    let group = group.strip_suffix('}').unwrap_or(group);
    let branches = branches(group).into_iter().flat_map(|branch| expanded(&branch));
    branches.map(|path| head.iter().cloned().chain(path).collect()).collect()
}

/// The parts between the commas of the outermost level.
fn branches(group: &str) -> Vec<String> {
    let (mut depth, mut parts) = (0_i32, vec![String::new()]);
    for char in group.chars() {
        depth += i32::from(char == '{') - i32::from(char == '}');
        match (char, parts.last_mut()) {
            (',', _) if depth == 0 => parts.push(String::new()),
            (_, Some(part)) => part.push(char),
            (_, None) => {}
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// Groups of files each of which reaches every other one.
fn circles<'a>(edges: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Vec<Vec<&'a str>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> = edges.keys().map(|from| (*from, reach(from, edges))).collect();
    let mut found: Vec<Vec<&str>> = Vec::new();
    for from in edges.keys() {
        if found.iter().any(|circle| circle.contains(from)) || !reached[from].contains(from) {
            continue;
        }
        found.push(reached[from].iter().filter(|to| reached[*to].contains(from)).copied().collect());
    }
    found
}

fn reach<'a>(from: &str, edges: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<&'a str> {
    let (mut seen, mut waiting) = (BTreeSet::new(), vec![from]);
    while let Some(file) = waiting.pop() {
        for to in edges.get(file).into_iter().flatten() {
            if seen.insert(*to) {
                waiting.push(to);
            }
        }
    }
    seen
}

#[test]
fn a_circle_is_found() {
    let edges = BTreeMap::from([
        ("a", BTreeSet::from(["b"])),
        ("b", BTreeSet::from(["c"])),
        ("c", BTreeSet::from(["a"])),
        ("d", BTreeSet::from(["a"])),
    ]);
    assert_eq!(circles(&edges), [["a", "b", "c"]]);
    let nested = expanded("super::{a::{b, c::D}, E as F}");
    assert_eq!(
        nested.iter().map(|path| path.join("::")).collect::<Vec<_>>(),
        ["super::a::b", "super::a::c::D", "super::E"]
    );
}

#[test]
fn a_path_beside_an_import_or_a_text_is_found() {
    let text =
        "fn f() {\n    super::a::f(\"use it\");\n    use super::b::B;\n    super::c::f()\n}\npub use super::d::D;";
    let found: Vec<String> = paths(text).iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["super::b::B", "super::a::f", "super::c::f"]);
    assert_eq!(exports(text).into_keys().collect::<Vec<_>>(), ["D"]);
}
