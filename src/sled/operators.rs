//! Operators' actions and the sessions that they have ended. They are few, so every change reads all of its kind.

use handoffd_engine::ports::store::StoreError;
use handoffd_engine::ports::store::operators::{ACTIONS, EndedSession, OperatorAction, SESSIONS};
use jiff::Timestamp;

use super::batch_builder::BatchBuilder;
use super::errors::unreadable;
use super::pending::PendingCall;
use super::view::StoreView;
use super::{codec, keys};

/// Names of the read data in errors.
pub(super) const OPERATORS: &str = "the actions of operators";
pub(super) const SESSION_ENDS: &str = "the sessions that have ended";

/// Prepares the write of actions, and the removal of older ones.
pub(super) fn add_actions(view: &StoreView<'_>, actions: &[OperatorAction]) -> Result<PendingCall, StoreError> {
    let mut all: Vec<Vec<u8>> =
        view.begins_with(OPERATORS, keys::ACTIONS)?.into_keys().map(|key| key.to_vec()).collect();
    let mut draft = BatchBuilder::new(view);
    for action in actions {
        let key = keys::action(action.at, action.id);
        draft.insert(key.clone(), codec::encode_document(&action.document));
        all.push(key);
    }
    // The keys are ordered by time.
    all.sort();
    all.dedup();
    let surplus = all.len().saturating_sub(ACTIONS);
    all.into_iter().take(surplus).for_each(|key| draft.remove(key));
    Ok(draft.into_call())
}

/// Returns the actions, newest first.
pub(super) fn actions(view: &StoreView<'_>) -> Result<Vec<OperatorAction>, StoreError> {
    let rows = view.begins_with(OPERATORS, keys::ACTIONS)?;
    let action = |(key, value): (sled::IVec, sled::IVec)| {
        let (at, id) = keys::read_action(&key).ok_or_else(|| unreadable(OPERATORS, "malformed row"))?;
        let document = codec::decode_document(&value).map_err(|error| unreadable(OPERATORS, error))?;
        Ok(OperatorAction { id, at, document })
    };
    rows.into_iter().rev().map(action).collect()
}

/// Prepares the write of ended sessions, and the removal of those that are over by themselves.
pub(super) fn end_sessions(
    view: &StoreView<'_>,
    sessions: &[EndedSession],
    now: Timestamp,
) -> Result<PendingCall, StoreError> {
    let over = ended_sessions(view)?.into_iter().filter(|session| session.over_at <= now);
    let mut draft = BatchBuilder::new(view);
    over.for_each(|session| draft.remove(keys::ended_session(session.id)));
    for session in sessions {
        draft.insert(keys::ended_session(session.id), codec::encode_time(session.over_at));
    }
    Ok(draft.into_call())
}

/// Returns the ended sessions, those first that are over last.
pub(super) fn ended_sessions(view: &StoreView<'_>) -> Result<Vec<EndedSession>, StoreError> {
    let rows = view.begins_with(SESSION_ENDS, keys::ENDED_SESSIONS)?;
    let session = |(key, value): (sled::IVec, sled::IVec)| {
        let read = keys::read_ended_session(&key).zip(codec::touched_at(&value));
        let (id, over_at) = read.ok_or_else(|| unreadable(SESSION_ENDS, "malformed row"))?;
        Ok(EndedSession { id, over_at })
    };
    let mut all: Vec<EndedSession> = rows.into_iter().map(session).collect::<Result<_, StoreError>>()?;
    all.sort_by_key(|session| std::cmp::Reverse(session.over_at));
    all.truncate(SESSIONS);
    Ok(all)
}
