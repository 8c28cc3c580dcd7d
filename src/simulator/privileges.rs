//! Privileges of the application user and of owners of rows.

use uuid::Uuid;

use super::refusal::Refusal;
use super::settings::EnvironmentSettings;
use super::table::Table;

/// Kind of access that a privilege grants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PrivilegeVerb {
    /// Creating rows.
    Create,
    /// Reading rows.
    Read,
    /// Changing rows.
    Write,
    /// Deleting rows.
    Delete,
    /// Linking a row of this table to others.
    Append,
    /// Linking others to a row of this table.
    AppendTo,
}

const ALL: [PrivilegeVerb; 6] = [
    PrivilegeVerb::Create,
    PrivilegeVerb::Read,
    PrivilegeVerb::Write,
    PrivilegeVerb::Delete,
    PrivilegeVerb::Append,
    PrivilegeVerb::AppendTo,
];

/// Refuses if the privilege was taken from the caller.
pub(super) fn check(
    settings: &EnvironmentSettings,
    user: Uuid,
    verb: PrivilegeVerb,
    table: &Table,
) -> Result<(), Refusal> {
    refuse(&settings.missing_privileges, (user, user), verb, table)
}

/// Refuses an owner that may not read rows of the table.
pub(super) fn check_owner(
    settings: &EnvironmentSettings,
    caller: Uuid,
    owner: Uuid,
    table: &Table,
) -> Result<(), Refusal> {
    refuse(taken_from(settings, caller, owner), (owner, caller), PrivilegeVerb::Read, table)
}

/// Returns the privileges taken from this user, who may be the caller.
pub(super) fn taken_from(settings: &EnvironmentSettings, caller: Uuid, user: Uuid) -> &[String] {
    if user == caller { &settings.missing_privileges } else { &settings.missing_owner_privileges }
}

fn refuse(missing: &[String], (user, caller): (Uuid, Uuid), verb: PrivilegeVerb, table: &Table) -> Result<(), Refusal> {
    let name = name(verb, table);
    if !missing.contains(&name) {
        return Ok(());
    }
    let (id, code, logical, display) = (id(&name), table.type_code, &table.logical, &table.display);
    Err(Refusal::new(
        403,
        "0x80040220",
        format!(
            "Principal user (Id={user}, type=8, roleCount=1, privilegeCount=42, accessMode='4 Non-interactive') is missing \
             {name} privilege (Id={id}) on OTC={code} for entity '{logical}' (LocalizedName='{display}'). \
             context.Caller={caller}. Consider adding missed privilege to one of the principal (user/team) roles."
        ),
    ))
}

/// Returns the names of all privileges except the missing ones.
pub(super) fn held(missing: &[String], tables: &[Table]) -> Vec<String> {
    let names = tables.iter().flat_map(|table| ALL.map(|verb| name(verb, table)));
    names.filter(|name| !missing.contains(name)).collect()
}

/// Returns the id of a privilege, which is the same in every run.
pub(super) fn id(name: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
}

fn name(verb: PrivilegeVerb, table: &Table) -> String {
    format!("prv{verb:?}{}", table.privilege)
}
