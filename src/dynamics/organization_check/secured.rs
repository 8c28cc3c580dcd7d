//! Check of column security: the secured columns that events read or write, and the consequences if the application user has no
//! profile for them. Findings are at most warnings, as Dynamics does not list the rights of a system administrator.

use std::collections::BTreeMap;

use handoffd_engine::workflow::{ContactFailure, Settings};
use serde_json::Value;
use uuid::Uuid;

use super::finding::Finding;

/// Column by which a customer's contact is looked up.
const EMAIL: &str = "emailaddress1";
/// Columns of a contact that the worker creates.
const CONTACT_COLUMNS: [&str; 4] = ["firstname", "lastname", "mobilephone", "description"];
/// Columns of every case.
const CASE_COLUMNS: [&str; 4] = ["title", "description", "prioritycode", "customerid"];
/// Only column of a case that is read and may be secured.
const CASE_NUMBER: &str = "ticketnumber";
/// "Allowed" of a column security profile; "not allowed" is 0.
const ALLOWED: i64 = 4;
const CHECK: &str = "secured_columns";

/// Tables whose columns are checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SecuredTable {
    /// `contact`
    Contact,
    /// `incident`
    Case,
}

/// A secured column that events use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SecuredUse {
    table: SecuredTable,
    column: String,
    /// Key by which column security names it.
    id: Option<Uuid>,
}

/// Rights that a column security profile grants on a column.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct ColumnRights {
    read: bool,
    create: bool,
}

/// Rights of the application user by column.
pub(super) type ColumnProfile = BTreeMap<Uuid, ColumnRights>;

impl SecuredTable {
    /// Logical name.
    pub(super) fn logical(self) -> &'static str {
        match self {
            Self::Contact => "contact",
            Self::Case => "incident",
        }
    }

    /// Returns true for a column that events of this organization read or write.
    fn uses(self, column: &str, settings: &Settings) -> bool {
        match self {
            Self::Contact => column == EMAIL || CONTACT_COLUMNS.contains(&column),
            Self::Case => {
                CASE_COLUMNS.contains(&column)
                    || column == CASE_NUMBER
                    || (column == "ownerid" && settings.default_owner_id.is_some())
                    || (column.eq_ignore_ascii_case(&settings.queue_field) && settings.default_queue_id.is_some())
                    || settings.ticket_properties.keys().any(|key| sets(key, column))
            }
        }
    }
}

/// Returns true if a property of this name writes the column: `customerid_account@odata.bind` writes `customerid`.
fn sets(property: &str, column: &str) -> bool {
    let Some((navigation, _)) = property.split_once('@') else {
        return property == column;
    };
    let navigation = navigation.to_lowercase();
    navigation.strip_prefix(column).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

impl SecuredUse {
    /// Selects the secured columns of a table that events use.
    pub(super) fn among(table: SecuredTable, answer: &Value, settings: &Settings) -> Vec<Self> {
        let rows = answer["value"].as_array().into_iter().flatten();
        rows.filter_map(|row| {
            let column = row["LogicalName"].as_str().filter(|column| table.uses(column, settings))?;
            let id = row["MetadataId"].as_str().and_then(|id| id.parse().ok());
            Some(Self { table, column: column.to_owned(), id })
        })
        .collect()
    }

    fn name(&self) -> String {
        format!("{}.{}", self.table.logical(), self.column)
    }

    fn is_read(&self) -> bool {
        matches!((self.table, self.column.as_str()), (SecuredTable::Contact, EMAIL) | (SecuredTable::Case, CASE_NUMBER))
    }

    fn is_created(&self) -> bool {
        self.column != CASE_NUMBER
    }

    /// Returns true if the profile allows every access of events to the column.
    fn is_allowed(&self, profile: &ColumnProfile) -> bool {
        let rights = self.id.and_then(|id| profile.get(&id).copied()).unwrap_or_default();
        (rights.read || !self.is_read()) && (rights.create || !self.is_created())
    }

    /// Describes the consequence for events if access to the column is missing.
    fn consequence(&self, settings: &Settings) -> &'static str {
        match (self.table, self.column.as_str(), settings.contact_failure) {
            (SecuredTable::Case, CASE_NUMBER, _) => "outcomes carry no case number",
            (SecuredTable::Case, ..) => "each handoff to a case becomes a dead letter",
            (SecuredTable::Contact, EMAIL, ContactFailure::Unlinked) => {
                "no case is linked to its contact (warning contact_unlinked)"
            }
            (SecuredTable::Contact, EMAIL, ContactFailure::DeadLetter) => {
                "each handoff with an email becomes a dead letter (contact_failure)"
            }
            (SecuredTable::Contact, _, ContactFailure::Unlinked) => {
                "no case of a new customer is linked to a contact (warning contact_unlinked)"
            }
            (SecuredTable::Contact, _, ContactFailure::DeadLetter) => {
                "each handoff of a new customer becomes a dead letter (contact_failure)"
            }
        }
    }
}

/// Parses the answer of `RetrievePrincipalAttributePrivileges`.
pub(super) fn profile(answer: &Value) -> ColumnProfile {
    let all = answer["AttributePrivileges"].as_array().into_iter().flatten();
    all.filter_map(|rights| {
        let id = rights["AttributeId"].as_str()?.parse().ok()?;
        let allows = |right: &str| rights[right].as_i64() == Some(ALLOWED);
        Some((id, ColumnRights { read: allows("CanRead"), create: allows("CanCreate") }))
    })
    .collect()
}

