//! Record of operators' actions: a line of the log each, and the last thousand in the store.

pub mod dead_letters;
mod trail;

use std::net::IpAddr;

use handoffd_engine::text::visible;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use trail::AuditTrail;

use crate::telemetry::logs::AUDIT;

/// Action of an operator.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AuditEntry {
    /// Time of the action.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// Credential of the operator.
    pub who: Identity,
    /// Address of the client; null for a command that no worker has seen.
    #[schemars(with = "Option<String>")]
    pub from: Option<IpAddr>,
    /// User of the system, as a command has stated it.
    pub user: Option<String>,
    /// Action.
    pub action: AuditAction,
    /// IDs of the organizations, events and queues concerned.
    pub subject: String,
    /// Number of things changed or shown.
    pub count: u64,
}

/// Credential of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// `http.token`, directly or by a session.
    Token,
    /// `http.reader_token`, directly or by a session.
    ReaderToken,
    /// None: no token is configured, and only this machine can connect.
    Local,
}

/// Kind of action.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditAction {
    /// Dead letters were replayed.
    Replay,
    /// Dead letters were discarded.
    Discard,
    /// A customer's text was shown.
    ReadText,
    /// An organization was paused.
    Pause,
    /// An organization was resumed.
    Resume,
    /// An organization was saved.
    Save,
    /// A saved organization was deleted.
    Delete,
    /// A store that replaced a damaged one was accepted.
    AcceptStore,
    /// An exported file was imported into the store.
    ImportStore,
}

/// Returns the name of an operator in an event's history.
pub fn operator(identity: Identity, user: Option<&str>) -> String {
    match user {
        Some(user) => format!("{} ({user})", identity.as_str()),
        None => identity.as_str().to_owned(),
    }
}

/// Writes the line of an action.
pub fn log(entry: &AuditEntry) {
    tracing::info!(
        target: AUDIT,
        who = entry.who.as_str(),
        from = entry.from.map(tracing::field::display),
        user = entry.user.as_deref(),
        action = entry.action.as_str(),
        // A command without a worker prints this line to its operator.
        subject = %visible(&entry.subject),
        count = entry.count,
        "{}",
        entry.action.in_words()
    );
}

impl Identity {
    /// Returns the name in lists and lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::ReaderToken => "reader_token",
            Self::Local => "local",
        }
    }
}

impl AuditAction {
    /// Returns the name in lists and lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Discard => "discard",
            Self::ReadText => "read_text",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Save => "save",
            Self::Delete => "delete",
            Self::AcceptStore => "accept_store",
            Self::ImportStore => "import_store",
        }
    }

    /// Returns the action as a sentence without its subject.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Replay => "operator replayed dead letters",
            Self::Discard => "operator discarded dead letters",
            Self::ReadText => "operator read customer text",
            Self::Pause => "operator paused an organization",
            Self::Resume => "operator resumed an organization",
            Self::Save => "operator saved an organization",
            Self::Delete => "operator deleted an organization",
            Self::AcceptStore => "operator accepted the new store",
            Self::ImportStore => "operator imported a file into the store",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_their_serialized_form() {
        use AuditAction::{AcceptStore, Delete, Discard, ImportStore, Pause, ReadText, Replay, Resume, Save};
        for action in [Replay, Discard, ReadText, Pause, Resume, Save, Delete, AcceptStore, ImportStore] {
            assert_eq!(serde_json::json!(action), action.as_str());
        }
        for who in [Identity::Token, Identity::ReaderToken, Identity::Local] {
            assert_eq!(serde_json::json!(who), who.as_str());
        }
    }
}
