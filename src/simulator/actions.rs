//! Actions and functions of the Web API.

use axum::http::Method;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answer::SimulatedAnswer;
use super::closing::{self, object};
use super::context::RequestContext;
use super::guard;
use super::metadata;
use super::payload::{self, Changes};
use super::privileges::{self, PrivilegeVerb};
use super::queueing;
use super::refusal::Refusal;
use super::rules::{AccessRight, PluginMessage, SecuredColumn};
use super::states::{self, RESOLVED};
use super::table::Table;
use super::target;
use super::write;

/// Performs an action or function that is not bound to a row.
pub(super) fn unbound(scene: &mut RequestContext<'_>, name: &str) -> Result<SimulatedAnswer, Refusal> {
    match (name, &scene.call.method) {
        ("CloseIncident", &Method::POST) => close_incident(scene),
        ("WhoAmI", &Method::GET) => Ok(who_am_i(scene)),
        ("CloseIncident" | "WhoAmI", method) => {
            let message = format!("The requested resource does not support http method '{method}'.");
            Err(Refusal::new(405, "0x0", message))
        }
        _ => Err(Refusal::not_simulated(name)),
    }
}

/// Performs an action or function bound to a row.
pub(super) fn bound(
    scene: &mut RequestContext<'_>,
    table: &Table,
    key: Uuid,
    name: &str,
) -> Result<SimulatedAnswer, Refusal> {
    if !name.starts_with("Microsoft.Dynamics.CRM.") {
        return Err(Refusal::no_table(name));
    }
    match (table.set.as_str(), target::bare(name)) {
        ("queues", "AddToQueue") => add_to_queue(scene, key),
        ("systemusers", "RetrieveUserPrivileges") => user_privileges(scene, table, key, None),
        ("systemusers", "RetrieveUserPrivilegeByPrivilegeName") => {
            let wanted = name.split('\'').nth(1).unwrap_or_default();
            user_privileges(scene, table, key, Some(wanted))
        }
        ("systemusers", "RetrievePrincipalAttributePrivileges") => column_rights(scene, table, key),
        (set, _) => Err(Refusal::no_table(&format!("{name}' on '{set}"))),
    }
}

/// Resolves an incident. A second call for the same incident is an error.
fn close_incident(scene: &mut RequestContext<'_>) -> Result<SimulatedAnswer, Refusal> {
    let resolutions = scene.table("incidentresolutions")?;
    let incidents = scene.table("incidents")?;
    let mut body = parameters(scene, resolutions, "CloseIncident", &["IncidentResolution", "Status"])?;
    let Some(Value::Object(resolution)) = body.remove("IncidentResolution") else {
        return Err(missing("IncidentResolution"));
    };
    let status = body.get("Status").and_then(Value::as_i64).ok_or_else(|| missing("Status"))?;
    let mut changes = Changes::read(resolution, resolutions, &scene.live.schema)?;
    let bound = changes.binds.iter().find(|(link, _)| link.property == "incidentid");
    let incident = bound.and_then(|(_, key)| *key).ok_or_else(|| missing("incidentid"))?;

    scene.require_privilege(PrivilegeVerb::Write, incidents)?;
    let row = guard::accessible(scene, incidents, incident, AccessRight::Write)?;
    guard::plugins(scene, incidents, PluginMessage::Update)?;
    closing::check(scene, row)?;
    // -1 selects the default status.
    let status = if status == -1 { 5 } else { status };
    let allowed = states::states(incidents).iter().find(|(state, ..)| *state == RESOLVED);
    if !allowed.is_some_and(|(.., statuses)| statuses.contains(&status)) {
        return Err(Refusal::bad_state(incidents, incident, status, "Resolved"));
    }
    changes.values.remove("statecode");
    changes.values.remove("statuscode");
    let key = changes.key.unwrap_or_else(Uuid::new_v4);
    write::insert(scene, resolutions, key, changes)?;
    closing::complete(scene.rows, resolutions, incident, scene.now, closing::COMPLETED);
    let resolved = object(json!({"statecode": RESOLVED, "statuscode": status}));
    scene.rows.put(incidents, incident, resolved, scene.now);
    scene.touched.set(Some((incidents, incident)));
    Ok(SimulatedAnswer::empty())
}

/// Adds a row to a queue. A row already in this queue is an error; a row in another queue moves.
fn add_to_queue(scene: &mut RequestContext<'_>, queue: Uuid) -> Result<SimulatedAnswer, Refusal> {
    let (queues, items) = (scene.table("queues")?, scene.table("queueitems")?);
    let known = ["Target", "SourceQueue", "QueueItemProperties"];
    let body = parameters(scene, items, "AddToQueue", &known)?;
    let Some(Value::Object(target)) = body.get("Target") else {
        return Err(missing("Target"));
    };
    let (table, key) = target_row(scene, items, target)?;
    scene.require_privilege(PrivilegeVerb::AppendTo, queues)?;
    for verb in [PrivilegeVerb::Create, PrivilegeVerb::Read, PrivilegeVerb::Write, PrivilegeVerb::Append] {
        scene.require_privilege(verb, items)?;
    }
    scene.row(queues, queue)?;
    let row = guard::accessible(scene, table, key, AccessRight::Read)?;
    if row.value("statecode").as_i64().is_some_and(|state| state != 0) {
        return Err(Refusal::new(400, "0x8004051e", "Deactivated object cannot be added to queue."));
    }
    let there = queueing::item(scene.rows, items, key);
    if there.is_some_and(|item| item.lookup("_queueid_value") == Some(queue)) {
        let code = &scene.live.settings.already_queued;
        let message = "An item with the same object is already in the specified queue; it already exists there.";
        return Err(Refusal::new(400, code, message));
    }
    let message = if there.is_some() { PluginMessage::Update } else { PluginMessage::Create };
    guard::plugins(scene, items, message)?;
    let item = queueing::place(scene.rows, &scene.live.schema, (table, key), queue, scene.now);
    scene.touched.set(Some((table, key)));
    let context = scene.context("Microsoft.Dynamics.CRM.AddToQueueResponse");
    Ok(SimulatedAnswer::odata(200, &json!({"@odata.context": context, "QueueItemId": item})))
}

