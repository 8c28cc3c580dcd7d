//! Message of the broker in memory, and its place while in flight.

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
    /// Deliveries from the inbox without a settlement.
    pub deliveries: u64,
    /// `redelivered` flag in an organization's queue.
    pub redelivered: bool,
    /// Time of arrival in the inbox.
    pub arrived: Duration,
}

/// Origin of a message in flight, to which it returns if not settled.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Place {
    Inbox,
    Organization(OrganizationId),
}

/// Message in flight.
pub struct UnsettledMessage {
    pub message: Message,
    pub place: Place,
    /// Position in its queue.
    pub number: u64,
    pub consumer: u64,
    /// Process that has it.
    pub process: u32,
    pub since: Instant,
}

impl Message {
    pub fn name(&self) -> &str {
        self.envelope.message_id.as_deref().unwrap_or("-")
    }
}

impl UnsettledMessage {
    pub fn held(&self) -> Duration {
        self.since.elapsed()
    }
}

/// Reverses the order of the messages of each queue.
pub fn reverse(back: &mut [UnsettledMessage]) {
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
