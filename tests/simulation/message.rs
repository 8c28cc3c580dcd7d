//! A message of the broker in memory: what it carries, and where it is while it is in flight.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use handoffd_engine::event::{Envelope, OrganizationId};
use tokio::time::Instant;

#[derive(Clone, Debug)]
pub struct Message {
    pub envelope: Envelope,
    pub body: Bytes,
    pub routing_key: String,
    /// How often the inbox has delivered it without an end.
    pub deliveries: u64,
    /// The `redelivered` of an organization's queue.
    pub redelivered: bool,
    /// When it came into the inbox.
    pub arrived: Duration,
}

/// Where a message in flight came from, and goes back to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Place {
    Inbox,
    Organization(OrganizationId),
}

/// A message in flight.
pub struct Flying {
    pub message: Message,
    pub place: Place,
    /// Its place in the order of its queue.
    pub number: u64,
    pub consumer: u64,
    pub since: Instant,
}

impl Message {
    pub fn name(&self) -> &str {
        self.envelope.message_id.as_deref().unwrap_or("-")
    }
}

impl Flying {
    pub fn held(&self) -> Duration {
        self.since.elapsed()
    }
}

/// Those of one queue change places: the last one comes first.
pub fn reverse(back: &mut [Flying]) {
    let mut numbers: BTreeMap<Place, Vec<u64>> = BTreeMap::new();
    for flying in back.iter() {
        numbers.entry(flying.place.clone()).or_default().push(flying.number);
    }
    for numbers in numbers.values_mut() {
        numbers.sort_unstable();
    }
    back.sort_by_key(|flying| flying.number);
    for flying in back {
        flying.number = numbers.get_mut(&flying.place).and_then(Vec::pop).unwrap_or(flying.number);
    }
}
