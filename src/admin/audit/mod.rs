//! Record of operators' actions: a line of the log each, and the last thousand for lists.

pub mod dead_letters;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use handoffd_engine::text::visible;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::telemetry::logs::AUDIT;

/// Number of entries kept.
const MOST: usize = 1000;
/// Longest subject kept, in characters.
const LONGEST: usize = 300;

/// Action of an operator.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
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
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
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

/// Last actions of operators.
#[derive(Default)]
pub struct AuditTrail(Mutex<VecDeque<AuditEntry>>);

impl AuditTrail {
    /// Logs an action and keeps it.
    pub fn record(&self, mut entry: AuditEntry) {
        if let Some((at, _)) = entry.subject.char_indices().nth(LONGEST) {
            entry.subject.truncate(at);
            entry.subject.push('…');
        }
        log(&entry);
        let mut kept = self.lock();
        if kept.len() >= MOST {
            kept.pop_front();
        }
        kept.push_back(entry);
    }

    /// Returns the last actions, newest first.
    pub fn list(&self) -> Vec<AuditEntry> {
        self.lock().iter().rev().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<AuditEntry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

    fn entry(subject: &str) -> AuditEntry {
        AuditEntry {
            at: Timestamp::UNIX_EPOCH,
            who: Identity::Token,
            from: None,
            user: None,
            action: AuditAction::Pause,
            subject: subject.to_owned(),
            count: 1,
        }
    }

    #[test]
    fn the_last_thousand_are_kept_newest_first() {
        let trail = AuditTrail::default();
        for n in 0..MOST + 5 {
            trail.record(entry(&n.to_string()));
        }
        let listed = trail.list();
        assert_eq!((listed.len(), listed[0].subject.as_str()), (MOST, "1004"));
        assert_eq!(listed[MOST - 1].subject, "5");
    }

    #[test]
    fn a_long_subject_is_cut_between_characters() {
        let trail = AuditTrail::default();
        trail.record(entry(&"é".repeat(LONGEST + 1)));
        assert_eq!(trail.list()[0].subject, "é".repeat(LONGEST) + "…");
    }

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
