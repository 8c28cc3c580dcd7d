//! The sample file and the tables of `docs/CONFIGURATION.md` are written from the declarations of the keys.

use std::fmt::Write;
use std::path::Path;

use handoffd::config::schema::ConfigKey;
use handoffd::config::{KEYS, SECTIONS};
use handoffd::organizations::schema::KEYS as ORGANIZATION;

/// Longest line of the sample file.
const WIDTH: usize = 100;

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

/// Every section and key of the sample file, each below a comment.
fn sample() -> String {
    let mut text = String::new();
    for (section, subject) in SECTIONS {
        write!(text, "\n# {subject}\n[{section}]\n").expect("text");
        for key in KEYS.iter().filter(|key| key.section == *section) {
            let default = key.default.expect("every key has a default");
            writeln!(text, "{}{} = {default}", comment(key), key.name).expect("text");
        }
    }
    text
}

fn comment(key: &ConfigKey) -> String {
    // What stands in backticks stays on one line.
    let marked = format!("{} Allowed: {}.", key.meaning, key.allowed);
    let parts = marked.split('`').enumerate();
    let text: String =
        parts.map(|(at, part)| if at % 2 == 1 { part.replace(' ', "\u{a0}") } else { part.to_owned() }).collect();
    let mut lines = vec!["#".to_owned()];
    for word in text.split(' ') {
        if lines.last().expect("a line").chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push("#".to_owned());
        }
        let line = lines.last_mut().expect("a line");
        line.push(' ');
        line.push_str(word);
    }
    lines.join("\n").replace('\u{a0}', " ") + "\n"
}

/// Compares a file with its generated form. `HANDOFFD_UPDATE_DOCS=1 cargo test --test it config` writes it instead.
fn is_current(file: &str, generated: impl Fn(&str) -> String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = std::fs::read_to_string(&path).expect("the file");
    let next = generated(&text);
    if std::env::var_os("HANDOFFD_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &next).expect("the file");
    } else {
        assert!(text == next, "{file} differs from the declarations of the keys: set HANDOFFD_UPDATE_DOCS=1");
    }
}

#[test]
fn the_sample_file_matches_the_schema() {
    is_current("config/handoffd.toml", |text| {
        let (head, _) = text.split_once("\n\n").expect("a head");
        format!("{head}\n{}", sample())
    });
}

#[test]
fn the_tables_match_the_schemas() {
    is_current("docs/CONFIGURATION.md", |text| {
        let mut next = text.to_owned();
        for (name, table) in [("keys", tables()), ("organization", organization_table())] {
            let (begin, end) = (format!("<!-- {name}: from the code -->\n"), format!("<!-- end of {name} -->"));
            let (head, rest) = next.split_once(&begin).expect("the mark that begins the table");
            let (_, tail) = rest.split_once(&end).expect("the mark that ends the table");
            next = format!("{head}{begin}{table}{end}{tail}");
        }
        next
    });
}

#[test]
fn every_key_is_explained() {
    for key in KEYS.iter().chain(ORGANIZATION) {
        assert!(key.meaning.ends_with('.') && !key.allowed.is_empty(), "{}", key.name);
        assert!(!key.meaning.contains('|') && !key.allowed.contains('|'), "{}", key.name);
    }
}
