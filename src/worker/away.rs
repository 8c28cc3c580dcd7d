//! Sessions with an event in a retry queue for no fault of its own: the organization was shut, or others were ahead. Those
//! that come after it wait behind it, or a resolution would close what is handed off only later.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::event::{Event, EventId, OrganizationId, SessionId};

/// An event that is so much too late has been taken by another worker, or by an operator: nobody waits for it.
const GRACE: Duration = Duration::from_secs(60);
/// What waits in a backlog for longer goes back to work.
const LONGEST_IN_BACKLOG: Duration = Duration::from_secs(600);
/// Most events to remember, some ten megabytes. Beyond it a resolution still waits for its handoff: the store knows of that.
const MOST: usize = 50_000;

/// Events that are away, by session.
#[derive(Default)]
pub(super) struct Away(Mutex<Sessions>);

#[derive(Default)]
struct Sessions {
    absent: HashMap<(OrganizationId, SessionId), Vec<Absent>>,
    count: usize,
}

struct Absent {
    event: EventId,
    /// When it may be back.
    back: Instant,
    /// When it must be.
    late: Instant,
}

impl Away {
    /// How long those of its session that are ahead of an event are still away; nothing when there are none.
    pub(super) fn ahead(&self, event: &Event) -> Option<Duration> {
        let mut sessions = self.lock();
        let now = Instant::now();
        let session = sessions.of(event)?;
        let ahead = session.iter().take_while(|absent| absent.event != event.key.event_id);
        let there = ahead.filter(|absent| now < absent.late);
        there.map(|absent| absent.back).max().map(|back| back.saturating_duration_since(now))
    }

    /// An event is over, or goes its own way: nobody waits for it any more, nor for those that should have been back long ago.
    pub(super) fn is_back(&self, event: &Event) {
        let mut sessions = self.lock();
        let now = Instant::now();
        let Some(session) = sessions.of(event) else { return };
        let before = session.len();
        session.retain(|absent| absent.event != event.key.event_id && now < absent.late);
        let after = session.len();
        sessions.count -= before - after;
        if after == 0 {
            sessions.absent.remove(&key(event));
        }
    }

    /// An event goes into a retry queue, and is back in so long. It keeps its place in its session.
    pub(super) fn leaves(&self, event: &Event, back_in: Duration) {
        self.remember(event, back_in, back_in + GRACE);
    }

    /// An event goes back into its backlog, where others of its session may be ahead of it by now.
    pub(super) fn returns_to_backlog(&self, event: &Event) {
        self.remember(event, Duration::ZERO, LONGEST_IN_BACKLOG + GRACE);
    }

    /// An event goes to the end of its backlog, as all of its organization do. Those that are there already may be of its
    /// session, and after it: so it keeps its place, where it has one.
    pub(super) fn joins_backlog(&self, event: &Event) {
        let has_place = |absent: &Absent| absent.event == event.key.event_id;
        let known = self.lock().of(event).is_some_and(|session| session.iter().any(has_place));
        if known {
            self.returns_to_backlog(event);
        }
    }

    fn remember(&self, event: &Event, back_in: Duration, late_in: Duration) {
        let mut sessions = self.lock();
        if sessions.count >= MOST {
            sessions.forget_the_late();
        }
        let full = sessions.count >= MOST;
        let (back, late) = (Instant::now() + back_in, Instant::now() + late_in);
        let session = sessions.absent.entry(key(event)).or_default();
        match session.iter_mut().find(|absent| absent.event == event.key.event_id) {
            Some(absent) => (absent.back, absent.late) = (back, late),
            None if full => {}
            None => {
                session.push(Absent { event: event.key.event_id.clone(), back, late });
                sessions.count += 1;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sessions {
    /// Those of an event's session that are away. Most often there is nobody at all.
    fn of(&mut self, event: &Event) -> Option<&mut Vec<Absent>> {
        if self.absent.is_empty() { None } else { self.absent.get_mut(&key(event)) }
    }

    fn forget_the_late(&mut self) {
        let now = Instant::now();
        self.absent.retain(|_, session| {
            session.retain(|absent| now < absent.late);
            !session.is_empty()
        });
        self.count = self.absent.values().map(Vec::len).sum();
    }
}

fn key(event: &Event) -> (OrganizationId, SessionId) {
    (event.key.organization_id.clone(), event.session_id().clone())
}

#[cfg(test)]
mod tests;
