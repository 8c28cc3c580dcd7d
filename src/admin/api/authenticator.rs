//! Authentication: tokens, sessions, and a pause for addresses that present wrong tokens.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use secrecy::SecretString;
use tokio::time::Instant;

use super::attempts::FailedAttempts;
use super::problem::Problem;
use super::session::{CookieTransport, Session, Sessions};
use super::tokens::BearerTokens;
use crate::admin::audit::Identity;
use crate::telemetry::metrics::PrometheusMetrics;

/// Credentials that the interface accepts, and those that it has refused lately.
pub struct Authenticator {
    tokens: BearerTokens,
    sessions: Arc<Sessions>,
    attempts: Mutex<FailedAttempts>,
    metrics: Arc<PrometheusMetrics>,
}

impl Authenticator {
    pub(super) fn new(
        tokens: (Option<SecretString>, Option<SecretString>),
        sessions: Arc<Sessions>,
        metrics: Arc<PrometheusMetrics>,
    ) -> Self {
        let tokens = BearerTokens::new(tokens.0, tokens.1);
        Self { tokens, sessions, attempts: Mutex::default(), metrics }
    }

    /// Returns the sessions that the interface accepts.
    pub(super) fn sessions(&self) -> Arc<Sessions> {
        Arc::clone(&self.sessions)
    }

    /// Returns true if no token is configured: everyone on this machine has access.
    pub fn is_open(&self) -> bool {
        self.tokens.are_absent()
    }

    /// Returns the identity that a token proves. A wrong one is counted; an address with too many has to wait, whatever
    /// it presents, so that guessing stays slow.
    pub(super) fn present(&self, peer: IpAddr, given: &[u8]) -> Result<Identity, Problem> {
        self.wait_is_over(peer)?;
        self.tokens.identify(given).ok_or_else(|| {
            self.count(peer, "wrong token");
            Problem::unauthorized()
        })
    }

    /// Counts a forged cookie among the credentials of a refused request, and returns the cookie that removes it: a browser
    /// has one after the token has changed, and must not present it until its address has to wait.
    pub(super) fn refuse_forged(&self, peer: IpAddr, headers: &HeaderMap) -> Option<HeaderValue> {
        let removal = self.sessions.forged(headers, &self.tokens)?;
        self.count(peer, "forged session cookie");
        Some(removal)
    }

    fn count(&self, peer: IpAddr, cause: &'static str) {
        self.metrics.http_auth_failed();
        if let Some(failures) = self.attempts().count(peer, Instant::now()) {
            tracing::warn!(%peer, failures, "authentication failed: {cause}");
        }
    }

    /// Refuses an address that has to wait.
    pub(super) fn wait_is_over(&self, peer: IpAddr) -> Result<(), Problem> {
        self.attempts().pause(peer, Instant::now()).map_or(Ok(()), |rest| Err(Problem::slow_down(rest)))
    }

    /// Opens a session and returns its cookie.
    pub(super) fn open(&self, identity: Identity, wire: CookieTransport) -> Option<HeaderValue> {
        self.sessions.open(identity, &self.tokens, wire)
    }

    /// Returns the session of a request. It needs no pause: its seal can't be guessed.
    pub(super) fn session(&self, headers: &HeaderMap) -> Option<Session> {
        self.sessions.find(headers, &self.tokens, Timestamp::now())
    }

    /// Returns the cookie that keeps a session alive, if the present one is due to be replaced.
    pub(super) fn renewed(&self, session: &Session) -> Option<HeaderValue> {
        session.renewed(&self.tokens, Timestamp::now())
    }

    /// Ends the session of a request, and returns the cookie that removes its own.
    pub(super) fn sign_out(&self, headers: &HeaderMap, wire: CookieTransport) -> Option<HeaderValue> {
        let session = self.session(headers);
        if let Some(session) = &session {
            self.sessions.sign_out(session, Timestamp::now());
        }
        self.sessions.removal(session.as_ref(), wire)
    }

    fn attempts(&self) -> MutexGuard<'_, FailedAttempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
