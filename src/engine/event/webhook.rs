//! Decoding of OpenCX's public webhook `conversation.closed`: one conversation, or an array of them.

use serde_json::value::RawValue;

use super::decoded::Decoded;
use super::field::{self, missing};
use super::frame::{Data, Frame};
use super::handoff::{channel, session};
use super::ids::{EventId, EventKey, OrganizationId};
use super::lax::Text;
use super::model::{Body, Event, Resolution, Verdict};
use super::pieces;
use super::problem::DecodeProblem;
use super::resolution::incident;
use super::surrogate;
use super::webhook_ids::digest;
use super::wire::ClosedData;

/// Most conversations in one array. As separate messages they take far more bytes: a body of one mebibyte
/// could become half a million messages.
const MOST_PIECES: usize = 10_000;

/// Reads one conversation, or splits an array of several.
pub(super) fn read(frame: &Frame<'_>) -> Result<Decoded, DecodeProblem> {
    let organization = frame.organization()?;
    let data = frame.data()?;
    if !data.json.starts_with('[') {
        return one(frame, organization, data).map(Decoded::Event);
    }
    // A piece's id comes from its conversation, whatever is wrong with the other texts there.
    let mended = surrogate::replace_lone_surrogates(data.json.as_bytes()).and_then(|json| String::from_utf8(json).ok());
    let items: Vec<&RawValue> = serde_json::from_str(mended.as_deref().unwrap_or(data.json))
        .map_err(|_| DecodeProblem::at(data.path, "can't be parsed as an array"))?;
    match items.as_slice() {
        [] => Err(missing(data.path, "a conversation or an array of conversations")),
        [item] => {
            let data = Data { json: item.get(), path: "data[0]" };
            one(frame, organization, data).map(Decoded::Event)
        }
        items if items.len() > MOST_PIECES => {
            Err(DecodeProblem::at(data.path, format!("{} conversations, expected at most {MOST_PIECES}", items.len())))
        }
        items => pieces::of(frame, &organization, items).map(Decoded::Split),
    }
}

fn one(frame: &Frame<'_>, organization_id: OrganizationId, data: Data<'_>) -> Result<Event, DecodeProblem> {
    let path = data.path;
    let given = frame.event_id()?;
    let wire: ClosedData<'_> = field::object(data.json, path)?.ok_or_else(|| missing(path, "an object"))?;
    let timestamp = match &wire.timestamp.0 {
        Some(text) => Some(field::time(text, &format!("{path}.timestamp"))?),
        None => frame.timestamp.instant()?,
    };
    let resolution = Resolution {
        verdict: verdict(&wire),
        session_id: session(wire.conversation_id, &format!("{path}.conversation_id"))?,
        channel: channel(wire.channel.0, path)?,
        incident_id: incident(wire.meta, path)?,
    };
    let event_id =
        given.unwrap_or_else(|| digest(organization_id.as_str(), resolution.session_id.as_str(), timestamp).into());
    Ok(Event {
        key: EventKey { organization_id, event_id: EventId::from(event_id) },
        timestamp,
        body: Body::Resolution(resolution),
    })
}

/// Reads the result. A status set by a person takes precedence; the AI's status counts only if there is none.
fn verdict(wire: &ClosedData<'_>) -> Verdict {
    let is_set = |status: &Text<'_>| status.0.is_some();
    let resolved = |status: &Text<'_>| {
        let status = status.0.as_deref().unwrap_or_default();
        status.trim().eq_ignore_ascii_case("resolved")
    };
    let (human, either) = (&wire.human_resolution_status, &wire.resolution_status);
    let closes = if is_set(human) || is_set(either) {
        resolved(human) || resolved(either)
    } else {
        resolved(&wire.ai_resolution_status)
    };
    if closes { Verdict::Resolved } else { Verdict::NotResolved }
}
