//! Changes of many calls, folded so that each row is written once. Pure.
//!
//! A statement of PostgreSQL can't write a row twice, and most of what is noted of an event is superseded before it is
//! written. The maps are ordered: two workers lock rows in the same order, so their commits never wait for each other
//! in a circle.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use handoffd_engine::event::{ContactId, EventKey, OrganizationId, SessionId};
use handoffd_engine::ports::fleet::Claim;
use handoffd_engine::ports::store::Change;
use handoffd_engine::ports::store::queued::QueuedNote;
use handoffd_engine::workflow::{LearnedChange, Record, SessionEntry};
use jiff::Timestamp;
use uuid::Uuid;

use super::keys;

/// Rows to write. In a map of options `None` deletes the row. A row of an event has the number of the guarded call that
/// wrote it last, if there is one.
#[derive(Default, Debug)]
pub(super) struct Batch<'a> {
    /// Guards, at most one for each call.
    pub guards: Vec<RowGuard<'a>>,
    /// Records by the event's key.
    pub records: BTreeMap<Uuid, (&'a EventKey, &'a Record, GuardNumber)>,
    /// Notes of queued events by their own keys.
    pub queued: BTreeMap<Uuid, (&'a EventKey, Option<&'a QueuedNote>)>,
    /// Session entries by the keys of session and event.
    pub sessions: BTreeMap<(Uuid, Uuid), SessionWrite<'a>>,
    /// Contacts by key.
    pub contacts: BTreeMap<Uuid, (Option<(ContactId, Timestamp)>, GuardNumber)>,
    /// Requirements of environments.
    pub learned: BTreeMap<&'a OrganizationId, (LearnedChange, GuardNumber)>,
    /// Documents of saved organizations.
    pub organizations: BTreeMap<&'a OrganizationId, Option<&'a str>>,
    /// Times since which organizations are paused.
    pub pauses: BTreeMap<&'a OrganizationId, Option<Timestamp>>,
    /// Times at which organizations' queues were declared.
    pub queues: BTreeMap<&'a OrganizationId, Option<Timestamp>>,
}

/// Session entry to write.
#[derive(Debug)]
pub(super) struct SessionWrite<'a> {
    /// Time of the first change in this batch, which orders the session's entries unless the row exists already.
    pub first: Timestamp,
    /// Time of the last change.
    pub at: Timestamp,
    /// Entry after the last change.
    pub entry: &'a SessionEntry,
    /// Guard of the last change.
    pub guard: GuardNumber,
    /// Names of its session, of which the key is only a digest.
    pub names: (&'a OrganizationId, &'a SessionId),
}

/// Number of a guarded call; `None` for a row that needs no guard.
pub(super) type GuardNumber = Option<i32>;

/// Condition under which the rows of a call are written.
#[derive(Debug)]
pub(super) struct RowGuard<'a> {
    /// Number of the call.
    pub number: i32,
    /// Claim that must be the present one.
    pub claim: &'a Claim,
    /// Event that must not be finished.
    pub event: Option<Uuid>,
}

impl<'a> Batch<'a> {
    /// Folds the changes of calls in their order.
    pub(super) fn of(calls: impl Iterator<Item = &'a [Change]>) -> Self {
        let mut batch = Self::default();
        for (number, changes) in (0..).zip(calls) {
            let claim = changes.iter().find_map(|change| match change {
                Change::Guard(claim) => Some(claim),
                _ => None,
            });
            if let Some(claim) = claim {
                let event = changes.iter().find_map(|change| match change {
                    Change::Record(key, _) => Some(keys::event(key)),
                    _ => None,
                });
                batch.guards.push(RowGuard { number, claim, event });
            }
            for change in changes {
                batch.add(change, claim.map(|_| number));
            }
        }
        // Owners' rows are locked in the same order by every worker.
        batch.guards.sort_by_key(|guard| guard.claim);
        batch
    }

    fn add(&mut self, change: &'a Change, guard: GuardNumber) {
        match change {
            Change::Record(key, record) => {
                self.records.insert(keys::event(key), (key, record, guard));
                self.queued.insert(keys::queued(key), (key, None));
            }
            Change::Queued(key, note) => {
                self.queued.insert(keys::queued(key), (key, Some(note)));
            }
            Change::ForgetQueued(key) => {
                self.queued.insert(keys::queued(key), (key, None));
            }
            Change::Session { organization, session, entry, at } => {
                let event = EventKey { organization_id: organization.clone(), event_id: entry.event_id.clone() };
                let row = (keys::session(organization, session), keys::event(&event));
                let first = self.sessions.get(&row).map_or(*at, |before| before.first);
                let names = (organization, session);
                self.sessions.insert(row, SessionWrite { first, at: *at, entry, guard, names });
            }
            Change::Contact { organization, email, contact, at } => {
                self.contacts.insert(keys::contact(organization, email), (Some((*contact, *at)), guard));
            }
            Change::ForgetContact { organization, email } => {
                self.contacts.insert(keys::contact(organization, email), (None, guard));
            }
            Change::Learned(organization, change) => match self.learned.entry(organization) {
                Entry::Vacant(entry) => _ = entry.insert((change.clone(), guard)),
                Entry::Occupied(mut entry) => {
                    let (earlier, last) = entry.get_mut();
                    earlier.extend(change);
                    *last = guard;
                }
            },
            Change::Organization(saved) => {
                self.organizations.insert(&saved.id, Some(&saved.document));
            }
            Change::ForgetOrganization(organization) => {
                self.organizations.insert(organization, None);
            }
            Change::Pause(organization, since) => {
                self.pauses.insert(organization, Some(*since));
            }
            Change::Resume(organization) => {
                self.pauses.insert(organization, None);
            }
            Change::OrganizationQueue(organization, declared) => {
                self.queues.insert(organization, Some(*declared));
            }
            Change::ForgetOrganizationQueue(organization) => {
                self.queues.insert(organization, None);
            }
            Change::Guard(_) => {}
        }
    }

    /// Returns the times of the outcomes in this batch, in nanoseconds.
    pub(super) fn finish_times(&self) -> impl Iterator<Item = i64> {
        self.records.values().filter_map(|(_, record, _)| Some(keys::nanoseconds(record.outcome()?.finished_at)))
    }
}

/// Returns the key under which a reader of an event would miss this change, if it were read too early.
pub(super) fn read_key(change: &Change) -> Option<Uuid> {
    match change {
        Change::Record(key, _) => Some(keys::event(key)),
        Change::Session { organization, session, .. } => Some(keys::session(organization, session)),
        Change::Contact { organization, email, .. } | Change::ForgetContact { organization, email } => {
            Some(keys::contact(organization, email))
        }
        Change::Learned(organization, _) => Some(keys::organization(organization)),
        _ => None,
    }
}
