//! The tables of `docs/CONFIGURATION.md` match the schemas in the code.

use std::fmt::Write;
use std::path::Path;

use handoffd::config::schema::{ConfigKey, KEYS};
use handoffd::organizations::schema::KEYS as ORGANIZATION;

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn default(key: &ConfigKey) -> String {
    match key.default {
        Some("\"\"") => "empty".to_owned(),
        Some(default) => code(default),
        None => "—".to_owned(),
    }
}

fn tables() -> String {
    let mut text = "| key | variable | default | meaning | allowed |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for key in KEYS {
        let name = code(&format!("{}.{}", key.section, key.name));
        let variable = code(&key.variable());
        writeln!(text, "| {name} | {variable} | {} | {} | {} |", default(key), key.meaning, key.allowed).expect("text");
    }
    text
}

fn organization_table() -> String {
    let mut text = "| key | default | meaning | allowed |\n| --- | --- | --- | --- |\n".to_owned();
    for key in ORGANIZATION {
        let name = code(key.name);
        writeln!(text, "| {name} | {} | {} | {} |", default(key), key.meaning, key.allowed).expect("text");
    }
    text
}

/// `HANDOFFD_UPDATE_DOCS=1 cargo test --test it config` rewrites the tables.
#[test]
fn the_tables_match_the_schemas() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/CONFIGURATION.md");
    let text = std::fs::read_to_string(&path).expect("the document");
    let mut next = text.clone();
    for (name, table) in [("keys", tables()), ("organization", organization_table())] {
        let (begin, end) = (format!("<!-- {name}: from the code -->\n"), format!("<!-- end of {name} -->"));
        let (head, rest) = next.split_once(&begin).expect("the mark that begins the table");
        let (_, tail) = rest.split_once(&end).expect("the mark that ends the table");
        next = format!("{head}{begin}{table}{end}{tail}");
    }
    if std::env::var_os("HANDOFFD_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &next).expect("the document");
    } else {
        assert!(text == next, "the tables of docs/CONFIGURATION.md are not the schemas: set HANDOFFD_UPDATE_DOCS=1");
    }
}

#[test]
fn every_key_is_explained() {
    for key in KEYS.iter().chain(ORGANIZATION) {
        assert!(key.meaning.ends_with('.') && !key.allowed.is_empty(), "{}", key.name);
        assert!(!key.meaning.contains('|') && !key.allowed.contains('|'), "{}", key.name);
    }
}
