//! One organization's Dynamics, in maps: what each step does there, at once and all of it.

use std::collections::{BTreeMap, BTreeSet};

use handoffd::event::{Body, ContactId, Event, EventId, Handoff, IncidentId, WorkItemId};
use handoffd::machine::{Closing, Fit, LinkedCustomer, QueueBinding, Receipt, Step};
use uuid::Uuid;

/// Longer transcripts do not fit into the description.
pub const LONGEST_TRANSCRIPT: usize = 2;

/// What this environment wants: each may be so or not.
#[derive(Clone, Copy, Default, Debug)]
pub struct Profile {
    pub queue_undeclared: bool,
    pub customer_required: bool,
    pub close_by_action: bool,
}

/// The records.
#[derive(Default)]
pub struct Environment {
    pub profile: Profile,
    /// In order of creation, by email.
    pub contacts: Vec<(ContactId, String)>,
    pub incidents: BTreeMap<IncidentId, Incident>,
    pub work_items: BTreeMap<WorkItemId, EventId>,
    /// What reps have deleted.
    pub deleted: BTreeSet<IncidentId>,
}

#[derive(Clone, Debug)]
pub struct Incident {
    pub event: EventId,
    pub customer: Option<ContactId>,
    pub notes: u32,
    pub queue_items: u32,
    pub open: bool,
    /// The resolutions that closed it: each time it really was open.
    pub closed_by: Vec<EventId>,
    pub reopened: bool,
    /// Closings after a rep had reopened it.
    pub closed_again: u32,
}

impl Environment {
    /// Does a step, as often as it is asked for: keys are derived from the event.
    pub fn perform(&mut self, step: &Step, event: &Event) -> Receipt {
        match step {
            Step::LookUpContact => self.look_up(&email(event)),
            Step::CreateContact { generation } => self.create_contact(event, *generation),
            Step::CreatePlaceholder => {
                let id = ContactId(derive(&["placeholder", event.key.organization_id.as_str()]));
                if !self.has_contact(id) {
                    self.contacts.push((id, String::new()));
                }
                Receipt::PlaceholderReady(id)
            }
            Step::PostIncident { customer, queue } => self.post(event, *customer, *queue),
            Step::AssignQueue { incident } => {
                // "Already in this queue" is success.
                if let Some(row) = self.incidents.get_mut(incident) {
                    row.queue_items = 1;
                }
                Receipt::QueueAssigned
            }
            Step::AttachTranscript { incident } => {
                if let Some(row) = self.incidents.get_mut(incident) {
                    row.notes = 1;
                }
                Receipt::TranscriptAttached
            }
            Step::PostLiveWorkItem => {
                let id = WorkItemId(derive(&["work item", event.key.event_id.as_str()]));
                self.work_items.insert(id, event.key.event_id.clone());
                Receipt::WorkItemPosted(id)
            }
            Step::CloseIncident { incident, how } => self.close(*incident, *how, event),
        }
    }

    fn look_up(&self, email: &str) -> Receipt {
        let found = self.contacts.iter().find(|(_, known)| known == email);
        found.map_or(Receipt::ContactAbsent, |(id, _)| Receipt::ContactFound(*id))
    }

    fn create_contact(&mut self, event: &Event, generation: u8) -> Receipt {
        let email = email(event);
        let id = ContactId(derive(&["contact", event.key.organization_id.as_str(), &email, &generation.to_string()]));
        match self.contacts.iter().find(|(known, _)| *known == id) {
            Some((_, known)) if *known == email => {}
            Some(_) => return Receipt::ContactKeyTaken,
            None => self.contacts.push((id, email)),
        }
        Receipt::ContactCreated(id)
    }

    fn post(&mut self, event: &Event, customer: LinkedCustomer, queue: QueueBinding) -> Receipt {
        // The body is looked at before the key.
        if queue == QueueBinding::Bound && self.profile.queue_undeclared {
            return Receipt::QueueFieldUndeclared;
        }
        let linked = match customer {
            LinkedCustomer::Nobody if self.profile.customer_required => return Receipt::CustomerRequired,
            LinkedCustomer::Nobody | LinkedCustomer::Fallback(_) => None,
            LinkedCustomer::Contact(id) if !self.has_contact(id) => return Receipt::ContactGone,
            LinkedCustomer::Placeholder(id) if !self.has_contact(id) => return Receipt::PlaceholderGone,
            LinkedCustomer::Contact(id) | LinkedCustomer::Placeholder(id) => Some(id),
        };
        let id = incident_of(event);
        if !self.deleted.contains(&id) {
            self.incidents.entry(id).or_insert_with(|| Incident {
                event: event.key.event_id.clone(),
                customer: linked,
                notes: 0,
                queue_items: u32::from(queue == QueueBinding::Bound),
                open: true,
                closed_by: Vec::new(),
                reopened: false,
                closed_again: 0,
            });
        }
        let long = handoff(event).transcript.len() > LONGEST_TRANSCRIPT;
        Receipt::IncidentPosted {
            id,
            ticket_number: Some(format!("CAS-{}", event.key.event_id)),
            customer,
            queue,
            transcript: if long { Fit::Cut } else { Fit::Whole },
        }
    }

    fn close(&mut self, incident: IncidentId, how: Closing, event: &Event) -> Receipt {
        let insists = self.profile.close_by_action && how == Closing::Patch;
        let Some(row) = self.incidents.get_mut(&incident) else { return Receipt::IncidentMissing(incident) };
        if insists {
            return Receipt::CloseActionRequired;
        }
        if row.open {
            row.open = false;
            row.closed_by.push(event.key.event_id.clone());
            row.closed_again += u32::from(row.reopened);
        }
        Receipt::IncidentClosed(incident)
    }

    fn has_contact(&self, id: ContactId) -> bool {
        self.contacts.iter().any(|(known, _)| *known == id)
    }
}

/// The key of a handoff's incident.
pub fn incident_of(event: &Event) -> IncidentId {
    IncidentId(derive(&["incident", event.key.organization_id.as_str(), event.key.event_id.as_str()]))
}

fn derive(parts: &[&str]) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, parts.join("\0").as_bytes())
}

fn email(event: &Event) -> String {
    handoff(event).customer.email.as_deref().expect("a contact is made for an email").to_lowercase()
}

fn handoff(event: &Event) -> &Handoff {
    match &event.body {
        Body::Handoff(handoff) => handoff,
        Body::Resolution(_) => panic!("a resolution was to make a record"),
    }
}
