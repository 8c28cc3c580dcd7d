//! Browser sessions: a cookie proves that its owner has presented a token, without holding the token.
//!
//! The cookie's key is derived from the token, so a session holds for every worker that has the same token, and ends with
//! the token. Only the sessions that were signed out are remembered ([`EndedSessions`]), by all workers.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use handoffd_engine::ports::store::operators::{EndedSession, OperatorStore};
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::ended_sessions::EndedSessions;
use super::tokens::BearerTokens;
use crate::admin::audit::Identity;

/// Longest life of a session, in seconds: an operator's shift.
const LIFE: i64 = 12 * 3600;
/// Longest time without a request, in seconds.
const IDLE: i64 = 30 * 60;
/// Age in seconds from which a cookie is replaced by one with the time of the present request.
const RENEW: i64 = 60;
/// Most seconds that another worker's clock may be ahead.
const SKEW: i64 = 60;
/// Prefix of names that a browser accepts only with TLS, for the whole site, and of no other host.
const HOST_ONLY: &str = "__Host-";
const NAME: &str = "handoffd_session";

/// Sessions that this worker has opened, or another one with the same token.
pub(super) struct Sessions {
    /// Name of a cookie without TLS: a host's cookies go to all its ports, and must not replace each other.
    name: String,
    /// Sessions that were signed out.
    pub ended: EndedSessions,
}

/// Valid session of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Session {
    /// Token that opened it.
    pub identity: Identity,
    id: Uuid,
    began: i64,
    seen: i64,
    cookie: String,
}

/// Transport between the browser and the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CookieTransport {
    /// TLS, terminated by a proxy in front of the worker.
    Tls,
    /// Plain HTTP, or unknown.
    Plain,
}

impl Sessions {
    /// Creates the sessions of a listener on this port.
    pub(super) fn new(port: u16, store: Arc<dyn OperatorStore>) -> Self {
        Self { name: format!("{NAME}_{port}"), ended: EndedSessions::new(store) }
    }

    /// Opens a session and returns its cookie.
    pub(super) fn open(&self, identity: Identity, tokens: &BearerTokens, wire: CookieTransport) -> Option<HeaderValue> {
        let (now, cookie) = (Timestamp::now().as_second(), self.name(wire));
        Session { identity, id: Uuid::new_v4(), began: now, seen: now, cookie }.cookie(tokens)
    }

    /// Returns the valid session of a request.
    pub(super) fn find(&self, headers: &HeaderMap, tokens: &BearerTokens, now: Timestamp) -> Option<Session> {
        let ours = pairs(headers).filter(|(name, _)| name.trim_start_matches(HOST_ONLY).starts_with(NAME));
        let mut valid = ours.filter_map(|(name, value)| Session::read(name, value, tokens, now.as_second()));
        valid.find(|session| !self.ended.contains(session.id))
    }

    /// Returns the cookie that removes a forged one of this worker: one that no token has sealed. An expired or ended session
    /// is none. Cookies of other ports are not looked at: they may be other workers', with tokens of their own.
    pub(super) fn forged(&self, headers: &HeaderMap, tokens: &BearerTokens) -> Option<HeaderValue> {
        let own = |name: &str| name.strip_prefix(HOST_ONLY).unwrap_or(name) == self.name;
        let mut ours = pairs(headers).filter(|(name, value)| own(name) && !value.is_empty());
        let (name, _) = ours.find(|(name, value)| Session::sealed(name, value, tokens).is_none())?;
        header_value(name, "", 0)
    }

    /// Ends a session.
    pub(super) fn sign_out(&self, session: &Session, now: Timestamp) {
        // A worker that does not know yet may renew its cookie, but not beyond this.
        let over_at = Timestamp::from_second(session.began + LIFE + SKEW).unwrap_or(Timestamp::MAX);
        self.ended.add(EndedSession { id: session.id, over_at }, now);
    }

    /// Returns the cookie that removes the one of this session, or any that this worker has set.
    pub(super) fn removal(&self, session: Option<&Session>, wire: CookieTransport) -> Option<HeaderValue> {
        let name = session.map_or_else(|| self.name(wire), |session| session.cookie.clone());
        header_value(&name, "", 0)
    }

    fn name(&self, wire: CookieTransport) -> String {
        match wire {
            CookieTransport::Tls => format!("{HOST_ONLY}{}", self.name),
            CookieTransport::Plain => self.name.clone(),
        }
    }
}

impl Session {
    /// Returns a cookie with the time of this request, if the present one is old enough to be replaced.
    pub(super) fn renewed(&self, tokens: &BearerTokens, now: Timestamp) -> Option<HeaderValue> {
        let now = now.as_second();
        (now - self.seen >= RENEW).then(|| Self { seen: now, ..self.clone() }.cookie(tokens))?
    }

