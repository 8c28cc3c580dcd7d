//! One organization's Dynamics, in maps. Each step takes effect at once and completely.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use handoffd_engine::event::{Body, ContactId, Event, EventId, Handoff, IncidentId, WorkItemId};
use handoffd_engine::workflow::{Closing, Fit, LinkedCustomer, QueueBinding, Receipt, Step, elapsed};
use jiff::Timestamp;
use uuid::Uuid;

/// Longest transcript that fits into the description.
pub const LONGEST_TRANSCRIPT: usize = 2;

/// Requirements of this environment, each on or off.
#[derive(Clone, Copy, Default, Debug)]
pub struct Profile {
    pub queue_undeclared: bool,
    pub customer_required: bool,
    pub close_by_action: bool,
}

/// Records of one organization.
#[derive(Default)]
pub struct Environment {
    pub profile: Profile,
    /// Contacts with their emails, in order of creation.
    pub contacts: Vec<(ContactId, String)>,
    pub incidents: BTreeMap<IncidentId, Incident>,
    pub work_items: BTreeMap<WorkItemId, EventId>,
    /// Cases deleted by reps.
    pub deleted: BTreeSet<IncidentId>,
}

#[derive(Clone, Debug)]
pub struct Incident {
    pub event: EventId,
    pub customer: Option<ContactId>,
    pub notes: u32,
    pub queue_items: u32,
    pub open: bool,
    /// Resolutions that closed the case while it was open.
    pub closed_by: Vec<EventId>,
    pub reopened: bool,
    /// Number of closings after a rep had reopened the case.
    pub closed_again: u32,
    /// Time of the last change.
    pub modified: Duration,
    /// Times of the closings.
    pub resolved: Vec<Duration>,
    /// True if a rep has moved the case to another queue.
    pub moved: bool,
    /// Number of times the case was pulled from the queue that a rep chose.
    pub pulled_back: u32,
}

/// Point in time by both clocks. Dynamics' clock is right.
#[derive(Clone, Copy)]
pub struct Moment {
    pub elapsed: Duration,
    /// Time by the worker's clock.
    pub now: Timestamp,
}

impl Moment {
    /// Converts a time of the worker's clock to Dynamics' clock.
    fn of(self, time: Timestamp) -> Duration {
        self.elapsed.saturating_sub(elapsed(time, self.now))
    }

    /// Converts a time of Dynamics' clock to a timestamp in its answers.
    fn told(time: Duration) -> Timestamp {
        Timestamp::UNIX_EPOCH.checked_add(time).unwrap()
    }

    fn read(told: Timestamp) -> Duration {
        elapsed(Timestamp::UNIX_EPOCH, told)
    }
}

impl Incident {
    fn etag(&self) -> String {
        format!("W/{}", self.modified.as_nanos())
    }

    /// Reopens the case, as a rep does.
    pub fn reopen(&mut self, at: Duration) {
        (self.open, self.reopened, self.modified) = (true, true, at);
    }
}

