//! Open connections: their number is bounded, in all and for each address, and a new one is never kept waiting.
//!
//! Beyond a bound the connection that has been silent longest is closed: of the same address, or of the address with most
//! connections. One that has just been opened comes last: it may still wait for the thread that busy ones occupy. So clients
//! that hold connections, or keep them busy, keep out neither each other nor anyone else.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Limit of open connections.
const MOST: usize = 512;
/// Limit of open connections of one address; a proxy needs fewer.
const MOST_OF_ONE: usize = 64;
/// Time in which a new connection is not closed for another one before its first request, unless all are as new.
const FIRST_REQUEST: Duration = Duration::from_secs(2);

/// Connections that are open.
#[derive(Clone, Default)]
pub(super) struct Connections(Arc<Mutex<OpenConnections>>);

#[derive(Default)]
struct OpenConnections {
    next: u64,
    open: HashMap<u64, OpenConnection>,
}

struct OpenConnection {
    peer: IpAddr,
    /// Time of its beginning.
    opened: Instant,
    /// Time of its last request, if any.
    active: Option<Instant>,
    close: CancellationToken,
}

/// One open connection; forgotten when dropped.
pub(super) struct ConnectionPlace {
    id: u64,
    close: CancellationToken,
    all: Connections,
}

impl Connections {
    /// Adds a connection, and closes another one if there are too many.
    pub(super) fn admit(&self, peer: IpAddr) -> ConnectionPlace {
        let mut all = self.lock();
        if let Some(victim) = all.victim(peer).and_then(|id| all.open.remove(&id)) {
            victim.close.cancel();
        }
        let (id, close) = (all.next, CancellationToken::new());
        all.next += 1;
        all.open.insert(id, OpenConnection { peer, opened: Instant::now(), active: None, close: close.clone() });
        ConnectionPlace { id, close, all: self.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, OpenConnections> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionPlace {
    /// Notes that the connection is in use.
    pub(super) fn touch(&self) {
        if let Some(open) = self.all.lock().open.get_mut(&self.id) {
            open.active = Some(Instant::now());
        }
    }

    /// Completes when the connection is to make way for another one.
    pub(super) async fn revoked(&self) {
        self.close.cancelled().await;
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        self.all.lock().open.remove(&self.id);
    }
}

impl OpenConnections {
    /// Returns the connection to be closed for a new one of this address, if any.
    fn victim(&self, peer: IpAddr) -> Option<u64> {
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for connection in self.open.values() {
            *counts.entry(connection.peer).or_default() += 1;
        }
        let of = if counts.get(&peer).is_some_and(|count| *count >= MOST_OF_ONE) {
            peer
        } else if self.open.len() >= MOST {
            counts.into_iter().max_by_key(|(_, count)| *count)?.0
        } else {
            return None;
        };
        let theirs = self.open.iter().filter(|(_, connection)| connection.peer == of);
        theirs.min_by_key(|(id, connection)| (connection.is_new(), connection.last_used(), **id)).map(|(id, _)| *id)
    }
}

impl OpenConnection {
    fn is_new(&self) -> bool {
        self.active.is_none() && self.opened.elapsed() < FIRST_REQUEST
    }

    fn last_used(&self) -> Instant {
        self.active.unwrap_or(self.opened)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    fn is_open(place: &ConnectionPlace) -> bool {
        !place.close.is_cancelled()
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_its_limit_an_address_loses_the_connection_that_was_silent_longest() {
        let all = Connections::default();
        let other = all.admit(address(9));
        let places: Vec<_> = (0..MOST_OF_ONE).map(|_| all.admit(address(1))).collect();
        tokio::time::advance(FIRST_REQUEST).await;
        places[0].touch();
        let newest = all.admit(address(1));
        assert!(is_open(&places[0]) && !is_open(&places[1]) && is_open(&places[2]));
        assert!(is_open(&newest) && is_open(&other));
        drop(newest);
        let again = all.admit(address(1));
        assert!(is_open(&again) && is_open(&places[2]), "a place that was left is free");
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_is_not_closed_for_others_while_busy_ones_delay_it() {
        let all = Connections::default();
        let busy: Vec<_> = (0..MOST_OF_ONE).map(|_| all.admit(address(1))).collect();
        let mut waiting = Vec::new();
        for _ in 0..8 {
            tokio::time::advance(Duration::from_millis(10)).await;
            waiting.push(all.admit(address(1)));
            busy.iter().for_each(ConnectionPlace::touch);
        }
        assert!(waiting.iter().all(is_open));
        tokio::time::advance(FIRST_REQUEST).await;
        _ = all.admit(address(1));
        assert!(!is_open(&waiting[0]), "it has had its time");
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_limit_of_all_the_busiest_address_loses_one() {
        let all = Connections::default();
        let few = all.admit(address(200));
        let busy: Vec<_> = (0..MOST_OF_ONE).map(|_| all.admit(address(1))).collect();
        let rest: Vec<_> = (10..110).cycle().take(MOST - MOST_OF_ONE - 1).map(|n| all.admit(address(n))).collect();
        assert!(busy.iter().chain(&rest).all(is_open));
        let newest = all.admit(address(250));
        assert!(is_open(&newest) && is_open(&few) && rest.iter().all(is_open));
        assert_eq!(busy.iter().filter(|place| !is_open(place)).count(), 1);
    }
}
