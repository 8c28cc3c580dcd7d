//! `docs/CONTRACT_TESTS.md` names tests that exist.

use std::path::Path;

/// Every test named in the table: `src/…/file.rs::name` or `tests/…/file.rs::name`.
#[test]
fn every_test_named_for_a_rule_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(root.join("docs/CONTRACT_TESTS.md")).unwrap();
    let named: Vec<&str> = table.split('`').filter(|word| word.contains(".rs::")).collect();
    assert!(named.len() > 100, "only {} names", named.len());
    let missing: Vec<&&str> = named.iter().filter(|name| !exists(root, name)).collect();
    assert!(missing.is_empty(), "named in docs/CONTRACT_TESTS.md, but not there: {missing:#?}");
}

/// Every rule's row names at least one test, or says why there is none.
#[test]
fn every_rule_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(root.join("docs/CONTRACT_TESTS.md")).unwrap();
    let rows = table
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---") && !line.starts_with("| rule"));
    let bare: Vec<&str> = rows.filter(|row| !row.contains(".rs::")).collect();
    assert!(bare.is_empty(), "rules without a test: {bare:#?}");
}

fn exists(root: &Path, name: &str) -> bool {
    let (file, test) = name.split_once("::").unwrap();
    std::fs::read_to_string(root.join(file)).is_ok_and(|text| text.contains(&format!("fn {test}(")))
}
