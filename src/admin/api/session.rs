//! Browser sessions: a cookie proves that its owner has presented the token, without holding the token.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use rand::RngCore;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// Lifetime of a session: an operator's shift.
const LIFE: Duration = Duration::from_secs(12 * 3600);
const NAME: &str = "handoffd_session";

/// Issues and verifies the cookies of this process. Cookies of another process or of before a restart are invalid.
pub struct Sessions {
    key: [u8; 32],
}

/// Transport between the browser and the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CookieTransport {
    /// TLS, terminated by a proxy in front of the worker.
    Tls,
    /// Plain HTTP, or unknown.
    Plain,
}

impl Sessions {
    /// Creates sessions with a random key.
    pub fn new() -> Self {
        let mut key = [0; 32];
        rand::rng().fill_bytes(&mut key);
        Self { key }
    }

    /// Returns the cookie for a browser that presented this token; `None` unless it equals `right`.
    pub fn open(&self, given: &str, right: &SecretString, wire: CookieTransport) -> Option<HeaderValue> {
        equals_token(given.as_bytes(), right).then(|| {
            let until = Timestamp::now().saturating_add(LIFE).unwrap_or(Timestamp::MAX).as_second();
            cookie(&format!("{until}.{}", URL_SAFE_NO_PAD.encode(self.seal(until, right))), LIFE, wire)
        })
    }

    /// Returns the cookie that ends a session.
    pub fn close(wire: CookieTransport) -> HeaderValue {
        cookie("", Duration::ZERO, wire)
    }

    /// True if a request carries an unexpired session of this token.
    pub fn knows(&self, headers: &HeaderMap, right: &SecretString) -> bool {
        let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut ours = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        ours.any(|(name, value)| name == NAME && self.is_ours(value, right, Timestamp::now()))
    }

    fn is_ours(&self, value: &str, right: &SecretString, now: Timestamp) -> bool {
        let Some((until, seal)) = value.split_once('.') else { return false };
        let (Ok(until), Ok(seal)) = (until.parse::<i64>(), URL_SAFE_NO_PAD.decode(seal)) else { return false };
        until > now.as_second() && bool::from(seal.ct_eq(&self.seal(until, right)[..]))
    }

    fn seal(&self, until: i64, token: &SecretString) -> [u8; 32] {
        // HMAC accepts keys of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length"); // see above
        mac.update(&until.to_be_bytes());
        mac.update(token.expose_secret().as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self::new()
    }
}

/// Compares a token in constant time.
pub(super) fn equals_token(given: &[u8], right: &SecretString) -> bool {
    given.ct_eq(right.expose_secret().as_bytes()).into()
}

fn cookie(value: &str, life: Duration, wire: CookieTransport) -> HeaderValue {
    let secure = if wire == CookieTransport::Tls { "; Secure" } else { "" };
    let text = format!("{NAME}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{secure}", life.as_secs());
    HeaderValue::try_from(text).expect("letters, digits and punctuation") // base64 and numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> SecretString {
        SecretString::from("s3cret")
    }

    fn headers(cookie: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::try_from(cookie).unwrap())])
    }

    fn opened(sessions: &Sessions) -> String {
        let cookie = sessions.open("s3cret", &token(), CookieTransport::Plain).unwrap();
        cookie.to_str().unwrap().split(';').next().unwrap().to_owned()
    }

    #[test]
    fn a_cookie_proves_the_token_without_holding_it() {
        let sessions = Sessions::new();
        let cookie = opened(&sessions);
        assert!(!cookie.contains("s3cret"));
        assert!(sessions.knows(&headers(&cookie), &token()));
        assert!(sessions.knows(&headers(&format!("other=1; {cookie}; more=2")), &token()));
        assert!(sessions.open("s3cret2", &token(), CookieTransport::Plain).is_none());
    }

    #[test]
    fn a_cookie_of_another_process_token_or_time_is_invalid() {
        let (sessions, token) = (Sessions::new(), token());
        let cookie = opened(&sessions);
        assert!(!Sessions::new().knows(&headers(&cookie), &token));
        assert!(!sessions.knows(&headers(&cookie), &SecretString::from("another")));
        let value = cookie.split_once('=').unwrap().1;
        let ended = Timestamp::now().saturating_add(LIFE).unwrap();
        assert!(!sessions.is_ours(value, &token, ended.saturating_add(Duration::from_secs(1)).unwrap()));
        let (until, seal) = value.split_once('.').unwrap();
        let longer = until.parse::<i64>().unwrap() + 1;
        for forged in [format!("{longer}.{seal}"), format!("{until}."), until.to_owned(), String::new(), ".".to_owned()]
        {
            assert!(!sessions.is_ours(&forged, &token, Timestamp::now()), "{forged}");
        }
    }

    #[test]
    fn cookies_are_hidden_from_scripts_and_other_sites() {
        let sessions = Sessions::new();
        let text = |wire| sessions.open("s3cret", &token(), wire).unwrap().to_str().unwrap().to_owned();
        assert!(text(CookieTransport::Plain).ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"));
        assert!(text(CookieTransport::Tls).ends_with("; SameSite=Strict; Secure"));
        assert!(Sessions::close(CookieTransport::Plain).to_str().unwrap().contains("=; Path=/; Max-Age=0"));
    }
}
