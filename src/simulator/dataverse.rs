//! Answers of the Web API, by address and method.

use axum::http::Method;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::actions;
use super::answer::SimulatedAnswer;
use super::context::RequestContext;
use super::metadata;
use super::privileges::PrivilegeVerb;
use super::query;
use super::read;
use super::refusal::Refusal;
use super::table::Table;
use super::target::Target;
use super::write;

/// Entity set of the environment's own settings.
const ORGANIZATIONS: &str = "organizations";
/// Extensions listed by an environment that blocks every attachment; Dataverse has no wildcard.
const EVERY_EXTENSION: &str = "csv;doc;docx;gif;htm;html;jpg;json;pdf;png;rtf;txt;xls;xlsx;xml;zip";

/// Performs the request.
pub(super) fn answer(scene: &mut RequestContext<'_>, target: &Target) -> Result<SimulatedAnswer, Refusal> {
    let method = scene.call.method.clone();
    match (target, &method) {
        (Target::Service, &Method::GET) => Ok(service(scene)),
        (Target::Metadata, &Method::GET) => Ok(metadata::document(scene)),
        (Target::Definitions(rest), &Method::GET) => metadata::definitions(scene, rest),
        (Target::Unbound(name), _) => actions::unbound(scene, name),
        (Target::Bound(set, key, name), _) => actions::bound(scene, scene.table(set)?, *key, name),
        // Clients query this table to find out whether bulk messages are supported. They are not.
        (Target::Rows(set), &Method::GET) if set == "sdkmessagefilters" => Ok(nothing(scene, set)),
        (Target::Rows(set) | Target::Row(set, _), method) if set == ORGANIZATIONS && *method != Method::GET => {
            Err(not_allowed(method))
        }
        (Target::Rows(set), _) => rows(scene, &method, set),
        (Target::Row(set, key), _) => row(scene, &method, set, *key),
        (Target::Property(set, key, name), &Method::GET) => {
            let table = scene.table(set)?;
            scene.require_privilege(PrivilegeVerb::Read, table)?;
            read::property(scene, table, *key, name)
        }
        (Target::BadKey(set, key), _) => {
            scene.table(set)?;
            let problem = format!("The key '{key}' of '{set}' is neither a GUID nor an alternate key of the table.");
            Err(Refusal::query(problem))
        }
        (Target::Batch, _) => Err(Refusal::not_simulated("$batch")),
        (Target::Unknown(segment), _) => Err(Refusal::no_table(segment)),
        (Target::Token(_), _) => Err(Refusal::no_table("token")),
        _ => Err(not_allowed(&method)),
    }
}

fn rows(scene: &mut RequestContext<'_>, method: &Method, set: &str) -> Result<SimulatedAnswer, Refusal> {
    let table = scene.table(set)?;
    match *method {
        Method::GET => {
            scene.require_privilege(PrivilegeVerb::Read, table)?;
            if set == ORGANIZATIONS {
                organization(scene, table);
            }
            query::rows(scene, table)
        }
        Method::POST => write::create(scene, table),
        _ => Err(not_allowed(method)),
    }
}

fn row(scene: &mut RequestContext<'_>, method: &Method, set: &str, key: Uuid) -> Result<SimulatedAnswer, Refusal> {
    let table = scene.table(set)?;
    match *method {
        Method::GET => {
            scene.require_privilege(PrivilegeVerb::Read, table)?;
            read::row(scene, table, key)
        }
        Method::PATCH => write::update(scene, table, key),
        Method::DELETE => write::delete(scene, table, key),
        _ => Err(not_allowed(method)),
    }
}

/// Writes the single row of the environment's own settings from its current switches.
fn organization(scene: &mut RequestContext<'_>, table: &Table) {
    let blocked = &scene.live.settings.blocked_attachments;
    let blocked = if blocked.iter().any(|extension| extension == "*") { EVERY_EXTENSION } else { &blocked.join(";") };
    let values =
        Map::from_iter([("name".to_owned(), "Simulated".into()), ("blockedattachments".to_owned(), blocked.into())]);
    let key = Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{}/organization", scene.base).as_bytes());
    scene.rows.put(table, key, values, scene.now);
}

fn service(scene: &RequestContext<'_>) -> SimulatedAnswer {
    let tables = scene.live.schema.tables().iter();
    let sets: Vec<Value> =
        tables.map(|table| json!({"name": table.set, "kind": "EntitySet", "url": table.set})).collect();
    let context = format!("{}/api/data/v9.2/$metadata", scene.base);
    SimulatedAnswer::odata(200, &json!({"@odata.context": context, "value": sets}))
}

fn nothing(scene: &RequestContext<'_>, set: &str) -> SimulatedAnswer {
    SimulatedAnswer::odata(200, &json!({"@odata.context": scene.context(set), "value": []}))
}

fn not_allowed(method: &Method) -> Refusal {
    let message = format!("The requested resource does not support http method '{method}'.");
    Refusal::new(405, "0x0", message)
}
