//! Dataverse's error answers, with their codes and texts.

use serde_json::{Value, json};
use uuid::Uuid;

use super::switches::DuplicateKey;
use super::table::Table;

/// Error answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// Error code such as `0x80040217`; may be empty.
    pub code: String,
    /// Error message.
    pub message: String,
    /// Additional headers.
    pub headers: Vec<(&'static str, String)>,
}

impl Refusal {
    /// Creates an error answer.
    pub(super) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into(), headers: Vec::new() }
    }

    /// Returns the error as JSON.
    pub(super) fn body(&self) -> Value {
        json!({"error": {"code": self.code, "message": self.message}})
    }

    /// Token that is missing, unknown, expired or issued for another environment.
    pub(super) fn unauthorized(message: &str) -> Self {
        let mut refusal = Self::new(401, "0x80072560", message);
        let challenge = "Bearer authorization_uri=https://login.microsoftonline.com/common/oauth2/authorize";
        refusal.headers.push(("www-authenticate", challenge.into()));
        refusal
    }

    /// Table that does not exist.
    pub(super) fn no_table(set: &str) -> Self {
        let message = format!("Resource not found for the segment '{set}'.");
        Self::new(404, "0x8006088a", message)
    }

    /// Row that does not exist.
    pub(super) fn no_row(table: &Table, key: Uuid) -> Self {
        let message = format!("Entity '{}' With Id = {key} Does Not Exist", table.schema_name);
        Self::new(404, "0x80040217", message)
    }

    /// Query option that can't be parsed.
    pub(super) fn query(message: impl Into<String>) -> Self {
        Self::new(400, "0x80060888", message)
    }

    /// Property in a query that the table does not have.
    pub(super) fn no_property(table: &Table, name: &str) -> Self {
        Self::query(format!(
            "Could not find a property named '{name}' on type 'Microsoft.Dynamics.CRM.{}'.",
            table.logical
        ))
    }

    /// Property in a body that the table does not have.
    pub(super) fn invalid_property(table: &Table, name: &str) -> Self {
        let logical = &table.logical;
        Self::new(
            400,
            "0x0",
            format!("Invalid property '{name}' was found in entity 'Microsoft.Dynamics.CRM.{logical}'."),
        )
    }

    /// Body that OData can't parse.
    pub(super) fn payload(table: &Table, problem: &str) -> Self {
        let set = &table.set;
        Self::new(
            400,
            "0x80048d19",
            format!(
                "Error identified in Payload provided by the user for Entity :'{set}', For more information on this error \
                 please follow this help link https://go.microsoft.com/fwlink/?linkid=2195293  ---->  InnerException : \
                 Microsoft.OData.ODataException: {problem}"
            ),
        )
    }

    /// `@odata.bind` of an undeclared navigation property.
    pub(super) fn undeclared(table: &Table, navigation: &str) -> Self {
        Self::payload(
            table,
            &format!(
                "An undeclared property '{navigation}' which only has property annotations in the payload but no property \
                 value was found in the payload. In OData, only declared navigation properties and declared named streams \
                 can be represented as properties without values."
            ),
        )
    }

    /// Text that is too long.
    pub(super) fn too_long(table: &Table, column: &str, limit: usize) -> Self {
        Self::new(
            400,
            "0x80044331",
            format!(
                "A validation error occurred.  The length of the '{column}' attribute of the '{}' entity exceeded the \
                 maximum allowed length of '{limit}'.",
                table.logical
            ),
        )
    }

    /// Value that is not an option of the choice.
    pub(super) fn no_option(table: &Table, column: &str, value: i64, allowed: &[i64]) -> Self {
        let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        let (logical, allowed) = (&table.logical, allowed.join(","));
        Self::new(
            400,
            "0x8004431a",
            format!(
                "A validation error occurred.  The value {value} of '{column}' on record of type '{logical}' is outside the \
                 valid range. Accepted Values: {allowed}"
            ),
        )
    }

    /// State and status that do not belong together.
    pub(super) fn bad_state(table: &Table, key: Uuid, status: i64, state: &str) -> Self {
        Self::new(
            400,
            "0x80048408",
            format!(
                "{status} is not a valid status code for state code {name}State.{state} on {name} with Id {key}.",
                name = table.schema_name
            ),
        )
    }

    /// Key that already exists.
    pub(super) fn duplicate(variant: DuplicateKey) -> Self {
        let known = "A record with matching key values already exists.";
        match variant {
            DuplicateKey::PreconditionFailed => Self::new(412, "0x80040237", known),
            DuplicateKey::EmptyCode => Self::new(412, "", known),
            DuplicateKey::Conflict => Self::new(409, "0x80040237", "Cannot insert duplicate key."),
            DuplicateKey::MessageOnly => Self::new(400, "", known),
        }
    }

    /// Incident without a customer.
    pub(super) fn no_customer() -> Self {
        Self::new(400, "0x80044410", "You should specify a parent contact or account.")
    }

    /// Case that is already resolved.
    pub(super) fn resolved_already(code: &str) -> Self {
        let message = "This case has already been resolved. Close and reopen the case record to see the updates.";
        Self::new(400, code, message)
    }

    /// Customer that is deactivated.
    pub(super) fn inactive_customer() -> Self {
        Self::new(400, "0x80040517", "An inactive customer cannot be set as the parent of an object.")
    }

    /// `If-Match` with another ETag than the row's.
    pub(super) fn changed_meanwhile() -> Self {
        let message = "The version of the existing record doesn't match the RowVersion property provided.";
        Self::new(412, "0x80060882", message)
    }

    /// Feature of Dataverse that the simulator does not support.
    pub(super) fn not_simulated(what: &str) -> Self {
        Self::new(501, "0x80060800", format!("The simulator does not support {what}."))
    }
}
