//! `docs/METRICS.md` is written from the metric families.

use std::fmt::Write;
use std::path::Path;

use super::families::Families;

const BEGIN: &str = "<!-- metrics: from the code -->\n";
const END: &str = "<!-- end of metrics -->";

fn table() -> String {
    let mut rows = Vec::new();
    for collector in Families::new().collectors() {
        let families = collector.collect();
        for (family, description) in families.iter().zip(collector.desc()) {
            let kind = format!("{:?}", family.get_field_type()).to_lowercase();
            let labels = description.variable_labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>();
            let labels = if labels.is_empty() { "—".to_owned() } else { labels.join(", ") };
            rows.push(format!("| `{}` | {kind} | {labels} | {} |", description.fq_name, description.help));
        }
    }
    rows.sort();
    let mut text = "| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for row in rows {
        writeln!(text, "{row}").unwrap();
    }
    text
}

/// `HANDOFFD_UPDATE_DOCS=1 cargo test --lib metrics::reference` writes the table instead of comparing it.
#[test]
fn the_reference_matches_the_families() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/METRICS.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once(BEGIN).unwrap();
    let (_, tail) = rest.split_once(END).unwrap();
    let next = format!("{head}{BEGIN}{}{END}{tail}", table());
    if std::env::var_os("HANDOFFD_UPDATE_DOCS").is_some() {
        std::fs::write(&path, next).unwrap();
    } else {
        assert!(text == next, "docs/METRICS.md differs from the families: set HANDOFFD_UPDATE_DOCS=1");
    }
}