/// Judges the secured columns that events use. `profile` is `None` if it could not be read.
pub(super) fn judged(settings: &Settings, used: &[SecuredUse], profile: Option<&ColumnProfile>) -> Finding {
    let lacking: Vec<&SecuredUse> =
        used.iter().filter(|column| profile.is_none_or(|profile| !column.is_allowed(profile))).collect();
    let names = |columns: &[&SecuredUse]| columns.iter().map(|column| column.name()).collect::<Vec<_>>().join(", ");
    if used.is_empty() {
        return Finding::passed(CHECK, "no column used by events is secured");
    }
    if lacking.is_empty() {
        let all: Vec<&SecuredUse> = used.iter().collect();
        return Finding::passed(CHECK, format!("secured, accessible to the application user: {}", names(&all)));
    }
    let message = match profile {
        Some(_) => format!("secured, not accessible to the application user: {}", names(&lacking)),
        None => format!("secured: {}; the rights of the application user could not be checked", names(&lacking)),
    };
    let mut follows: Vec<&str> = lacking.iter().map(|column| column.consequence(settings)).collect();
    follows.dedup();
    let advice = format!(
        "Give the application user a column security profile that allows Read and Create on them (Power Platform admin \
         center → environment → Settings → Users + permissions → Column security profiles), unless it is a system \
         administrator. Without it: {}.",
        follows.join("; ")
    );
    Finding::warned(CHECK, message, advice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::finding::CheckResult;
    use super::*;
    use handoffd_engine::workflow::samples::settings;

    const ID: &str = "55555555-5555-5555-5555-555555555555";

    fn secured(table: SecuredTable, column: &str, settings: &Settings) -> Vec<SecuredUse> {
        SecuredUse::among(table, &json!({ "value": [{ "LogicalName": column, "MetadataId": ID }] }), settings)
    }

    fn rights(read: i64, create: i64) -> ColumnProfile {
        profile(&json!({ "AttributePrivileges": [{ "AttributeId": ID, "CanRead": read, "CanCreate": create }] }))
    }

    #[test]
    fn only_columns_that_events_use_count() {
        let properties = json!({ "casetypecode": 1, "new_level_code": 1, "subjectid@odata.bind": "/subjects(1)" });
        let mut with = settings();
        with.ticket_properties = properties.as_object().unwrap().clone();
        for (table, column, in_plain, in_with) in [
            (SecuredTable::Contact, "emailaddress1", true, true),
            (SecuredTable::Contact, "jobtitle", false, false),
            (SecuredTable::Case, "title", true, true),
            (SecuredTable::Case, "casetypecode", false, true),
            (SecuredTable::Case, "new_level_code", false, true),
            (SecuredTable::Case, "subjectid", false, true),
            (SecuredTable::Case, "emailaddress1", false, false),
        ] {
            let used = |settings: &Settings| !secured(table, column, settings).is_empty();
            assert_eq!((used(&settings()), used(&with)), (in_plain, in_with), "{column}");
        }
        assert_eq!(judged(&settings(), &[], None).result, CheckResult::Passed);
    }

    #[test]
    fn a_profile_must_allow_what_events_do_with_a_column() {
        let settings = settings();
        for (table, column, allowed) in [
            (SecuredTable::Contact, "emailaddress1", [false, false, false, true]),
            (SecuredTable::Contact, "mobilephone", [false, false, true, true]),
            (SecuredTable::Case, "ticketnumber", [false, true, false, true]),
        ] {
            let used = secured(table, column, &settings);
            for ((read, create), allowed) in [(0, 0), (4, 0), (0, 4), (4, 4)].into_iter().zip(allowed) {
                let finding = judged(&settings, &used, Some(&rights(read, create)));
                assert_eq!(finding.result == CheckResult::Passed, allowed, "{column} {read} {create}: {finding:?}");
            }
            let unknown = judged(&settings, &used, None);
            assert_eq!(unknown.result, CheckResult::Warned);
            assert!(unknown.message.contains("could not be checked"), "{unknown:?}");
        }
    }

    #[test]
    fn the_advice_names_the_consequence() {
        let unlinked = settings();
        let strict = Settings { contact_failure: ContactFailure::DeadLetter, ..settings() };
        for (settings, table, column, follows) in [
            (&unlinked, SecuredTable::Contact, "emailaddress1", "no case is linked to its contact"),
            (&unlinked, SecuredTable::Contact, "lastname", "no case of a new customer"),
            (&strict, SecuredTable::Contact, "emailaddress1", "each handoff with an email becomes a dead letter"),
            (&strict, SecuredTable::Contact, "lastname", "each handoff of a new customer becomes a dead letter"),
            (&unlinked, SecuredTable::Case, "description", "each handoff to a case becomes a dead letter"),
            (&unlinked, SecuredTable::Case, "ticketnumber", "no case number"),
        ] {
            let finding = judged(settings, &secured(table, column, settings), Some(&ColumnProfile::new()));
            assert!(finding.message.ends_with(&format!("{}.{column}", table.logical())), "{finding:?}");
            assert!(finding.advice.contains(follows), "{finding:?}");
        }
    }
}
