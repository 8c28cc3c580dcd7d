//! Decoded events: validated, trimmed and independent of the dialect.

use std::fmt;

use bytestring::ByteString;
use jiff::Timestamp;
use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

use super::ids::{EventKey, IncidentId, SessionId};

/// One event, in any dialect.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// Idempotency key.
    pub key: EventKey,
    /// Time of the event as given by OpenCX; only the public webhook may omit it.
    pub timestamp: Option<Timestamp>,
    /// Content of the event.
    pub body: Body,
}

/// Content of an event.
#[derive(Clone, PartialEq, Debug)]
pub enum Body {
    /// Conversation that the AI hands to a human.
    Handoff(Box<Handoff>),
    /// Conversation that has ended.
    Resolution(Resolution),
}

/// Kind of an event: `type` in metrics and part of an outcome's name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `session.handoff`.
    Handoff,
    /// `session.resolved` and the webhook `conversation.closed`.
    Resolution,
}

/// Conversation handed to a human. All texts are trimmed and never blank. They are parts of the message's body where no
/// escape had to be resolved.
#[derive(Clone, PartialEq, Debug)]
pub struct Handoff {
    /// Id of the conversation.
    pub session_id: SessionId,
    /// Channel, which decides the route.
    pub channel: Channel,
    /// Subject of the conversation, in a sentence or two.
    pub summary: Option<ByteString>,
    /// Topic, as classified by OpenCX.
    pub classification: Option<ByteString>,
    /// Mood of the customer, as rated by OpenCX.
    pub sentiment: Option<ByteString>,
    /// Customer of the conversation.
    pub customer: Customer,
    /// Messages, oldest first.
    pub transcript: Vec<Message>,
}

/// Customer of a conversation; every field is optional.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Customer {
    /// Full name.
    pub name: Option<ByteString>,
    /// Email address, trimmed, in the publisher's case.
    pub email: Option<ByteString>,
    /// Telephone number, as given.
    pub phone: Option<ByteString>,
}

/// Message of a transcript.
#[derive(Clone, PartialEq, Debug)]
pub struct Message {
    /// Time of the message in UTC; absent or not RFC 3339: shown as `-`.
    pub timestamp: Option<DateTime>,
    /// `customer`, `ai`, `agent`, `system` or any other value, as given.
    pub sender: Option<ByteString>,
    /// Name of the sender.
    pub name: Option<ByteString>,
    /// Text of the message.
    pub text: Option<ByteString>,
}

/// Conversation that has ended.
#[derive(Clone, PartialEq, Debug)]
pub struct Resolution {
    /// Id of the conversation.
    pub session_id: SessionId,
    /// Channel of the conversation, if the publisher gives it.
    pub channel: Option<Channel>,
    /// Decision to close the session's incidents or to leave them open.
    pub verdict: Verdict,
    /// `data.meta.dynamics365_incident_id`: the incident to close if the store has no entry for the session.
    pub incident_id: Option<IncidentId>,
}

/// Result of a conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The conversation was resolved; its incidents are closed.
    Resolved,
    /// `closed_unresolved` or `not_resolved`; every incident stays open.
    NotResolved,
}

/// Channel of a conversation, trimmed and lower-cased.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Channel(String);

/// Kind of record that a handoff becomes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// Case with the transcript.
    Incident,
    /// Omnichannel conversation.
    LiveWorkItem,
}

impl Event {
    /// Returns the kind of the event.
    pub fn kind(&self) -> Kind {
        match self.body {
            Body::Handoff(_) => Kind::Handoff,
            Body::Resolution(_) => Kind::Resolution,
        }
    }

    /// Returns the id of the event's conversation.
    pub fn session_id(&self) -> &SessionId {
        match &self.body {
            Body::Handoff(handoff) => &handoff.session_id,
            Body::Resolution(resolution) => &resolution.session_id,
        }
    }

    /// Returns the channel of the conversation; a resolution may omit it.
    pub fn channel(&self) -> Option<&Channel> {
        match &self.body {
            Body::Handoff(handoff) => Some(&handoff.channel),
            Body::Resolution(resolution) => resolution.channel.as_ref(),
        }
    }

    /// Returns the customer's email; a resolution names no customer.
    pub fn email(&self) -> Option<&str> {
        match &self.body {
            Body::Handoff(handoff) => handoff.customer.email.as_deref(),
            Body::Resolution(_) => None,
        }
    }

    /// Returns the route of a handoff. The route of a resolution depends on the records of its session.
    pub fn route(&self) -> Option<Route> {
        match &self.body {
            Body::Handoff(handoff) => Some(handoff.channel.route()),
            Body::Resolution(_) => None,
        }
    }
}

impl Channel {
    /// Creates a channel from the publisher's text, trimmed and lower-cased.
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_lowercase())
    }

    /// Returns the normalized name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the route of the channel: three channels become live work items, every other one a case (contract 3).
    pub fn route(&self) -> Route {
        match self.0.as_str() {
            "web" | "sms" | "whatsapp" => Route::LiveWorkItem,
            _ => Route::Incident,
        }
    }

    /// Returns true for channels on which the phone number identifies the customer.
    pub fn is_voice(&self) -> bool {
        matches!(self.0.as_str(), "phone" | "phone_voice" | "web_voice")
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Kind {
    /// Returns the value used in metrics and routing keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Handoff => "handoff",
            Self::Resolution => "resolution",
        }
    }
}

impl Route {
    /// Returns the value used in metrics and outcomes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Incident => "incident",
            Self::LiveWorkItem => "live_work_item",
        }
    }
}
