//! `session.resolved`

use uuid::Uuid;

use super::field::{self, missing};
use super::frame::Data;
use super::handoff::{channel, session};
use super::ids::IncidentId;
use super::lax::Object;
use super::model::{Resolution, Verdict};
use super::problem::DecodeProblem;
use super::wire::{Meta, ResolvedData};

/// Validates `data` and converts it into the model.
pub(super) fn read(data: Data<'_>) -> Result<Resolution, DecodeProblem> {
    let path = data.path;
    let wire: ResolvedData<'_> = field::object(data.json, path)?.ok_or_else(|| missing(path, "an object"))?;
    Ok(Resolution {
        session_id: session(wire.session_id, &format!("{path}.session_id"))?,
        channel: channel(wire.channel, path)?,
        verdict: verdict(wire.status.0.as_deref().map(str::trim)),
        incident_id: incident(wire.meta, path)?,
    })
}

/// Reads `data.meta.dynamics365_incident_id`.
pub(super) fn incident(meta: Object<Meta<'_>>, path: &str) -> Result<Option<IncidentId>, DecodeProblem> {
    let Some(text) = meta.0.and_then(|meta| meta.dynamics365_incident_id.0) else {
        return Ok(None);
    };
    // Dynamics' own tools write GUIDs with and without braces; the crate reads both.
    match Uuid::try_parse(text.trim()) {
        Ok(id) => Ok(Some(IncidentId(id))),
        Err(_) => Err(DecodeProblem::at(
            format!("{path}.meta.dynamics365_incident_id"),
            "not a GUID; expected the incident id, such as 7d0ba8ad-8d4f-4d4e-8a8c-0d6a1c1d5a11, not the ticket number",
        )),
    }
}

/// Closes on every status except an explicit "not resolved" (contract 2).
fn verdict(status: Option<&str>) -> Verdict {
    let not_resolved = ["closed_unresolved", "not_resolved"];
    match status {
        Some(status) if not_resolved.iter().any(|not| status.eq_ignore_ascii_case(not)) => Verdict::NotResolved,
        _ => Verdict::Resolved,
    }
}