    fn cookie(&self, tokens: &BearerTokens) -> Option<HeaderValue> {
        let text = format!("{}.{}.{}", self.id.simple(), self.began, self.seen);
        let seal = URL_SAFE_NO_PAD.encode(self.seal(tokens)?);
        let rest = IDLE.min(self.began + LIFE - self.seen);
        header_value(&self.cookie, &format!("{text}.{seal}"), rest)
    }

    /// Reads the cookie of a session that is not over.
    fn read(name: &str, value: &str, tokens: &BearerTokens, now: i64) -> Option<Self> {
        Self::sealed(name, value, tokens).filter(|session| session.is_in_time(now))
    }

    /// Reads a cookie: its parts, and its seal by either token.
    fn sealed(name: &str, value: &str, tokens: &BearerTokens) -> Option<Self> {
        let mut parts = value.split('.');
        let id = Uuid::try_parse(parts.next()?).ok()?;
        let (began, seen) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let seal = URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
        if parts.next().is_some() {
            return None;
        }
        let of = |identity| Self { identity, id, began, seen, cookie: name.to_owned() };
        let mut candidates = [Identity::Token, Identity::ReaderToken].map(of).into_iter();
        candidates.find(|session| session.seal(tokens).is_some_and(|right| bool::from(seal.ct_eq(&right[..]))))
    }

    /// Reports whether the session is not over. The times of an authentic cookie are far from the limits of their type.
    fn is_in_time(&self, now: i64) -> bool {
        let Self { began, seen, .. } = *self;
        began <= seen && seen <= now + SKEW && now < began + LIFE && now < seen + IDLE
    }

    fn seal(&self, tokens: &BearerTokens) -> Option<[u8; 32]> {
        let key = keyed(tokens.of(self.identity)?.expose_secret().as_bytes(), b"handoffd session 1");
        let mut text = self.id.as_bytes().to_vec();
        text.extend(self.began.to_be_bytes());
        text.extend(self.seen.to_be_bytes());
        text.extend(self.identity.as_str().as_bytes());
        Some(keyed(&key, &text))
    }
}

/// Returns the names and values of a request's cookies.
fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='))
}

fn keyed(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length"); // as RFC 2104 defines it
    mac.update(text);
    mac.finalize().into_bytes().into()
}

