//! Client of the request being handled, its permissions, and the record of its actions.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;

use super::problem::Problem;
use crate::admin::audit::{AuditAction, AuditEntry, AuditTrail, Identity, operator};

tokio::task_local! {
    static CURRENT: Requester;
}

/// Authenticated client of a request.
#[derive(Clone)]
pub struct Requester {
    /// Credential.
    pub identity: Identity,
    pub(super) from: IpAddr,
    pub(super) user: Option<String>,
    pub(super) trail: Arc<AuditTrail>,
}

/// Permission that a request requires.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Permission {
    /// Reads what holds no text of a customer.
    Look,
    /// Reads customers' text.
    ReadText,
    /// Changes something.
    Change,
    /// Deletes dead letters for good.
    Discard,
    /// Saves an organization.
    Save,
}

impl Requester {
    /// Returns the client of the request that the current task handles, if it is authenticated.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// Handles a request on behalf of this client.
    pub async fn scope<T>(self, handling: impl Future<Output = T>) -> T {
        CURRENT.scope(self, handling).await
    }

    /// Returns the name of the client in an event's history: its credential, and the user that a command states.
    pub fn name(&self) -> String {
        operator(self.identity, self.user.as_deref())
    }

    /// Logs and lists an action; an action on nothing is none.
    pub fn audit(&self, action: AuditAction, subject: impl Into<String>, count: u64) {
        if count > 0 {
            self.trail.record(AuditEntry {
                at: Timestamp::now(),
                who: self.identity,
                from: Some(self.from),
                user: self.user.clone(),
                action,
                subject: subject.into(),
                count,
            });
        }
    }
}

/// Logs and lists an action of the current request's client.
pub fn audit(action: AuditAction, subject: impl Into<String>, count: u64) {
    if let Some(requester) = Requester::current() {
        requester.audit(action, subject, count);
    }
}

/// Refuses what the current request's client may not do. Without a client nothing is permitted.
pub fn require(permission: Permission) -> Result<(), Problem> {
    permits(Requester::current().map(|requester| requester.identity), permission)
}

fn permits(identity: Option<Identity>, permission: Permission) -> Result<(), Problem> {
    use Permission::{Change, Discard, Look, ReadText, Save};
    let needs = |what: &str| Err(Problem::forbidden(what.to_owned()));
    match (identity, permission) {
        (Some(Identity::Token), _) | (Some(Identity::ReaderToken), Look) | (Some(Identity::Local), Look | Change) => {
            Ok(())
        }
        (Some(Identity::ReaderToken), ReadText) => {
            needs("http.reader_token does not show customer text; use http.token")
        }
        (Some(Identity::ReaderToken), Change | Discard | Save) => {
            needs("http.reader_token changes nothing; use http.token")
        }
        (Some(Identity::Local), ReadText) => needs("customer text requires a token; set http.token"),
        (Some(Identity::Local), Discard) => needs("discarding dead letters requires a token; set http.token"),
        (Some(Identity::Local), Save) => needs("saving an organization requires a token; set http.token"),
        (None, _) => needs("not authenticated"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Permission; 5] =
        [Permission::Look, Permission::ReadText, Permission::Change, Permission::Discard, Permission::Save];

    #[test]
    fn each_identity_has_its_permissions() {
        for (identity, may) in [
            (Some(Identity::Token), [true; 5]),
            (Some(Identity::ReaderToken), [true, false, false, false, false]),
            (Some(Identity::Local), [true, false, true, false, false]),
            (None, [false; 5]),
        ] {
            assert_eq!(ALL.map(|permission| permits(identity, permission).is_ok()), may, "{identity:?}");
        }
    }

    #[tokio::test]
    async fn an_action_is_recorded_for_the_client_of_the_request() {
        let trail = Arc::new(AuditTrail::new(Arc::new(handoffd_engine::memory_store::MemoryStore::new())));
        let from = IpAddr::from([192, 0, 2, 1]);
        let requester = Requester { identity: Identity::Token, from, user: Some("ann".to_owned()), trail };
        audit(AuditAction::Pause, "nobody's", 1);
        requester
            .clone()
            .scope(async {
                audit(AuditAction::Replay, "evt_1", 2);
                audit(AuditAction::Discard, "evt_2", 0);
            })
            .await;
        let listed = requester.trail.list().await.unwrap();
        let all: Vec<_> = listed.iter().map(|it| (it.who, it.from, it.user.as_deref(), it.action, it.count)).collect();
        assert_eq!(all, [(Identity::Token, Some(from), Some("ann"), AuditAction::Replay, 2)]);
    }
}
