//! Preview of the requests that an event would cause. Sends none.
//!
//! The preview walks through the workflow itself: each step gets the receipt that a healthy environment would give, and
//! once more each receipt by which an environment shows a peculiarity.

use std::time::Duration;

use handoffd_engine::event::{Body, Event, IncidentId, Resolution};
use handoffd_engine::workflow::{
    Decision, Fit, Memory, NoteForm, Progress, Receipt, SessionEntry, SessionState, Settings, Step, Time, apply,
    decide, learn,
};
use jiff::Timestamp;

use super::description::fit;
use super::keys;
use super::request::{Request, request};

/// A request and the condition for sending it.
#[derive(Clone, PartialEq, Debug)]
pub struct Explained {
    /// Request exactly as it would be sent.
    pub request: Request,
    /// Condition in words, or `always`.
    pub when: String,
}

/// Placeholder in [`explain`] for the incident of a resolution, whose id is in the store only.
pub const PLACEHOLDER_INCIDENT: IncidentId = IncidentId(uuid::Uuid::nil());

/// Returns every request that the event may cause, in order.
pub fn explain(event: &Event, settings: &Settings) -> Vec<Explained> {
    let steps = Preview::starts(event, settings).into_iter().flat_map(|start| steps(start, settings));
    steps.map(|(step, when)| Explained { request: request(&step, event, settings), when }).collect()
}

/// Returns the steps from a start, each with its condition.
fn steps(start: Preview<'_>, settings: &Settings) -> Vec<(Step, String)> {
    let usual = start.remaining_steps();
    let mut steps = Vec::new();
    for (walk, step) in &usual {
        steps.push((step.clone(), walk.condition(step)));
        for (peculiarity, reason) in peculiarities(settings) {
            let other = walk.after(&peculiarity).filter(|other| other.next().as_ref() != Some(step));
            let others = other.map(Preview::remaining_steps).unwrap_or_default();
            let new = others.into_iter().filter(|(_, other)| !usual.iter().any(|(_, step)| step == other));
            steps.extend(new.map(|(walk, other)| {
                let when = walk.condition_after(&other, &reason);
                (other, when)
            }));
        }
    }
    steps
}

/// Receipts that show a peculiarity of the environment, each with the reason for the requests that follow it.
fn peculiarities(settings: &Settings) -> [(Receipt, String); 3] {
    let undeclared = format!("after the environment has reported that it has no property {}", settings.queue_field);
    [
        (Receipt::CustomerRequired, "if the environment refuses an incident without a customer".to_owned()),
        (Receipt::QueueFieldUndeclared, undeclared),
        (Receipt::CloseActionRequired, "after the environment has required CloseIncident".to_owned()),
    ]
}

/// Preview of an event through the workflow.
#[derive(Clone)]
struct Preview<'a> {
    event: &'a Event,
    settings: &'a Settings,
    memory: Memory,
    progress: Progress,
}

impl<'a> Preview<'a> {
    /// Returns the starts of an event: a resolution that names an incident closes others if its session is known.
    fn starts(event: &'a Event, settings: &'a Settings) -> Vec<Self> {
        let sessions = match &event.body {
            Body::Resolution(Resolution { incident_id: None, .. }) => vec![vec![open_incident(event)]],
            Body::Resolution(_) => vec![Vec::new(), vec![open_incident(event)]],
            Body::Handoff(_) => vec![Vec::new()],
        };
        let start = |session| {
            let memory = Memory { session, ..Memory::default() };
            Self { event, settings, memory, progress: Progress::default() }
        };
        sessions.into_iter().map(start).collect()
    }

    /// Returns the remaining steps, each with the walk before it.
    fn remaining_steps(self) -> Vec<(Self, Step)> {
        let mut steps = Vec::new();
        let mut walk = Some(self);
        while let Some((here, step)) = walk.and_then(|walk| walk.next().map(|step| (walk, step))) {
            walk = here.usual_receipt(&step).and_then(|receipt| here.after(&receipt));
            steps.push((here, step));
        }
        steps
    }

    fn next(&self) -> Option<Step> {
        let time = Time { now: Timestamp::UNIX_EPOCH, age: Duration::ZERO, attempts: 1 };
        match decide(self.event, self.settings, &self.memory, &self.progress, time) {
            Decision::Call(step) => Some(step),
            Decision::WaitForHandoff(_) | Decision::Finish(_) | Decision::Refuse(_) => None,
        }
    }

    fn after(&self, receipt: &Receipt) -> Option<Self> {
        let progress = apply(self.progress.clone(), receipt).ok()?;
        let memory = Memory { learned: learn(self.memory.learned, receipt), ..self.memory.clone() };
        Some(Self { memory, progress, ..*self })
    }

    /// Receipt for a step without a fault, for a customer who is new. `None` for a step that only follows an interrupted
    /// one.
    fn usual_receipt(&self, step: &Step) -> Option<Receipt> {
        let key = &self.event.key;
        Some(match step {
            Step::LookUpContact => Receipt::ContactAbsent,
            Step::CreateContact { generation } => {
                Receipt::ContactCreated(keys::contact(&key.organization_id, self.event.email()?, *generation))
            }
            Step::CreatePlaceholder => Receipt::PlaceholderReady(keys::placeholder(&key.organization_id)),
            Step::PostIncident { customer, queue } => Receipt::IncidentPosted {
                id: keys::incident(key),
                ticket_number: None,
                customer: *customer,
                queue: *queue,
                transcript: self.fit(),
                existed: false,
            },
            Step::AssignQueue { .. } => Receipt::QueueAssigned,
            Step::AttachTranscript { part: NoteForm::Attachment, .. } => Receipt::TranscriptAttached,
            Step::PostLiveWorkItem { .. } => Receipt::WorkItemPosted { id: keys::work_item(key), subject_cut: false },
            Step::CloseIncident { incident, .. } => Receipt::IncidentClosed(*incident),
            Step::AttachTranscript { part: NoteForm::Text(_), .. }
            | Step::LookForQueueItem { .. }
            | Step::LookAtIncident { .. }
            | Step::LookForResolution { .. } => return None,
        })
    }

    fn fit(&self) -> Fit {
        match &self.event.body {
            Body::Handoff(handoff) => fit(handoff, self.settings.description_limit),
            Body::Resolution(_) => Fit::Whole,
        }
    }

    fn condition(&self, step: &Step) -> String {
        match step {
            Step::LookUpContact => "unless the contact of this email is cached".to_owned(),
            Step::CreateContact { .. } => "if no contact has this email".to_owned(),
            Step::AttachTranscript { .. } => {
                let limit = self.settings.description_limit;
                format!("always, because the description is longer than {limit} UTF-16 units")
            }
            Step::CloseIncident { .. } if self.memory.session.is_empty() => {
                "for the incident that the event names, if the store has no record of the session".to_owned()
            }
            Step::CloseIncident { .. } => "for each incident of the session that the store records as open".to_owned(),
            _ => "always".to_owned(),
        }
    }

    fn condition_after(&self, step: &Step, reason: &str) -> String {
        match step {
            Step::CreatePlaceholder => format!("{reason}, once for the organization"),
            Step::CloseIncident { .. } => format!("{}, {reason}", self.condition(step)),
            _ => reason.to_owned(),
        }
    }
}

fn open_incident(event: &Event) -> SessionEntry {
    let state = SessionState::Open { incident: PLACEHOLDER_INCIDENT, ticket_number: None };
    SessionEntry { event_id: event.key.event_id.clone(), state, handed_off: None, closing: None }
}

#[cfg(test)]
mod tests;