impl Environment {
    /// Performs a step; `None` if the case is no longer of the version to close. Repetitions are idempotent because keys are
    /// derived from the event.
    pub fn perform(&mut self, step: &Step, event: &Event, at: Moment) -> Option<Receipt> {
        Some(match step {
            Step::LookUpContact => self.look_up(&email(event)),
            Step::CreateContact { generation } => self.create_contact(event, *generation),
            Step::CreatePlaceholder => {
                let id = ContactId(derive(&["placeholder", event.key.organization_id.as_str()]));
                if !self.has_contact(id) {
                    self.contacts.push((id, String::new()));
                }
                Receipt::PlaceholderReady(id)
            }
            Step::PostIncident { customer, queue } => self.post(event, *customer, *queue, at),
            Step::AssignQueue { incident } => {
                // "Already in this queue" counts as success.
                let Some(row) = self.incidents.get_mut(incident) else { return Some(Receipt::QueueAssigned) };
                if !row.open {
                    return Some(Receipt::ClosedBeforeQueued);
                }
                row.pulled_back += u32::from(row.moved);
                (row.queue_items, row.moved, row.modified) = (1, false, at.elapsed);
                Receipt::QueueAssigned
            }
            Step::AttachTranscript { incident, .. } => {
                if let Some(row) = self.incidents.get_mut(incident) {
                    row.notes = 1;
                }
                Receipt::TranscriptAttached
            }
            Step::PostLiveWorkItem { .. } => {
                let id = WorkItemId(derive(&["work item", event.key.event_id.as_str()]));
                self.work_items.insert(id, event.key.event_id.clone());
                Receipt::WorkItemPosted { id, subject_cut: false }
            }
            Step::LookForQueueItem { incident } => match self.incidents.get(incident) {
                Some(row) if row.queue_items > 0 => Receipt::QueueAssigned,
                _ => Receipt::NotInAnyQueue,
            },
            Step::CloseIncident { incident, how, etag } => {
                return self.close(*incident, *how, etag.as_deref(), event, at);
            }
            Step::LookAtIncident { incident, since } => self.look(*incident, at.of(*since)),
            Step::LookForResolution { incident, since } => {
                let since = Moment::read(*since);
                match self.incidents.get(incident) {
                    Some(row) if row.resolved.iter().any(|then| *then >= since) => Receipt::IncidentTouched(*incident),
                    _ => Receipt::IncidentNeverClosed,
                }
            }
        })
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

    fn post(&mut self, event: &Event, customer: LinkedCustomer, queue: QueueBinding, at: Moment) -> Receipt {
        // The body is validated before the key.
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
        let existed = self.incidents.contains_key(&id);
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
                modified: at.elapsed,
                resolved: Vec::new(),
                moved: false,
                pulled_back: 0,
            });
        }
        let long = handoff(event).transcript.len() > LONGEST_TRANSCRIPT;
        Receipt::IncidentPosted {
            id,
            ticket_number: Some(format!("CAS-{}", event.key.event_id)),
            customer,
            queue,
            transcript: if long { Fit::Cut } else { Fit::Whole },
            existed,
        }
    }

    fn close(
        &mut self,
        incident: IncidentId,
        how: Closing,
        etag: Option<&str>,
        event: &Event,
        at: Moment,
    ) -> Option<Receipt> {
        let needs_action = self.profile.close_by_action && how == Closing::Patch;
        let Some(row) = self.incidents.get_mut(&incident) else { return Some(Receipt::IncidentMissing(incident)) };
        if etag.is_some_and(|etag| how == Closing::Patch && etag != row.etag()) {
            return None;
        }
        if needs_action {
            return Some(Receipt::CloseActionRequired);
        }
        if row.open {
            row.open = false;
            row.closed_again += u32::from(row.reopened);
            row.closed_by.push(event.key.event_id.clone());
            row.modified = at.elapsed;
            row.resolved.push(at.elapsed);
        }
        Some(Receipt::IncidentClosed(incident))
    }

    /// Returns the state of a case that may have been closed since then.
    fn look(&self, incident: IncidentId, since: Duration) -> Receipt {
        match self.incidents.get(&incident) {
            None => Receipt::IncidentMissing(incident),
            Some(row) if !row.open => Receipt::IncidentClosed(incident),
            Some(row) if row.modified > since => Receipt::IncidentTouched(incident),
            Some(row) => Receipt::IncidentUnchanged { etag: row.etag(), since: Moment::told(since) },
        }
    }

    fn has_contact(&self, id: ContactId) -> bool {
        self.contacts.iter().any(|(known, _)| *known == id)
    }
}

/// Returns the key of a handoff's incident.
pub fn incident_of(event: &Event) -> IncidentId {
    IncidentId(derive(&["incident", event.key.organization_id.as_str(), event.key.event_id.as_str()]))
}

fn derive(parts: &[&str]) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, parts.join("\0").as_bytes())
}

fn email(event: &Event) -> String {
    handoff(event).customer.email.as_deref().expect("contacts are created only for events with an email").to_lowercase()
}

fn handoff(event: &Event) -> &Handoff {
    match &event.body {
        Body::Handoff(handoff) => handoff,
        Body::Resolution(_) => panic!("a resolution creates no records"),
    }
}
