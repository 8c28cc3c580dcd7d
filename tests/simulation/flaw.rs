//! Rules of the adapters that can be broken on purpose. `SIMULATION_FLAW` names one, and the runs must detect it.

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
    /// Changes are stored under any claim.
    NoFence,
    /// An organization is taken over while its queue still has a consumer.
    IgnoresConsumers,
    /// Requests begin although the lease is not renewed.
    NoSelfStop,
    /// An organization is given back while its events are in progress.
    GivesBackEarly,
}

impl Flaw {
    /// Returns the flaw selected for these runs.
    pub fn of_the_run() -> Option<Self> {
        match env::var("SIMULATION_FLAW").ok()?.as_str() {
            "trusts-young-queues" => Some(Self::TrustsYoungQueues),
            "acks-before-the-confirm" => Some(Self::AcksBeforeTheConfirm),
            "copies-after-the-ack" => Some(Self::CopiesAfterTheAck),
            "gives-back-to-the-end" => Some(Self::GivesBackToTheEnd),
            "no-fence" => Some(Self::NoFence),
            "ignores-consumers" => Some(Self::IgnoresConsumers),
            "no-self-stop" => Some(Self::NoSelfStop),
            "gives-back-early" => Some(Self::GivesBackEarly),
            other => panic!("unknown SIMULATION_FLAW={other:?}; see tests/simulation/flaw.rs for the flaws"),
        }
    }
}
