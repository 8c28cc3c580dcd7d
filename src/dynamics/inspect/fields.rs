//! What a case has for properties, and which of an organization's it does not have.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use uuid::Uuid;

use super::finding::Finding;

const BIND: &str = "@odata.bind";
/// Types of columns that are written by binding a row.
const LOOKUPS: [&str; 3] = ["Lookup", "Customer", "Owner"];
/// Names at least this much alike may be meant (Jaro-Winkler).
const ALIKE: f64 = 0.85;

/// A case's properties.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Fields {
    /// Columns and their types.
    columns: BTreeMap<String, String>,
    /// What lookups are bound by.
    navigations: BTreeSet<String>,
}

impl Fields {
    /// From the lists of attributes and of relationships.
    pub(super) fn read(columns: &Value, lookups: &Value) -> Self {
        let rows = |answer: &Value| answer["value"].as_array().cloned().unwrap_or_default();
        let text = |row: &Value, name: &str| row[name].as_str().map(str::to_owned);
        let column = |row: &Value| Some((text(row, "LogicalName")?, text(row, "AttributeType").unwrap_or_default()));
        Self {
            columns: rows(columns).iter().filter_map(column).collect(),
            navigations: rows(lookups)
                .iter()
                .filter_map(|row| text(row, "ReferencingEntityNavigationPropertyName"))
                .collect(),
        }
    }

    /// Whether a row can be bound by this name, whose case counts.
    pub(super) fn binds(&self, navigation: &str) -> bool {
        self.navigations.contains(navigation)
    }

    /// What is wrong with a property of this name, if anything is.
    fn problem(&self, key: &str) -> Option<String> {
        if let Some(navigation) = key.strip_suffix(BIND) {
            let unknown = !self.binds(navigation);
            let near = || nearest(navigation, self.navigations.iter().map(String::as_str));
            return unknown.then(|| meant(key, near().map(|name| format!("{name}{BIND}"))));
        }
        // Another annotation of OData's: its property is looked at by itself.
        if key.contains('@') {
            return None;
        }
        match self.columns.get(key) {
            Some(kind) if LOOKUPS.contains(&kind.as_str()) => Some(self.unbound(key)),
            Some(_) => None,
            None => Some(meant(key, nearest(key, self.columns.keys().map(String::as_str)).map(str::to_owned))),
        }
    }

    /// A lookup that is written as a value.
    fn unbound(&self, key: &str) -> String {
        let fits = |name: &&String| name.eq_ignore_ascii_case(key) || name.starts_with(&format!("{key}_"));
        let names: Vec<String> = self.navigations.iter().filter(fits).map(|name| format!("\"{name}{BIND}\"")).collect();
        format!("{key} (a lookup: bind it with {})", names.join(" or "))
    }
}

/// Which of `ticket_properties` a case does not have.
pub(super) fn judged(properties: &Map<String, Value>, fields: &Fields) -> Finding {
    let problems: Vec<String> = properties.keys().filter_map(|key| fields.problem(key)).collect();
    if problems.is_empty() {
        let count = properties.len();
        return Finding::passed("ticket_properties", format!("a case has all {count} of them"));
    }
    Finding::failed(
        "ticket_properties",
        format!("a case has no such property: {}", problems.join(", ")),
        "Correct or remove these under [ticket_properties]: each event would be a dead letter. Columns go by their logical \
         name, lookups by navigation property and @odata.bind, and the case of letters counts.",
    )
}

/// The rows that these properties bind, as paths.
pub(super) fn bound_rows(properties: &Map<String, Value>) -> Vec<(String, String)> {
    let bound = properties.iter().filter(|(key, _)| key.ends_with(BIND));
    bound.filter_map(|(key, value)| Some((key.clone(), path(value.as_str()?)?))).collect()
}

/// `/subjects(<guid>)`, and nothing else: anything could stand there.
fn path(text: &str) -> Option<String> {
    let rest = text.trim_start_matches('/');
    let (set, key) = rest.split_once('(')?;
    let id: Uuid = key.strip_suffix(')')?.parse().ok()?;
    let plain = !set.is_empty() && set.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    plain.then(|| format!("{set}({id})"))
}

fn meant(key: &str, near: Option<String>) -> String {
    near.map_or_else(|| key.to_owned(), |near| format!("{key} (did you mean {near}?)"))
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let alike = |other: &str| strsim::jaro_winkler(&name.to_lowercase(), &other.to_lowercase());
    let near = known.map(|other| (alike(other), other)).filter(|(alike, _)| *alike >= ALIKE);
    near.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, other)| other)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::finding::Found;
    use super::*;

    fn fields() -> Fields {
        let columns = json!({ "value": [
            { "LogicalName": "casetypecode", "AttributeType": "Picklist" },
            { "LogicalName": "productserialnumber", "AttributeType": "String" },
            { "LogicalName": "customerid", "AttributeType": "Customer" },
        ] });
        let lookups = json!({ "value": [
            { "ReferencingEntityNavigationPropertyName": "subjectid" },
            { "ReferencingEntityNavigationPropertyName": "customerid_contact" },
            { "ReferencingEntityNavigationPropertyName": "customerid_account" },
        ] });
        Fields::read(&columns, &lookups)
    }

    fn judge(properties: &Value) -> Finding {
        judged(properties.as_object().unwrap(), &fields())
    }

    #[test]
    fn what_a_case_has_passes() {
        let properties = json!({
            "casetypecode": 1, "subjectid@odata.bind": "/subjects(1)", "productserialnumber@odata.type": "String"
        });
        assert_eq!(judge(&properties).result, Found::Passed);
    }

    #[test]
    fn what_it_has_not_is_named_with_what_was_meant() {
        for (key, expected) in [
            ("casetypcode", "casetypcode (did you mean casetypecode?)"),
            ("nothing_like_it", "no such property: nothing_like_it"),
            ("SubjectId@odata.bind", "did you mean subjectid@odata.bind?"),
            ("customerid", "bind it with \"customerid_account@odata.bind\" or \"customerid_contact@odata.bind\""),
        ] {
            let finding = judge(&json!({ key: 1 }));
            assert_eq!(finding.result, Found::Failed);
            assert!(finding.message.contains(expected), "{}", finding.message);
        }
    }

    #[test]
    fn only_a_plain_row_is_read() {
        let id = "55555555-5555-5555-5555-555555555555";
        for (value, expected) in [
            (json!(format!("/subjects({id})")), Some(format!("subjects({id})"))),
            (json!(format!("subjects({id})")), Some(format!("subjects({id})"))),
            (json!(format!("/subjects({id})/x")), None),
            (json!("/subjects(name='x')"), None),
            (json!(format!("/../admin({id})")), None),
            (json!(7), None),
        ] {
            let properties = json!({ "subjectid@odata.bind": value });
            let rows = bound_rows(properties.as_object().unwrap());
            assert_eq!(rows.into_iter().map(|(_, path)| path).next(), expected);
        }
    }
}
