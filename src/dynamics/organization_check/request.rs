//! Requests of a test: reads only, and only of data that events need.

use percent_encoding::utf8_percent_encode;
use uuid::Uuid;

use crate::dynamics::request::{LITERAL, Method, Request};

/// Probe of "Test & Save". Reads only a key, as the row is a customer's case.
pub(super) fn probe() -> Request {
    get("incidents?$select=incidentid&$top=1")
}

/// Reads the identity of the application user.
pub(super) fn who_am_i() -> Request {
    get("WhoAmI")
}

/// Reads a system user and its `isdisabled`.
pub(super) fn user(id: Uuid) -> Request {
    get(format!("systemusers({id})?$select=systemuserid,isdisabled"))
}

/// Reads a queue and its state.
pub(super) fn queue(id: Uuid) -> Request {
    get(format!("queues({id})?$select=queueid,statecode"))
}

/// Reads a workstream of Omnichannel.
pub(super) fn workstream(id: Uuid) -> Request {
    get(format!("msdyn_liveworkstreams({id})?$select=msdyn_liveworkstreamid"))
}

/// Reads the state of a customer.
pub(super) fn customer(path: &str) -> Request {
    get(format!("{path}?$select=statecode"))
}

/// Reads a row that a property names as `/subjects(<id>)`.
pub(super) fn row(path: &str) -> Request {
    get(path.trim_start_matches('/'))
}

/// Reads the definition of an entity set's table.
pub(super) fn table(set: &str) -> Request {
    let set = utf8_percent_encode(set, LITERAL);
    get(format!("EntityDefinitions?$select=LogicalName,SchemaName,EntitySetName&$filter=EntitySetName%20eq%20'{set}'"))
}

/// Reads all privileges that a user has through its own roles.
pub(super) fn privileges(user: Uuid) -> Request {
    get(format!("systemusers({user})/Microsoft.Dynamics.CRM.RetrieveUserPrivileges()"))
}

/// Reads one privilege of a user, held through its own roles or those of its teams.
pub(super) fn privilege(user: Uuid, name: &str) -> Request {
    let name = utf8_percent_encode(name, LITERAL);
    get(format!(
        "systemusers({user})/Microsoft.Dynamics.CRM.RetrieveUserPrivilegeByPrivilegeName(PrivilegeName='{name}')"
    ))
}

/// Reads the rights that column security gives a user.
pub(super) fn column_rights(user: Uuid) -> Request {
    get(format!("systemusers({user})/Microsoft.Dynamics.CRM.RetrievePrincipalAttributePrivileges()"))
}

/// Reads the secured columns of a table.
pub(super) fn secured_columns(table: &str) -> Request {
    get(format!(
        "EntityDefinitions(LogicalName='{table}')/Attributes?$select=LogicalName,MetadataId&$filter=IsSecured%20eq%20true"
    ))
}

/// Reads the maximum length of a case's description.
pub(super) fn description_length() -> Request {
    length("incident", "description", "Memo")
}

/// Reads the maximum length of a live work item's subject, in a column of this type (`String`, `Memo`).
pub(super) fn subject_length(table: &str, kind: &str) -> Request {
    length(&utf8_percent_encode(table, LITERAL).to_string(), "subject", kind)
}

fn length(table: &str, column: &str, kind: &str) -> Request {
    get(format!(
        "EntityDefinitions(LogicalName='{table}')/Attributes(LogicalName='{column}')/Microsoft.Dynamics.CRM.{kind}AttributeMetadata\
         ?$select=MaxLength"
    ))
}

/// Reads the blocked file extensions of attachments.
pub(super) fn blocked_attachments() -> Request {
    get("organizations?$select=blockedattachments&$top=1")
}

/// Reads the valid priorities of a case.
pub(super) fn priorities() -> Request {
    get(format!(
        "{CASE}/Attributes(LogicalName='prioritycode')/Microsoft.Dynamics.CRM.PicklistAttributeMetadata\
         ?$select=LogicalName&$expand=OptionSet($select=Options)"
    ))
}

/// Reads the columns of a case.
pub(super) fn columns() -> Request {
    get(format!("{CASE}/Attributes?$select=LogicalName,AttributeType"))
}

/// Reads the lookups of a case with the names they are bound by.
pub(super) fn lookups() -> Request {
    get(format!("{CASE}/ManyToOneRelationships?$select=ReferencingEntityNavigationPropertyName,ReferencingAttribute"))
}

const CASE: &str = "EntityDefinitions(LogicalName='incident')";

fn get(path: impl Into<String>) -> Request {
    Request { method: Method::Get, path: path.into(), headers: Vec::new(), body: None }
}
