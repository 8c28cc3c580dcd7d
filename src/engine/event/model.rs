//! An event after decoding: validated, trimmed, in the worker's own words.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ids::{EventKey, IncidentId, SessionId};

/// One event, whichever dialect it was written in.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// The idempotency key.
    pub key: EventKey,
    /// When OpenCX says it happened; only the public webhook may leave it out.
    pub timestamp: Option<Timestamp>,
    /// What happened.
    pub body: Body,
}

/// What happened.
#[derive(Clone, PartialEq, Debug)]
pub enum Body {
    /// The AI hands a conversation to a human.
    Handoff(Box<Handoff>),
    /// A conversation is over.
    Resolution(Resolution),
}

/// The two kinds of events; `type` in metrics, part of an outcome's name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `session.handoff`
    Handoff,
    /// `session.resolved` and the webhook `conversation.closed`
    Resolution,
}

/// A conversation handed to a human. All texts are trimmed and never blank.
#[derive(Clone, PartialEq, Debug)]
pub struct Handoff {
    /// The conversation.
    pub session_id: SessionId,
    /// Decides the route.
    pub channel: Channel,
    /// What it is about, in a sentence or two.
    pub summary: Option<String>,
    /// The topic, as OpenCX classified it.
    pub classification: Option<String>,
    /// The customer's mood, as OpenCX saw it.
    pub sentiment: Option<String>,
    /// Who wrote.
    pub customer: Customer,
    /// What was said, oldest first.
    pub transcript: Vec<Message>,
}

/// Who wrote; everything optional.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Customer {
    /// Full name.
    pub name: Option<String>,
    /// Email address, trimmed, in the publisher's case.
    pub email: Option<String>,
    /// Telephone number, as given.
    pub phone: Option<String>,
}

/// One message of a transcript.
#[derive(Clone, PartialEq, Debug)]
pub struct Message {
    /// When; absent, or not RFC 3339: shown as `-`.
    pub timestamp: Option<Timestamp>,
    /// `customer`, `ai`, `agent`, `system`, … as given.
    pub sender: Option<String>,
    /// The sender's name.
    pub name: Option<String>,
    /// What was said.
    pub text: Option<String>,
}

/// A conversation that is over.
#[derive(Clone, PartialEq, Debug)]
pub struct Resolution {
    /// The conversation.
    pub session_id: SessionId,
    /// Where it took place, when the publisher says so.
    pub channel: Option<Channel>,
    /// Whether its incidents are to be closed.
    pub verdict: Verdict,
    /// `data.meta.dynamics365_incident_id`: what to close when the store does not know the session.
    pub incident_id: Option<IncidentId>,
}

/// How a conversation ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The customer was helped: close.
    Resolved,
    /// `closed_unresolved`, `not_resolved`: leave everything open.
    NotResolved,
}

/// Where a conversation took place: trimmed and lower-cased.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Channel(String);

/// Which kind of record a handoff becomes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// A case, with the transcript.
    Incident,
    /// An Omnichannel conversation.
    LiveWorkItem,
}

impl Event {
    /// Handoff or resolution.
    pub fn kind(&self) -> Kind {
        match self.body {
            Body::Handoff(_) => Kind::Handoff,
            Body::Resolution(_) => Kind::Resolution,
        }
    }

    /// The conversation it is about.
    pub fn session_id(&self) -> &SessionId {
        match &self.body {
            Body::Handoff(handoff) => &handoff.session_id,
            Body::Resolution(resolution) => &resolution.session_id,
        }
    }

    /// Where the conversation took place; a resolution may not say.
    pub fn channel(&self) -> Option<&Channel> {
        match &self.body {
            Body::Handoff(handoff) => Some(&handoff.channel),
            Body::Resolution(resolution) => resolution.channel.as_ref(),
        }
    }

    /// The customer's email; a resolution names no customer.
    pub fn email(&self) -> Option<&str> {
        match &self.body {
            Body::Handoff(handoff) => handoff.customer.email.as_deref(),
            Body::Resolution(_) => None,
        }
    }

    /// The route of a handoff; a resolution's depends on what its session became.
    pub fn route(&self) -> Option<Route> {
        match &self.body {
            Body::Handoff(handoff) => Some(handoff.channel.route()),
            Body::Resolution(_) => None,
        }
    }
}

impl Channel {
    /// Trims and lower-cases what the publisher wrote.
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_lowercase())
    }

    /// The normalized name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Contract 3: three live channels, everything else is a case.
    pub fn route(&self) -> Route {
        match self.0.as_str() {
            "web" | "sms" | "whatsapp" => Route::LiveWorkItem,
            _ => Route::Incident,
        }
    }

    /// Channels on which a phone number is who the customer is.
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
    /// As it stands in metrics and routing keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Handoff => "handoff",
            Self::Resolution => "resolution",
        }
    }
}

impl Route {
    /// As it stands in metrics and outcomes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Incident => "incident",
            Self::LiveWorkItem => "live_work_item",
        }
    }
}
