//! Check of `ticket_properties` against the properties of a case.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use uuid::Uuid;

use super::finding::Finding;

const BIND: &str = "@odata.bind";
/// Types of columns that are written by binding a row.
const LOOKUPS: [&str; 3] = ["Lookup", "Customer", "Owner"];
/// Similarity (Jaro-Winkler) from which on a name is suggested.
const ALIKE: f64 = 0.85;

/// Properties of a case.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct CaseFields {
    /// Columns and their types.
    columns: BTreeMap<String, String>,
    /// Navigation properties by which lookups are bound.
    navigations: BTreeSet<String>,
}

impl CaseFields {
    /// Reads the lists of attributes and of relationships.
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

    /// Returns true if a row can be bound by this name, which is case-sensitive.
    pub(super) fn binds(&self, navigation: &str) -> bool {
        self.navigations.contains(navigation)
    }

    /// Describes the fault of a property of this name, if it has one.
    fn problem(&self, key: &str) -> Option<String> {
        if let Some(navigation) = key.strip_suffix(BIND) {
            let unknown = !self.binds(navigation);
            let near = || nearest(navigation, self.navigations.iter().map(String::as_str));
            return unknown.then(|| meant(key, near().map(|name| format!("{name}{BIND}"))));
        }
        // Another OData annotation; its property is checked separately.
        if key.contains('@') {
            return None;
        }
        match self.columns.get(key) {
            Some(kind) if LOOKUPS.contains(&kind.as_str()) => Some(self.unbound(key)),
            Some(_) => None,
            None => Some(meant(key, nearest(key, self.columns.keys().map(String::as_str)).map(str::to_owned))),
        }
    }

    /// Describes a lookup that is set as a value, with the names to bind it by.
    fn unbound(&self, key: &str) -> String {
        let fits = |name: &&String| name.eq_ignore_ascii_case(key) || name.starts_with(&format!("{key}_"));
        let names: Vec<String> = self.navigations.iter().filter(fits).map(|name| format!("\"{name}{BIND}\"")).collect();
        format!("{key} (a lookup: bind it with {})", names.join(" or "))
    }
}

/// Judges `ticket_properties`: reports those that a case does not have.
pub(super) fn judged(properties: &Map<String, Value>, fields: &CaseFields) -> Finding {
    let problems: Vec<String> = properties.keys().filter_map(|key| fields.problem(key)).collect();
    if problems.is_empty() {
        let count = properties.len();
        return Finding::passed("ticket_properties", format!("a case has all {count} properties"));
    }
    Finding::failed(
        "ticket_properties",
        format!("a case has no such property: {}", problems.join(", ")),
        "Correct or remove these under [ticket_properties]. Name columns by logical name and lookups by navigation \
         property with @odata.bind; names are case-sensitive. Until then each handoff to a case becomes a dead \
         letter.",
    )
}

/// Returns the rows that these properties bind, as key and path.
pub(super) fn bound_rows(properties: &Map<String, Value>) -> Vec<(String, String)> {
    let bound = properties.iter().filter(|(key, _)| key.ends_with(BIND));
    bound.filter_map(|(key, value)| Some((key.clone(), path(value.as_str()?)?))).collect()
}

/// Returns the path of a value such as `/subjects(<guid>)`, and `None` for any other, so that no arbitrary path is requested.
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

    use super::super::finding::CheckResult;
    use super::*;

    fn fields() -> CaseFields {
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
        CaseFields::read(&columns, &lookups)
    }

    fn judge(properties: &Value) -> Finding {
        judged(properties.as_object().unwrap(), &fields())
    }

    #[test]
    fn existing_properties_pass() {
        let properties = json!({
            "casetypecode": 1, "subjectid@odata.bind": "/subjects(1)", "productserialnumber@odata.type": "String"
        });
        assert_eq!(judge(&properties).result, CheckResult::Passed);
    }

    #[test]
    fn missing_properties_are_named_with_a_suggestion() {
        for (key, expected) in [
            ("casetypcode", "casetypcode (did you mean casetypecode?)"),
            ("nothing_like_it", "no such property: nothing_like_it"),
            ("SubjectId@odata.bind", "did you mean subjectid@odata.bind?"),
            ("customerid", "bind it with \"customerid_account@odata.bind\" or \"customerid_contact@odata.bind\""),
        ] {
            let finding = judge(&json!({ key: 1 }));
            assert_eq!(finding.result, CheckResult::Failed);
            assert!(finding.message.contains(expected), "{}", finding.message);
        }
    }

    #[test]
    fn only_a_plain_row_is_requested() {
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
