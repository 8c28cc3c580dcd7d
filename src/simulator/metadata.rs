//! Metadata of tables: `EntityDefinitions`, and a small `$metadata`.

use std::fmt::Write;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answer::SimulatedAnswer;
use super::context::RequestContext;
use super::filter::{Comparison, Filter};
use super::literal::Literal;
use super::refusal::Refusal;
use super::table::{Column, ColumnKind, Table};

/// Answers `EntityDefinitions<rest>`.
pub(super) fn definitions(scene: &RequestContext<'_>, rest: &str) -> Result<SimulatedAnswer, Refusal> {
    let (key, rest) = keyed(rest);
    let Some(key) = key else {
        return list(scene, rest);
    };
    let tables = scene.live.schema.tables().iter();
    let named = |table: &&Table| key == table.logical || key.parse() == Ok(id(&table.logical));
    let Some(table) = tables.into_iter().find(named) else {
        return Err(Refusal::new(404, "0x80060888", format!("Entity not found: '{key}'.")));
    };
    match rest {
        "" => one(scene, "EntityDefinitions/$entity", definition(table)),
        "/Keys" | "/ManyToManyRelationships" => many(scene, rest, Vec::new()),
        "/ManyToOneRelationships" => many(scene, rest, many_to_one(scene, table)),
        "/OneToManyRelationships" => {
            let others = scene.live.schema.tables().iter();
            let all = others.flat_map(|other| many_to_one(scene, other));
            many(scene, rest, all.filter(|link| link["ReferencedEntity"] == table.logical.as_str()).collect())
        }
        _ => match rest.strip_prefix("/Attributes") {
            Some(rest) => attributes(scene, table, rest),
            None => Err(Refusal::no_table(rest.trim_start_matches('/'))),
        },
    }
}

/// Returns `$metadata`, limited to types and keys.
pub(super) fn document(scene: &RequestContext<'_>) -> SimulatedAnswer {
    let mut types = String::new();
    let mut sets = String::new();
    for table in scene.live.schema.tables() {
        let (logical, set, key) = (&table.logical, &table.set, &table.key);
        // Writing to a String can't fail.
        let _ = write!(types, "<EntityType Name=\"{logical}\"><Key><PropertyRef Name=\"{key}\"/></Key>");
        for column in table.columns.iter().filter(|column| column.kind != ColumnKind::Open) {
            let _ = write!(types, "<Property Name=\"{}\" Type=\"{}\"/>", column.name, column.kind.edm());
        }
        types.push_str("</EntityType>");
        let _ = write!(sets, "<EntitySet Name=\"{set}\" EntityType=\"Microsoft.Dynamics.CRM.{logical}\"/>");
    }
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><edmx:Edmx Version=\"4.0\" xmlns:edmx=\"http://docs.oasis-open.org/odata/ns/edmx\">\
         <edmx:DataServices><Schema Namespace=\"Microsoft.Dynamics.CRM\" Alias=\"mscrm\" \
         xmlns=\"http://docs.oasis-open.org/odata/ns/edm\">{types}<EntityContainer Name=\"System\">{sets}</EntityContainer>\
         </Schema></edmx:DataServices></edmx:Edmx>"
    );
    SimulatedAnswer::typed(200, "application/xml", text)
}

/// Returns `EntityDefinitions`: all, or that of one `LogicalName` or `EntitySetName`.
fn list(scene: &RequestContext<'_>, rest: &str) -> Result<SimulatedAnswer, Refusal> {
    if !rest.is_empty() {
        return Err(Refusal::no_table(rest.trim_start_matches('/')));
    }
    let wanted = match scene.call.option("$filter").map(Filter::parse).transpose()? {
        None => None,
        Some(Filter::Compare(name, Comparison::Equal, Literal::Text(text)))
            if matches!(name.as_str(), "LogicalName" | "EntitySetName") =>
        {
            Some((name, text))
        }
        Some(_) => return Err(Refusal::not_simulated("this filter of EntityDefinitions")),
    };
    let tables = scene.live.schema.tables().iter();
    let named = |table: &Table, (name, text): &(String, String)| match name.as_str() {
        "LogicalName" => *text == table.logical,
        _ => *text == table.set,
    };
    let tables = tables.filter(|table| wanted.as_ref().is_none_or(|wanted| named(table, wanted)));
    many(scene, "EntityDefinitions", tables.map(definition).collect())
}

