//! What a test asks: only reads, and only of what events need.

use percent_encoding::utf8_percent_encode;
use uuid::Uuid;

use crate::dynamics::request::{LITERAL, Method, Request};

/// The probe of "Test & Save"; one row's key, as the row itself is somebody's case.
pub(super) fn probe() -> Request {
    get("incidents?$select=incidentid&$top=1")
}

/// Who the application is in this environment.
pub(super) fn who_am_i() -> Request {
    get("WhoAmI")
}

/// A system user, and whether it is enabled.
pub(super) fn user(id: Uuid) -> Request {
    get(format!("systemusers({id})?$select=systemuserid,isdisabled"))
}

/// A queue, and whether it is active.
pub(super) fn queue(id: Uuid) -> Request {
    get(format!("queues({id})?$select=queueid,statecode"))
}

/// A workstream of Omnichannel.
pub(super) fn workstream(id: Uuid) -> Request {
    get(format!("msdyn_liveworkstreams({id})?$select=msdyn_liveworkstreamid"))
}

/// A customer, and whether it is active.
pub(super) fn customer(path: &str) -> Request {
    get(format!("{path}?$select=statecode"))
}

/// A row that a property names as `/subjects(<id>)`.
pub(super) fn row(path: &str) -> Request {
    get(path.trim_start_matches('/'))
}

/// The table of an entity set.
pub(super) fn table(set: &str) -> Request {
    let set = utf8_percent_encode(set, LITERAL);
    get(format!("EntityDefinitions?$select=LogicalName,SchemaName,EntitySetName&$filter=EntitySetName%20eq%20'{set}'"))
}

/// All privileges that a user has by its roles.
pub(super) fn privileges(user: Uuid) -> Request {
    get(format!("systemusers({user})/Microsoft.Dynamics.CRM.RetrieveUserPrivileges()"))
}

/// One privilege, if a user has it, by its roles or its teams'.
pub(super) fn privilege(user: Uuid, name: &str) -> Request {
    let name = utf8_percent_encode(name, LITERAL);
    get(format!(
        "systemusers({user})/Microsoft.Dynamics.CRM.RetrieveUserPrivilegeByPrivilegeName(PrivilegeName='{name}')"
    ))
}

/// Asks for the rights that column security gives a user.
pub(super) fn column_rights(user: Uuid) -> Request {
    get(format!("systemusers({user})/Microsoft.Dynamics.CRM.RetrievePrincipalAttributePrivileges()"))
}

/// The secured columns of a table.
pub(super) fn secured_columns(table: &str) -> Request {
    get(format!(
        "EntityDefinitions(LogicalName='{table}')/Attributes?$select=LogicalName,MetadataId&$filter=IsSecured%20eq%20true"
    ))
}

/// How long a case's description may be.
pub(super) fn description_length() -> Request {
    length("incident", "description", "Memo")
}

/// Asks for the longest subject of a live work item, in a column of this type (`String`, `Memo`).
pub(super) fn subject_length(table: &str, kind: &str) -> Request {
    length(&utf8_percent_encode(table, LITERAL).to_string(), "subject", kind)
}

fn length(table: &str, column: &str, kind: &str) -> Request {
    get(format!(
        "EntityDefinitions(LogicalName='{table}')/Attributes(LogicalName='{column}')/Microsoft.Dynamics.CRM.{kind}AttributeMetadata\
         ?$select=MaxLength"
    ))
}

/// Extensions that attachments of the environment must not have.
pub(super) fn blocked_attachments() -> Request {
    get("organizations?$select=blockedattachments&$top=1")
}

/// Which priorities a case may have.
pub(super) fn priorities() -> Request {
    get(format!(
        "{CASE}/Attributes(LogicalName='prioritycode')/Microsoft.Dynamics.CRM.PicklistAttributeMetadata\
         ?$select=LogicalName&$expand=OptionSet($select=Options)"
    ))
}

/// Every column of a case.
pub(super) fn columns() -> Request {
    get(format!("{CASE}/Attributes?$select=LogicalName,AttributeType"))
}

/// Every lookup of a case, by the name it is bound with.
pub(super) fn lookups() -> Request {
    get(format!("{CASE}/ManyToOneRelationships?$select=ReferencingEntityNavigationPropertyName,ReferencingAttribute"))
}

const CASE: &str = "EntityDefinitions(LogicalName='incident')";

fn get(path: impl Into<String>) -> Request {
    Request { method: Method::Get, path: path.into(), headers: Vec::new(), body: None }
}
