//! Rules of the adapter that can be broken on purpose. `SIMULATION_FLAW` names one, and the runs must detect it.

use std::env;

/// Broken rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flaw {
    /// Events are published to a queue that was just created.
    TrustsYoungQueues,
    /// The message in the inbox is acknowledged before its copy is confirmed.
    AcksBeforeTheConfirm,
    /// The source of a dead letter or a retry is acknowledged before the copy is published.
    CopiesAfterTheAck,
    /// A message given back goes to the end of its queue. RabbitMQ 3.10 does this for `basic.nack` on a queue without a delivery
    /// limit (measured); messages given back by a closed channel return to their old position.
    GivesBackToTheEnd,
}

impl Flaw {
    /// Returns the flaw selected for these runs.
    pub fn of_the_run() -> Option<Self> {
        match env::var("SIMULATION_FLAW").ok()?.as_str() {
            "trusts-young-queues" => Some(Self::TrustsYoungQueues),
            "acks-before-the-confirm" => Some(Self::AcksBeforeTheConfirm),
            "copies-after-the-ack" => Some(Self::CopiesAfterTheAck),
            "gives-back-to-the-end" => Some(Self::GivesBackToTheEnd),
            other => panic!("unknown SIMULATION_FLAW={other:?}; see tests/simulation/flaw.rs for the flaws"),
        }
    }
}
