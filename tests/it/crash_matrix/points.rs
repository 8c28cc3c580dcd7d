//! Named points between any two effects of the worker.

use dynamics_simulator::Profile;

use crate::support::event::ORGANIZATION;
use crate::support::files::Files;
use crate::support::frame_proxy::{Frame, Stop};

/// Point at which the worker is killed.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// Name in words.
    pub name: &'static str,
    /// Event in progress.
    pub of: Case,
    /// Moment of the kill.
    pub at: Moment,
}

/// Event in progress at the kill.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Case {
    /// Handoff of a new customer with a long transcript, to an incident in a queue.
    Incident,
    /// Handoff to a live work item.
    Chat,
    /// Resolution of a handed-off session.
    Resolution,
    /// Resolution whose case, if it is closed, a rep reopens between kill and restart.
    Reopened,
    /// The same, and the response to the closing is lost, so that the worker reads the case.
    Looked,
    /// The same, and the rep reopens the case before the worker reads it.
    LookedOpen,
    /// Handoff that Dynamics fails temporarily.
    Retried,
    /// Handoff that Dynamics refuses permanently.
    Refused,
}

impl Case {
    /// Returns true if a rep reopens the case.
    pub fn is_reopened(self) -> bool {
        matches!(self, Self::Reopened | Self::Looked | Self::LookedOpen)
    }
}

impl Point {
    /// Returns true if the outcome warns `close_unconfirmed`: the case was closed, no record of it is kept, and the case is
    /// open again.
    pub fn is_unconfirmed(&self) -> bool {
        self.of.is_reopened() && matches!(self.at, Moment::Done(_) | Moment::Asked(Operation::Named(_)))
    }
}

/// Moment of the kill.
#[derive(Clone, Copy, Debug)]
pub enum Moment {
    /// The request has arrived and had no effect yet.
    Asked(Operation),
    /// The request has had its effect, and its response is not sent.
    Done(Operation),
    /// The worker sends this message, and the broker does not receive it.
    Unsent(Message),
    /// The broker has stored the message, and the worker does not receive the confirm.
    Unconfirmed(Message),
    /// This message is stored and confirmed; the ack that follows does not reach the broker.
    Unacked(Message),
    /// The broker receives the ack that follows this message.
    Acked(Message),
}

/// Request to Dynamics.
#[derive(Clone, Copy, Debug)]
pub enum Operation {
    /// Name of the operation in the simulator.
    Named(&'static str),
    /// Closing of a case, by the request that this kind of environment requires.
    Close,
}

/// Message that the worker publishes.
#[derive(Clone, Copy, Debug)]
pub enum Message {
    /// Move from the inbox to the organization's queue.
    Move,
    /// Outcome to the outcomes exchange.
    Outcome,
    /// Copy to a retry queue.
    Retry,
    /// Copy to the dead-letter queue.
    DeadLetter,
}

impl Operation {
    /// Name of the operation in the simulator, for this kind of environment.
    pub fn name(self, profile: Profile) -> &'static str {
        match (self, profile) {
            (Self::Named(name), _) => name,
            (Self::Close, Profile::OpenCx) => "incidents.update",
            (Self::Close, Profile::Stock) => "CloseIncident",
        }
    }
}

impl Moment {
    /// Frame at which the sluice shuts for this moment, with these queue names.
    pub fn stop(self, files: &Files, retry_queue: &str) -> Option<Stop> {
        let to = |message| match message {
            Message::Move => files.organization_queue(ORGANIZATION),
            Message::Outcome => files.exchanges()[1].clone(),
            Message::Retry => retry_queue.to_owned(),
            Message::DeadLetter => files.dead_letter_queue(),
        };
        match self {
            Self::Asked(_) | Self::Done(_) => None,
            Self::Unsent(message) => Some(Stop::Before(Frame::Publish(to(message)))),
            Self::Unconfirmed(message) => Some(Stop::Before(Frame::Confirm(to(message)))),
            Self::Unacked(message) => Some(Stop::Before(Frame::Ack(to(message)))),
            Self::Acked(message) => Some(Stop::After(Frame::Ack(to(message)))),
        }
    }
}

