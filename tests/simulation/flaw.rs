//! A rule of the adapter's that is broken on purpose: `SIMULATION_FLAW` names it, and the runs must find it.

use std::env;

/// A broken rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flaw {
    /// Events are put into a queue that was made just now.
    TrustsYoungQueues,
    /// The inbox is acknowledged before the copy is confirmed.
    AcksBeforeTheConfirm,
    /// What a dead letter or a retry is copied from is acknowledged before the copy is there.
    CopiesAfterTheAck,
    /// What is given back goes to the end of its queue: RabbitMQ 3.10 does so with `basic.nack` where a queue has no delivery limit
    /// (measured); what a closed channel gives back finds its old place.
    GivesBackToTheEnd,
}

impl Flaw {
    /// The flaw that these runs are played with.
    pub fn of_the_run() -> Option<Self> {
        match env::var("SIMULATION_FLAW").ok()?.as_str() {
            "trusts-young-queues" => Some(Self::TrustsYoungQueues),
            "acks-before-the-confirm" => Some(Self::AcksBeforeTheConfirm),
            "copies-after-the-ack" => Some(Self::CopiesAfterTheAck),
            "gives-back-to-the-end" => Some(Self::GivesBackToTheEnd),
            other => panic!("SIMULATION_FLAW={other:?} is none of ours"),
        }
    }
}
