//! Preview of the requests that an event would cause. Sends none.

use handoffd_engine::event::{Body, Event, Handoff, IncidentId, Resolution, Route, Verdict};
use handoffd_engine::workflow::{
    CloseWith, Closing, ContactFailure, Fit, LinkedCustomer, NoteForm, QueueAssignment, QueueBinding, Settings, Step,
    contact_limit,
};

use super::description::describe;
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

const ALWAYS: &str = "always";

/// Returns every request that the event may cause, in order.
pub fn explain(event: &Event, settings: &Settings) -> Vec<Explained> {
    let steps = match &event.body {
        Body::Handoff(handoff) if handoff.channel.route() == Route::LiveWorkItem => {
            vec![(Step::PostLiveWorkItem { subject_limit: None }, ALWAYS.to_owned())]
        }
        Body::Handoff(handoff) => incident(event, handoff, settings),
        Body::Resolution(resolution) => close(resolution, settings),
    };
    steps.into_iter().map(|(step, when)| Explained { request: request(&step, event, settings), when }).collect()
}

type Steps = Vec<(Step, String)>;

fn incident(event: &Event, handoff: &Handoff, settings: &Settings) -> Steps {
    if is_refused(handoff, settings) {
        return Vec::new();
    }
    let (mut steps, customer) = contact(event, handoff);
    let queue = match (settings.default_queue_id, settings.queue_assignment) {
        (None, _) => QueueBinding::NoQueue,
        (Some(_), QueueAssignment::AddToQueue) => QueueBinding::Unbound,
        (Some(_), _) if settings.binds_queue_itself() => QueueBinding::NoQueue,
        (Some(_), QueueAssignment::Auto | QueueAssignment::Bind) => QueueBinding::Bound,
    };
    steps.push((Step::PostIncident { customer, queue }, ALWAYS.to_owned()));
    if customer == LinkedCustomer::Nobody && !settings.binds_customer_itself() {
        steps.extend(with_a_customer(event, settings, queue));
    }
    let id = keys::incident(&event.key);
    if queue == QueueBinding::Bound && settings.queue_assignment == QueueAssignment::Auto {
        let when = format!("after the environment has reported that it has no property {}", settings.queue_field);
        steps.push((Step::PostIncident { customer, queue: QueueBinding::Unbound }, when.clone()));
        steps.push((Step::AssignQueue { incident: id }, when));
    } else if queue == QueueBinding::Unbound {
        steps.push((Step::AssignQueue { incident: id }, ALWAYS.to_owned()));
    }
    if describe(handoff, settings.description_limit).fit == Fit::Cut {
        let when =
            format!("always, because the description is longer than {} UTF-16 units", settings.description_limit);
        steps.push((Step::AttachTranscript { incident: id, part: NoteForm::Attachment }, when));
    }
    steps
}

/// Returns true for an email too long for a contact in an organization that requires one. The event becomes a dead letter without
/// any request.
fn is_refused(handoff: &Handoff, settings: &Settings) -> bool {
    let too_long = handoff.customer.email.as_ref().is_some_and(|email| !contact_limit::fits(email));
    too_long && settings.contact_failure == ContactFailure::DeadLetter
}

fn contact(event: &Event, handoff: &Handoff) -> (Steps, LinkedCustomer) {
    let Some(email) = handoff.customer.email.as_ref().filter(|email| contact_limit::fits(email)) else {
        return (Vec::new(), LinkedCustomer::Nobody);
    };
    let steps = vec![
        (Step::LookUpContact, "unless the contact of this email is cached".to_owned()),
        (Step::CreateContact { generation: 0 }, "if no contact has this email".to_owned()),
    ];
    // Dynamics returns the key of an existing contact; a new one gets this key.
    (steps, LinkedCustomer::Contact(keys::contact(&event.key.organization_id, email, 0)))
}

fn with_a_customer(event: &Event, settings: &Settings, queue: QueueBinding) -> Steps {
    let when = "if the environment refuses an incident without a customer".to_owned();
    if let Some(fallback) = settings.fallback_customer {
        return vec![(Step::PostIncident { customer: LinkedCustomer::Fallback(fallback), queue }, when)];
    }
    let customer = LinkedCustomer::Placeholder(keys::placeholder(&event.key.organization_id));
    let once = format!("{when}, once for the organization");
    vec![(Step::CreatePlaceholder, once), (Step::PostIncident { customer, queue }, when)]
}

fn close(resolution: &Resolution, settings: &Settings) -> Steps {
    if resolution.verdict == Verdict::NotResolved {
        return Vec::new();
    }
    let (incident, whose) = match resolution.incident_id {
        Some(id) => (id, "for the incident that the event names, if the store has no record of the session"),
        None => (PLACEHOLDER_INCIDENT, "for each incident of the session that the store records as open"),
    };
    let by = |how| Step::CloseIncident { incident, how, etag: None };
    match settings.close_with {
        CloseWith::Patch => vec![(by(Closing::Patch), whose.to_owned())],
        CloseWith::CloseIncident => vec![(by(Closing::Action), whose.to_owned())],
        CloseWith::Auto => vec![
            (by(Closing::Patch), whose.to_owned()),
            (by(Closing::Action), format!("{whose}, after the environment has required CloseIncident")),
        ],
    }
}

#[cfg(test)]
mod tests;
