//! Sessions with an event in a retry queue for no fault of its own: the organization was shut, or others were ahead. Those
//! that come after it wait behind it, or a resolution would close what is handed off only later.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::event::{Event, EventId, OrganizationId, SessionId};

/// An event that is so much too late has been taken by another worker, or by an operator: nobody waits for it.
const GRACE: Duration = Duration::from_secs(60);
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
    back: Instant,
}

impl Away {
    /// An event comes: how long those of its session that are ahead of it are still away; nothing when there are none, and
    /// then it is back.
    pub(super) fn ahead(&self, event: &Event) -> Option<Duration> {
        let mut sessions = self.lock();
        if sessions.count == 0 {
            return None;
        }
        let now = Instant::now();
        let Entry::Occupied(mut session) = sessions.absent.entry(key(event)) else { return None };
        let before = session.get().len();
        session.get_mut().retain(|absent| now < absent.back + GRACE);
        let ahead = session.get().iter().take_while(|absent| absent.event != event.key.event_id);
        let until = ahead.map(|absent| absent.back).max();
        if until.is_none() && !session.get().is_empty() {
            session.get_mut().remove(0);
        }
        let after = session.get().len();
        if after == 0 {
            session.remove();
        }
        sessions.count -= before - after;
        until.map(|back| back.saturating_duration_since(now))
    }

    /// An event goes away, and is back in so long. It keeps its place in its session.
    pub(super) fn leaves(&self, event: &Event, back_in: Duration) {
        let mut sessions = self.lock();
        if sessions.count >= MOST {
            sessions.forget_the_late();
        }
        let full = sessions.count >= MOST;
        let back = Instant::now() + back_in;
        let session = sessions.absent.entry(key(event)).or_default();
        match session.iter_mut().find(|absent| absent.event == event.key.event_id) {
            Some(absent) => absent.back = back,
            None if full => {}
            None => {
                session.push(Absent { event: event.key.event_id.clone(), back });
                sessions.count += 1;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sessions {
    fn forget_the_late(&mut self) {
        let now = Instant::now();
        self.absent.retain(|_, session| {
            session.retain(|absent| now < absent.back + GRACE);
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
