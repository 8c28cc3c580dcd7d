//! Best-effort reading of a message that is not a valid event, for the headers of its dead letter.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::field;
use super::frame::{Frame, TopLevelFields};
use super::ids::{EventId, OrganizationId, SessionId};
use super::lax::Text;
use super::model::Kind;
use super::rejection::Seen;
use super::{instant, webhook_ids};

/// Returns every id that can be used, and leaves out the rest.
pub(super) fn seen(frame: &Frame<'_>) -> Seen {
    let event = frame.event.text().ok().flatten();
    let organization_id = frame.organization_id.id().ok().flatten();
    let data = frame.data.as_deref().map(members).unwrap_or_default();
    let session_id = id(&data, "session_id").or_else(|| id(&data, "conversation_id"));
    let given = frame.event_id.id().ok().flatten();
    let event_id = given.or_else(|| frame.message_id().ok().flatten()).or_else(|| match event.as_deref() {
        Some(webhook_ids::NAME) => {
            let (organization, session) = (organization_id.as_deref()?, session_id.as_deref()?);
            let timestamp = text(&data, "timestamp").and_then(|text| instant::parse(&text));
            let timestamp = timestamp.or_else(|| frame.timestamp.instant().ok().flatten());
            Some(webhook_ids::digest(organization, session, timestamp).into())
        }
        _ => None,
    });
    Seen {
        organization_id: organization_id.map(OrganizationId::from),
        event_id: event_id.map(EventId::from),
        session_id: session_id.map(SessionId::from),
        kind: event.as_deref().and_then(kind),
    }
}

/// Reads the top level of an object with duplicate fields; the last one counts.
pub(super) fn salvage(text: &str) -> TopLevelFields<'_> {
    let members = members(text);
    let get = |name: &str| members.0.get(name).copied();
    TopLevelFields {
        event: get("event"),
        event_id: get("event_id"),
        organization_id: get("organization_id"),
        timestamp: get("timestamp"),
        data: get("data"),
        specversion: get("specversion"),
        id: get("id"),
        kind: get("type"),
        time: get("time"),
        organizationid: get("organizationid"),
        data_base64: get("data_base64"),
    }
}

/// Returns the kind of event, as far as its name determines it.
fn kind(event: &str) -> Option<Kind> {
    if event.starts_with("session.handoff") {
        Some(Kind::Handoff)
    } else if event.starts_with("session.resolved") || event.starts_with("conversation.closed") {
        Some(Kind::Resolution)
    } else {
        None
    }
}

/// Members of an object that are used here. The others take no memory, however large they are.
#[derive(Default)]
struct Members<'a>(BTreeMap<&'static str, &'a RawValue>);

const NAMES: [&str; 13] = [
    "event",
    "event_id",
    "organization_id",
    "timestamp",
    "data",
    "specversion",
    "id",
    "type",
    "time",
    "organizationid",
    "data_base64",
    "session_id",
    "conversation_id",
];

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Members::default();
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            match NAMES.iter().find(|name| **name == key) {
                Some(name) => drop(members.0.insert(name, map.next_value()?)),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(members)
    }
}

/// Returns the members of an object, or of the only object in an array; empty for anything else.
fn members(json: &str) -> Members<'_> {
    let one = serde_json::from_str::<[&RawValue; 1]>(json).map_or(json, |[one]| one.get());
    serde_json::from_str(one).unwrap_or_default()
}

fn text<'a>(members: &Members<'a>, name: &str) -> Option<Cow<'a, str>> {
    let raw = members.0.get(name)?;
    serde_json::from_str::<Text<'a>>(raw.get()).ok()?.0
}

fn id<'a>(members: &Members<'a>, name: &str) -> Option<Cow<'a, str>> {
    field::id(text(members, name), name).ok().flatten()
}
