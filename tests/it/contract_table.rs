//! `docs/CONTRACT_TESTS.md` names tests that exist, and `docs/OPERATIONS.md` documents every reason of a dead letter.

use std::path::Path;

/// Every test named in the table exists: `src/…/file.rs::name` or `tests/…/file.rs::name`.
#[test]
fn every_test_named_for_a_rule_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(root.join("docs/CONTRACT_TESTS.md")).unwrap();
    let named: Vec<&str> = table.split('`').filter(|word| word.contains(".rs::")).collect();
    assert!(named.len() > 100, "only {} names", named.len());
    let missing: Vec<&&str> = named.iter().filter(|name| !exists(root, name)).collect();
    assert!(missing.is_empty(), "named in docs/CONTRACT_TESTS.md, but not there: {missing:#?}");
}

/// Every rule's row names at least one test, or explains why it has none.
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

/// Every dead-letter reason has a section with its meaning, diagnosis and remedy.
#[test]
fn every_reason_of_a_dead_letter_has_a_section_for_operators() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = std::fs::read_to_string(root.join("src/engine/workflow/outcome.rs")).unwrap();
    let variants = source.split("/// Dead letter:").skip(1).filter_map(|rest| rest.lines().nth(1));
    let reasons: Vec<String> = variants.map(|line| snake(line.trim().trim_end_matches(','))).collect();
    assert!(reasons.len() >= 6 && reasons.contains(&"delivery_limit".to_owned()), "{reasons:?}");
    let page = std::fs::read_to_string(root.join("docs/OPERATIONS.md")).unwrap();
    for reason in reasons {
        let section = page.split("\n### ").find(|it| it.starts_with(&format!("`{reason}`\n")));
        let section = section.unwrap_or_else(|| panic!("docs/OPERATIONS.md has no section `{reason}`"));
        assert!(
            section.contains("\nLook at: ") && section.contains("\nDo: "),
            "what to look at, what to do: {section}"
        );
    }
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

fn exists(root: &Path, name: &str) -> bool {
    let (file, test) = name.split_once("::").unwrap();
    std::fs::read_to_string(root.join(file)).is_ok_and(|text| text.contains(&format!("fn {test}(")))
}