fn attributes(scene: &RequestContext<'_>, table: &Table, rest: &str) -> Result<SimulatedAnswer, Refusal> {
    let (key, rest) = keyed(rest);
    let cast = rest.strip_prefix("/Microsoft.Dynamics.CRM.");
    let Some(name) = key else {
        let secured = secured_filter(scene)?;
        let fits = |attribute: &Value| {
            cast.is_none_or(|cast| attribute["@odata.type"] == format!("#Microsoft.Dynamics.CRM.{cast}"))
        };
        let wanted = |attribute: &Value| secured.is_none_or(|secured| attribute["IsSecured"] == secured);
        let all = table.columns.iter().map(|column| attribute(scene, table, column));
        return many(scene, "Attributes", all.filter(fits).filter(wanted).collect());
    };
    let column = table.queried(&name);
    let attribute = column.map(|column| attribute(scene, table, column)).filter(|attribute| {
        cast.is_none_or(|cast| attribute["@odata.type"] == format!("#Microsoft.Dynamics.CRM.{cast}"))
    });
    let attribute = attribute.ok_or_else(|| {
        let message = format!("Could not find an attribute with specified name '{name}' on '{}'.", table.logical);
        Refusal::new(404, "0x80060888", message)
    })?;
    one(scene, "Attributes/$entity", attribute)
}

/// Returns the value of `IsSecured` in `$filter`.
fn secured_filter(scene: &RequestContext<'_>) -> Result<Option<bool>, Refusal> {
    match scene.call.option("$filter").map(Filter::parse).transpose()? {
        None => Ok(None),
        Some(Filter::Compare(name, Comparison::Equal, Literal::Flag(value))) if name == "IsSecured" => Ok(Some(value)),
        Some(_) => Err(Refusal::not_simulated("this filter of Attributes")),
    }
}

/// Returns the id of an attribute in its definition and in column security.
pub(super) fn attribute_id(table: &Table, logical: &str) -> Uuid {
    id(&format!("{}.{logical}", table.logical))
}

fn definition(table: &Table) -> Value {
    json!({
        "MetadataId": id(&table.logical),
        "LogicalName": table.logical,
        "SchemaName": table.schema_name,
        "EntitySetName": table.set,
        "LogicalCollectionName": table.set,
        "DisplayName": label(&table.display),
        "PrimaryIdAttribute": table.key,
        "PrimaryNameAttribute": table.name,
        "PrimaryImageAttribute": null,
        "ObjectTypeCode": table.type_code,
        "OwnershipType": "UserOwned",
        "IsCustomEntity": table.type_code >= 10_000,
    })
}

fn attribute(scene: &RequestContext<'_>, table: &Table, column: &Column) -> Value {
    let logical = column.name.strip_prefix('_').and_then(|name| name.strip_suffix("_value"));
    let logical = logical.unwrap_or(&column.name);
    let secured = &scene.live.settings.secured_columns;
    let (kind, limit) = match &column.kind {
        ColumnKind::Key => ("Uniqueidentifier", None),
        ColumnKind::Text(limit) => ("String", Some(limit)),
        ColumnKind::Memo(limit) => ("Memo", Some(limit)),
        ColumnKind::Whole(..) => ("Integer", None),
        ColumnKind::Choice(_) => ("Picklist", None),
        ColumnKind::Flag => ("Boolean", None),
        ColumnKind::Time => ("DateTime", None),
        ColumnKind::Lookup => ("Lookup", None),
        ColumnKind::File | ColumnKind::Open => ("String", None),
        ColumnKind::State(_) => ("State", None),
        ColumnKind::Status => ("Status", None),
    };
    let mut attribute = json!({
        "@odata.type": format!("#Microsoft.Dynamics.CRM.{kind}AttributeMetadata"),
        "MetadataId": attribute_id(table, logical),
        "LogicalName": logical,
        "IsSecured": secured.contains_key(&format!("{}.{logical}", table.set)),
        "SchemaName": logical,
        "EntityLogicalName": table.logical,
        "AttributeType": kind,
        "AttributeTypeName": {"Value": format!("{kind}Type")},
        "DisplayName": label(logical),
    });
    if let Some(limit) = limit {
        attribute["MaxLength"] = (*limit).into();
    }
    if let ColumnKind::Choice(options) = &column.kind {
        let options = options.iter().map(|(value, name)| json!({"Value": value, "Label": label(name)}));
        attribute["OptionSet"] = json!({"Options": options.collect::<Vec<_>>()});
    }
    attribute
}