/// Returns the row that `Target` names by type and key.
fn target_row<'a>(
    scene: &RequestContext<'a>,
    items: &Table,
    target: &Map<String, Value>,
) -> Result<(&'a Table, Uuid), Refusal> {
    let of_type = target.get("@odata.type").and_then(Value::as_str);
    let logical = of_type.and_then(|name| name.trim_start_matches('#').strip_prefix("Microsoft.Dynamics.CRM."));
    let Some(logical) = logical else {
        let problem = "The type 'Microsoft.Dynamics.CRM.crmbaseentity' is abstract: '@odata.type' must name the type of 'Target'.";
        return Err(Refusal::payload(items, problem));
    };
    let table = scene.live.schema.logical(logical);
    let table =
        table.ok_or_else(|| Refusal::payload(items, &format!("A type named '{logical}' could not be resolved.")))?;
    let key = target.get(&table.key).and_then(Value::as_str).and_then(|key| key.parse().ok());
    let key =
        key.ok_or_else(|| Refusal::payload(items, "EdmEntityObject passed should have the key property value set."))?;
    Ok((table, key))
}

fn who_am_i(scene: &RequestContext<'_>) -> SimulatedAnswer {
    let id = |name: &str| Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{}/{name}", scene.base).as_bytes());
    let body = json!({
        "@odata.context": scene.context("Microsoft.Dynamics.CRM.WhoAmIResponse"),
        "BusinessUnitId": id("businessunit"), "UserId": scene.user, "OrganizationId": id("organization"),
    });
    SimulatedAnswer::odata(200, &body)
}

/// Returns all privileges of a user, or only the named one if the user holds it.
fn user_privileges(
    scene: &RequestContext<'_>,
    users: &Table,
    user: Uuid,
    wanted: Option<&str>,
) -> Result<SimulatedAnswer, Refusal> {
    scene.row(users, user)?;
    let held =
        privileges::held(privileges::taken_from(&scene.live.settings, scene.user, user), scene.live.schema.tables());
    let held = held.iter().filter(|name| wanted.is_none_or(|wanted| wanted == *name));
    let held: Vec<Value> = held
        .map(|name| json!({"Depth": "Global", "PrivilegeId": privileges::id(name), "PrivilegeName": name}))
        .collect();
    let context = scene.context("Microsoft.Dynamics.CRM.RetrieveUserPrivilegesResponse");
    Ok(SimulatedAnswer::odata(200, &json!({"@odata.context": context, "RolePrivileges": held})))
}

/// Returns the secured columns with the rights of a user: 4 is allowed, 0 is not. Only the application user has a profile.
fn column_rights(scene: &RequestContext<'_>, users: &Table, user: Uuid) -> Result<SimulatedAnswer, Refusal> {
    scene.row(users, user)?;
    let secured = scene.live.settings.secured_columns.iter().filter(|_| user == scene.user);
    let rights = secured.filter_map(|(name, rule)| {
        let (set, column) = name.split_once('.')?;
        let id = metadata::attribute_id(scene.live.schema.table(set)?, column);
        let (read, write) = match rule {
            SecuredColumn::Refused => return None,
            SecuredColumn::Hidden => (0, 4),
            SecuredColumn::Granted => (4, 4),
        };
        Some(json!({"AttributeId": id, "CanRead": read, "CanCreate": write, "CanUpdate": write}))
    });
    let rights: Vec<Value> = rights.collect();
    let context = scene.context("Microsoft.Dynamics.CRM.RetrievePrincipalAttributePrivilegesResponse");
    Ok(SimulatedAnswer::odata(200, &json!({"@odata.context": context, "AttributePrivileges": rights})))
}

/// Returns the body of an action after checking that it has no other parameters than these.
fn parameters(
    scene: &RequestContext<'_>,
    table: &Table,
    action: &str,
    known: &[&str],
) -> Result<Map<String, Value>, Refusal> {
    let body = payload::object(scene.call, table)?;
    match body.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(Refusal::new(
            400,
            "0x80048d19",
            format!(
                "The parameter '{name}' in the request payload is not a valid parameter for the operation '{action}'."
            ),
        )),
        None => Ok(body),
    }
}

fn missing(parameter: &str) -> Refusal {
    Refusal::new(400, "0x80040203", format!("Required field '{parameter}' is missing"))
}