/// All points, in the order in which an event reaches them.
pub const POINTS: [Point; 49] = {
    use Case::{Chat, Incident, Looked, LookedOpen, Refused, Reopened, Resolution, Retried};
    use Message::{DeadLetter, Move, Outcome, Retry};
    use Moment::{Acked, Asked, Done, Unacked, Unconfirmed, Unsent};
    use Operation::{Close, Named};
    const fn point(of: Case, name: &'static str, at: Moment) -> Point {
        Point { name, of, at }
    }
    [
        point(Incident, "copy for the organization unsent", Unsent(Move)),
        point(Incident, "copy for the organization safe, unconfirmed", Unconfirmed(Move)),
        point(Incident, "copy for the organization confirmed, unacked", Unacked(Move)),
        point(Incident, "moved to the organization's queue", Acked(Move)),
        point(Incident, "delivered, token asked for", Asked(Named("token"))),
        point(Incident, "token given", Done(Named("token"))),
        point(Incident, "contact asked for", Asked(Named("contacts.query"))),
        point(Incident, "contact looked up", Done(Named("contacts.query"))),
        point(Incident, "contact about to be made", Asked(Named("contacts.create"))),
        point(Incident, "contact made", Done(Named("contacts.create"))),
        point(Incident, "incident about to be made", Asked(Named("incidents.create"))),
        point(Incident, "incident made", Done(Named("incidents.create"))),
        point(Incident, "about to be put in its queue", Asked(Named("AddToQueue"))),
        point(Incident, "put in its queue", Done(Named("AddToQueue"))),
        point(Incident, "note about to be attached", Asked(Named("annotations.create"))),
        point(Incident, "note attached", Done(Named("annotations.create"))),
        point(Incident, "record kept, outcome unsent", Unsent(Outcome)),
        point(Incident, "outcome safe, unconfirmed", Unconfirmed(Outcome)),
        point(Incident, "outcome confirmed, unacked", Unacked(Outcome)),
        point(Incident, "acked", Acked(Outcome)),
        point(Chat, "work item about to be made", Asked(Named("oc_liveworkitems.create"))),
        point(Chat, "work item made", Done(Named("oc_liveworkitems.create"))),
        point(Chat, "record kept, outcome unsent", Unsent(Outcome)),
        point(Chat, "outcome confirmed, unacked", Unacked(Outcome)),
        point(Resolution, "copy for the organization confirmed, unacked", Unacked(Move)),
        point(Resolution, "case about to be closed", Asked(Close)),
        point(Resolution, "case closed", Done(Close)),
        point(Resolution, "record kept, outcome unsent", Unsent(Outcome)),
        point(Resolution, "outcome confirmed, unacked", Unacked(Outcome)),
        point(Reopened, "copy for the organization confirmed, unacked", Unacked(Move)),
        point(Reopened, "case about to be closed", Asked(Close)),
        point(Reopened, "case closed", Done(Close)),
        point(Reopened, "record kept, outcome unsent", Unsent(Outcome)),
        point(Reopened, "outcome safe, unconfirmed", Unconfirmed(Outcome)),
        point(Reopened, "outcome confirmed, unacked", Unacked(Outcome)),
        point(Reopened, "acked", Acked(Outcome)),
        point(Looked, "case asked for", Asked(Named("incidents.read"))),
        point(Looked, "case read", Done(Named("incidents.read"))),
        point(LookedOpen, "case resolutions asked for", Asked(Named("incidentresolutions.query"))),
        point(LookedOpen, "case resolutions read", Done(Named("incidentresolutions.query"))),
        point(Retried, "retry copy unsent", Unsent(Retry)),
        point(Retried, "retry copy safe, unconfirmed", Unconfirmed(Retry)),
        point(Retried, "retry copy confirmed, unacked", Unacked(Retry)),
        point(Retried, "retry copy confirmed, acked", Acked(Retry)),
        point(Refused, "failure kept, outcome unsent", Unsent(Outcome)),
        point(Refused, "dead letter unsent", Unsent(DeadLetter)),
        point(Refused, "dead letter safe, unconfirmed", Unconfirmed(DeadLetter)),
        point(Refused, "dead letter confirmed, unacked", Unacked(DeadLetter)),
        point(Refused, "dead letter confirmed, acked", Acked(DeadLetter)),
    ]
};