fn many_to_one(scene: &RequestContext<'_>, table: &Table) -> Vec<Value> {
    let links = table.links.iter().filter_map(|link| {
        let target = scene.live.schema.table(link.target)?;
        Some(json!({
            "MetadataId": id(&format!("{}.{}", table.logical, link.property)),
            "SchemaName": format!("{}_{}", target.logical, link.property),
            "ReferencingEntity": table.logical,
            "ReferencingAttribute": link.lookup,
            "ReferencingEntityNavigationPropertyName": link.property,
            "ReferencedEntity": target.logical,
            "ReferencedAttribute": target.key,
            "ReferencedEntityNavigationPropertyName": format!("{}_{}", table.logical, link.property),
            "RelationshipType": "OneToManyRelationship",
        }))
    });
    links.collect()
}

fn one(scene: &RequestContext<'_>, context: &str, value: Value) -> Result<SimulatedAnswer, Refusal> {
    let mut body = json!({"@odata.context": scene.context(context)});
    if let (Some(body), Value::Object(value)) = (body.as_object_mut(), selected(scene, value)?) {
        body.extend(value);
    }
    Ok(SimulatedAnswer::odata(200, &body))
}

fn many(scene: &RequestContext<'_>, context: &str, values: Vec<Value>) -> Result<SimulatedAnswer, Refusal> {
    let values = values.into_iter().map(|value| selected(scene, value));
    let values = values.collect::<Result<Vec<_>, _>>()?;
    let context = scene.context(context.trim_start_matches('/'));
    Ok(SimulatedAnswer::odata(200, &json!({"@odata.context": context, "value": values})))
}

/// Returns the properties selected by `$select`.
fn selected(scene: &RequestContext<'_>, value: Value) -> Result<Value, Refusal> {
    let (Some(select), Value::Object(all)) = (scene.call.option("$select"), &value) else {
        return Ok(value);
    };
    let mut kept = Map::new();
    for name in ["@odata.type", "MetadataId"].into_iter().chain(select.split(',').map(str::trim)) {
        match all.get(name) {
            Some(value) => drop(kept.insert(name.into(), value.clone())),
            None if name.starts_with('@') => {}
            None => return Err(Refusal::query(format!("Could not find a property named '{name}'."))),
        }
    }
    // Expanded properties are kept, selected or not.
    if let (Some(_), Some(options)) = (scene.call.option("$expand"), all.get("OptionSet")) {
        kept.insert("OptionSet".into(), options.clone());
    }
    Ok(Value::Object(kept))
}

/// Splits `(LogicalName='x')/y` into `x` and `/y`.
fn keyed(rest: &str) -> (Option<String>, &str) {
    let parsed = rest.strip_prefix('(').and_then(|rest| rest.split_once(')'));
    let Some((key, rest)) = parsed else {
        return (None, rest);
    };
    let key = key.strip_prefix("LogicalName=").unwrap_or(key);
    (Some(key.trim_matches('\'').to_owned()), rest)
}

fn id(name: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
}

fn label(text: &str) -> Value {
    let label = json!({"Label": text, "LanguageCode": 1033});
    json!({"LocalizedLabels": [label], "UserLocalizedLabel": label})
}