fn header_value(name: &str, value: &str, life: i64) -> Option<HeaderValue> {
    let secure = if name.starts_with(HOST_ONLY) { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path=/; Max-Age={life}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use handoffd_engine::memory_store::MemoryStore;

    use super::*;

    fn sessions(port: u16) -> Sessions {
        Sessions::new(port, Arc::new(MemoryStore::new()))
    }

    fn tokens() -> BearerTokens {
        BearerTokens::new(Some("s3cret".into()), Some("r3ader".into()))
    }

    fn later(seconds: i64) -> Timestamp {
        Timestamp::now().saturating_add(Duration::from_secs(seconds.unsigned_abs())).unwrap()
    }

    fn headers(cookie: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::try_from(cookie).unwrap())])
    }

    fn pair(cookie: &HeaderValue) -> String {
        cookie.to_str().unwrap().split(';').next().unwrap().to_owned()
    }

    fn opened(sessions: &Sessions, identity: Identity) -> String {
        pair(&sessions.open(identity, &tokens(), CookieTransport::Plain).unwrap())
    }

    fn found(sessions: &Sessions, cookie: &str, now: Timestamp) -> Option<Session> {
        sessions.find(&headers(cookie), &tokens(), now)
    }

    #[test]
    fn a_cookie_proves_its_token_to_every_worker_that_has_the_token() {
        let (one, other) = (sessions(1), sessions(2));
        for identity in [Identity::Token, Identity::ReaderToken] {
            let cookie = opened(&one, identity);
            assert!(!cookie.contains("s3cret") && !cookie.contains("r3ader"));
            for cookie in
                [cookie.clone(), format!("other=1; {cookie}; more=2"), format!("handoffd_session_9=x; {cookie}")]
            {
                assert_eq!(found(&other, &cookie, later(1)).map(|session| session.identity), Some(identity));
            }
            let changed = BearerTokens::new(Some("changed".into()), Some("another".into()));
            assert_eq!(one.find(&headers(&cookie), &changed, later(1)), None);
        }
    }

    #[test]
    fn a_readers_cookie_does_not_become_an_operators() {
        let sessions = sessions(1);
        let cookie = opened(&sessions, Identity::ReaderToken);
        let same = BearerTokens::new(Some("r3ader".into()), None);
        assert_eq!(sessions.find(&headers(&cookie), &same, later(1)), None);
    }

    #[test]
    fn a_session_ends_after_half_an_hour_without_a_request_and_after_twelve_hours_at_most() {
        let sessions = sessions(1);
        let cookie = opened(&sessions, Identity::Token);
        assert!(found(&sessions, &cookie, later(IDLE - 2)).is_some());
        assert!(found(&sessions, &cookie, later(IDLE + 1)).is_none());

        let mut cookie = cookie;
        let mut at = 0;
        while let Some(session) = found(&sessions, &cookie, later(at)) {
            assert_eq!(session.renewed(&tokens(), Timestamp::from_second(session.seen + RENEW - 1).unwrap()), None);
            cookie = pair(&session.renewed(&tokens(), later(at.max(RENEW))).unwrap());
            at += IDLE - 60;
        }
        assert!((LIFE..LIFE + IDLE).contains(&at), "{at}");
    }

    #[test]
    fn a_forged_cookie_is_none() {
        let sessions = sessions(1);
        let cookie = opened(&sessions, Identity::Token);
        let (name, value) = cookie.split_once('=').unwrap();
        let parts: Vec<&str> = value.split('.').collect();
        let [id, began, seen, seal] = parts[..] else { panic!("{cookie}") };
        let next = seen.parse::<i64>().unwrap() + 1;
        for forged in [
            format!("{id}.{began}.{next}.{seal}"),
            format!("{id}.{began}.{seen}."),
            format!("{id}.{began}.{seen}.{seal}.x"),
            format!("{}.{began}.{seen}.{seal}", Uuid::new_v4().simple()),
            format!("{id}.{began}"),
            String::new(),
            "....".to_owned(),
        ] {
            assert_eq!(found(&sessions, &format!("{name}={forged}"), later(1)), None, "{forged}");
        }
        assert_eq!(found(&sessions, &format!("another={value}"), later(1)), None);
    }

    #[test]
    fn a_cookie_that_no_token_has_sealed_is_forged_and_an_ended_or_foreign_one_is_not() {
        let sessions = sessions(1);
        let forged = |cookie: &str| sessions.forged(&headers(cookie), &tokens());
        let own = opened(&sessions, Identity::ReaderToken);
        sessions.sign_out(&found(&sessions, &own, later(1)).unwrap(), later(1));
        assert_eq!(forged(&own), None, "it was valid once");
        let began = Timestamp::now().as_second() - LIFE - 1;
        let expired = Session {
            identity: Identity::Token,
            id: Uuid::new_v4(),
            began,
            seen: began,
            cookie: sessions.name.clone(),
        };
        let expired = pair(&expired.cookie(&tokens()).unwrap());
        assert_eq!((found(&sessions, &expired, later(0)), forged(&expired)), (None, None));
        for other in ["handoffd_session_2=x.1.1.x", "handoffd_session_1=", "another=x"] {
            assert_eq!(forged(other), None, "{other}");
        }
        for name in ["handoffd_session_1", "__Host-handoffd_session_1"] {
            let removal = forged(&format!("{own}; {name}={}.1.1.c2VhbA", Uuid::new_v4().simple())).unwrap();
            assert!(removal.to_str().unwrap().starts_with(&format!("{name}=; Path=/; Max-Age=0;")), "{removal:?}");
            assert!(forged(&format!("{name}=garbage")).is_some());
        }
    }

    #[test]
    fn a_session_that_was_signed_out_is_over_with_all_its_cookies() {
        let sessions = sessions(1);
        let cookie = opened(&sessions, Identity::Token);
        let session = found(&sessions, &cookie, later(1)).unwrap();
        let renewed = pair(&session.renewed(&tokens(), later(RENEW + 1)).unwrap());
        let another = opened(&sessions, Identity::Token);
        sessions.sign_out(&session, later(2));
        for cookie in [&cookie, &renewed] {
            assert_eq!(found(&sessions, cookie, later(RENEW + 2)), None);
        }
        assert!(found(&sessions, &another, later(2)).is_some());
    }

    #[test]
    fn cookies_are_hidden_from_scripts_other_sites_and_other_hosts() {
        let sessions = sessions(9464);
        let text = |wire| sessions.open(Identity::Token, &tokens(), wire).unwrap().to_str().unwrap().to_owned();
        let (plain, tls) = (text(CookieTransport::Plain), text(CookieTransport::Tls));
        assert!(plain.starts_with("handoffd_session_9464=") && plain.ends_with("; SameSite=Strict"), "{plain}");
        assert!(plain.contains("; Path=/; Max-Age=1800; HttpOnly;"), "{plain}");
        assert!(
            tls.starts_with("__Host-handoffd_session_9464=") && tls.ends_with("; SameSite=Strict; Secure"),
            "{tls}"
        );
        let session = found(&sessions, &pair(&HeaderValue::try_from(tls).unwrap()), later(1)).unwrap();
        let removal = sessions.removal(Some(&session), CookieTransport::Plain).unwrap();
        assert!(removal.to_str().unwrap().starts_with("__Host-handoffd_session_9464=; Path=/; Max-Age=0;"));
    }
}
