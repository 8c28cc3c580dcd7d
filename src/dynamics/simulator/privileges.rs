//! What the application user may do.

use uuid::Uuid;

use super::refusal::Refusal;
use super::schema::Table;
use super::settings::Settings;

/// What a privilege allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verb {
    /// New rows.
    Create,
    /// Looking at rows.
    Read,
    /// Changing rows.
    Write,
    /// Taking rows away.
    Delete,
    /// Linking a row of this table to others.
    Append,
    /// Linking others to a row of this table.
    AppendTo,
}

const ALL: [Verb; 6] = [Verb::Create, Verb::Read, Verb::Write, Verb::Delete, Verb::Append, Verb::AppendTo];

/// Refuses when the privilege was taken away.
pub(super) fn check(settings: &Settings, user: Uuid, verb: Verb, table: &Table) -> Result<(), Refusal> {
    let name = name(verb, table);
    if !settings.missing_privileges.contains(&name) {
        return Ok(());
    }
    let (id, code, logical, display) = (id(&name), table.type_code, &table.logical, &table.display);
    Err(Refusal::new(
        403,
        "0x80040220",
        format!(
            "Principal user (Id={user}, type=8, roleCount=1, privilegeCount=42, accessMode='4 Non-interactive') is missing \
             {name} privilege (Id={id}) on OTC={code} for entity '{logical}' (LocalizedName='{display}'). \
             context.Caller={user}. Consider adding missed privilege to one of the principal (user/team) roles."
        ),
    ))
}

/// The names of all that a user has from whom these were taken.
pub(super) fn held(missing: &[String], tables: &[Table]) -> Vec<String> {
    let names = tables.iter().flat_map(|table| ALL.map(|verb| name(verb, table)));
    names.filter(|name| !missing.contains(name)).collect()
}

/// A privilege's id: the same in every run.
pub(super) fn id(name: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
}

fn name(verb: Verb, table: &Table) -> String {
    format!("prv{verb:?}{}", table.privilege)
}
