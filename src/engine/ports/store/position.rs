//! Position in the list of outcomes, at which the next page continues.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Cursor, StoreError};
use crate::event::{EventId, EventKey, OrganizationId};

/// Orders outcomes by the time they were decided; those of the same moment by event, then organization. A later outcome
/// never moves an earlier one, so pages are stable while outcomes are added.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Position {
    /// Time the outcome was decided.
    pub at: Timestamp,
    /// Id of the event.
    pub event_id: EventId,
    /// Organization of the event.
    pub organization_id: OrganizationId,
}

impl Position {
    /// Returns the position of an event that ended at `at`.
    pub fn new(at: Timestamp, key: &EventKey) -> Self {
        Self { at, event_id: key.event_id.clone(), organization_id: key.organization_id.clone() }
    }

    /// Returns the key of the event at this position.
    pub fn key(&self) -> EventKey {
        EventKey { organization_id: self.organization_id.clone(), event_id: self.event_id.clone() }
    }

    /// Encodes the position for callers, safe in a URL.
    pub fn cursor(&self) -> Cursor {
        let text = serde_json::to_vec(self).unwrap_or_default(); // plain strings always serialize
        Cursor(URL_SAFE_NO_PAD.encode(text))
    }

    /// Decodes a cursor, which callers may have made up.
    pub fn read(cursor: &Cursor) -> Result<Self, StoreError> {
        let bytes = URL_SAFE_NO_PAD.decode(&cursor.0).map_err(|_| StoreError::Cursor(cursor.clone()))?;
        serde_json::from_slice(&bytes).map_err(|_| StoreError::Cursor(cursor.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_as_its_position() {
        let position = Position::new(
            "2026-11-22T10:15:00.123456789Z".parse().unwrap(),
            &EventKey { organization_id: "org\0é".into(), event_id: "evt \"1\"".into() },
        );
        assert_eq!(Position::read(&position.cursor()).unwrap(), position);
    }

    #[test]
    fn a_made_up_cursor_is_an_error() {
        for text in ["", "!!", "bm90IGpzb24"] {
            let error = Position::read(&Cursor(text.to_owned())).unwrap_err();
            assert!(matches!(error, StoreError::Cursor(_)), "{error}");
        }
    }
}
