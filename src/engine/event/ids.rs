//! Ids as newtypes, so that an organization id can't be passed in place of a session id.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Returns the id as the publisher wrote it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(Arc::from(text))
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(Arc::from(text))
            }
        }

        impl From<Cow<'_, str>> for $name {
            fn from(text: Cow<'_, str>) -> Self {
                Self(Arc::from(&*text))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

macro_rules! row_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

text_id! {
    /// Id of an organization: an OpenCX customer with one Dynamics environment.
    OrganizationId
}
text_id! {
    /// Id of an event, unique within its organization.
    EventId
}
text_id! {
    /// Id of an OpenCX conversation.
    SessionId
}

row_id! {
    /// Primary key of a Dynamics `contact` row.
    ContactId
}
row_id! {
    /// Primary key of a Dynamics `incident` row.
    IncidentId
}
row_id! {
    /// Primary key of a live work item row.
    WorkItemId
}

/// Idempotency key: two messages with the same key are the same event.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct EventKey {
    /// Organization that owns the event.
    pub organization_id: OrganizationId,
    /// Id of the event within its organization.
    pub event_id: EventId,
}

impl EventKey {
    /// Returns the keys that `organization/event` may name. Both ids may contain slashes, so there is one for each.
    pub fn splits(text: &str) -> impl Iterator<Item = Self> + '_ {
        text.match_indices('/')
            .map(|(at, slash)| Self { organization_id: text[..at].into(), event_id: text[at + slash.len()..].into() })
    }

    /// Reports whether `organization/event` names this key.
    pub fn is_named(&self, text: &str) -> bool {
        let event = text.strip_prefix(self.organization_id.as_str()).and_then(|rest| rest.strip_prefix('/'));
        event == Some(self.event_id.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_by_one_of_the_splits_of_its_text() {
        let named: Vec<(String, String)> =
            EventKey::splits("a/b/ü/").map(|key| (key.organization_id.to_string(), key.event_id.to_string())).collect();
        let expected = [("a", "b/ü/"), ("a/b", "ü/"), ("a/b/ü", "")];
        assert_eq!(named, expected.map(|(one, other)| (one.to_owned(), other.to_owned())));
        assert!(EventKey::splits("a/b/ü/").all(|key| key.is_named("a/b/ü/")));
        let key = EventKey { organization_id: "a".into(), event_id: "b".into() };
        assert!(
            !key.is_named("ab") && !key.is_named("a/b/") && !key.is_named("a") && EventKey::splits("ab").count() == 0
        );
    }
}
