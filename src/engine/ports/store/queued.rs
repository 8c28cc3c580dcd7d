//! Note of an event that waits in its organization's queue and was not begun. It answers an operator after a restart;
//! nothing depends on it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::{Kind, SessionId};

/// Event that waits in its organization's queue.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct QueuedNote {
    /// Kind of the event.
    pub kind: Kind,
    /// Id of the conversation.
    pub session_id: SessionId,
    /// Time at which the router received it.
    pub received: Timestamp,
    /// Time at which the broker confirmed it in its organization's queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<Timestamp>,
}
