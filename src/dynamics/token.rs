//! Access tokens from Entra ID.
//!
//! A token is requested once for any number of waiting events and renewed shortly before it expires. The proof of the
//! application's credential must never appear in a message, whatever an answer quotes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use handoffd_engine::workflow::{Fault, Remedy, StepName};
use jiff::Timestamp;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};
use url::form_urlencoded;

use super::access::{Access, Credentials};
use super::answer::{Answer, ErrorBody};
use super::classify::classify;
use super::credential::{ClientCredential, ClientProof};
use super::limiter::RequestResult;
use super::mask::without_secrets;
use super::off_thread::{OffThread, OffThreadError};
use super::withheld::Withheld;

/// Time before expiry at which a token is renewed: longer than a request may take on the server (about 2 minutes).
const RENEW_BEFORE: Duration = Duration::from_secs(300);

/// Longest lifetime that is accepted. Entra ID's own tokens last an hour, at most a day.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Lifetime of a token whose answer has no usable one, so that all waiting events share it. Dynamics refuses an expired one,
/// which is then renewed.
const UNKNOWN_LIFE: Duration = Duration::from_secs(60);
/// Longest error code. Entra ID's codes are words such as `invalid_client`.
const LONGEST_CODE: usize = 64;

/// Beginning of the header's value, before the token.
const SCHEME: &str = "Bearer ";

/// Longest wait for the proof of a credential.
const PROOF_LIMIT: Duration = Duration::from_secs(5);

/// Token of an organization, shared by all its requests.
pub(super) struct TokenCache {
    url: String,
    scope: String,
    credentials: Credentials,
    proving: OffThread<Proved>,
    /// Fault to return if the credential is unavailable.
    withheld: Option<Fault>,
    current: RwLock<Option<Arc<Token>>>,
    /// Lock of the task that fetches a token. Holds the failure of the last fetch, if it failed.
    fetching: Mutex<Option<TokenFailure>>,
    /// Number of failed fetches.
    failures: AtomicU64,
}

/// Request for one token.
pub(super) struct TokenRequest {
    url: String,
    form: SecretString,
    secrets: Secrets,
}

/// Result of making a proof.
type Proved = Result<ClientProof, Withheld>;

/// Fault of a failed fetch, with the transport result if the request received no answer.
pub(super) type TokenFailure = (Fault, Option<RequestResult>);

/// Exclusive right to fetch a token. Other tasks wait until it is dropped.
pub(super) struct TokenTurn<'a> {
    cache: &'a TokenCache,
    last: MutexGuard<'a, Option<TokenFailure>>,
    failures_seen: u64,
}

/// Token as a header value, which is marked sensitive and never printed.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) authorization: HeaderValue,
    renew_at: Instant,
}

impl TokenCache {
    pub(super) fn new(authority: &str, access: &Access) -> Self {
        let tenant_id = &access.credentials.tenant_id;
        Self {
            url: format!("{}/{tenant_id}/oauth2/v2.0/token", authority.trim_end_matches('/')),
            scope: format!("{}/.default", access.settings.environment_url),
            credentials: access.credentials.clone(),
            proving: OffThread::new(),
            withheld: access.withheld.as_ref().map(withheld),
            current: RwLock::new(None),
            fetching: Mutex::new(None),
            failures: AtomicU64::new(0),
        }
    }

    /// Returns the fault if the credential is unavailable.
    pub(super) fn withheld(&self) -> Option<&Fault> {
        self.withheld.as_ref()
    }

    /// Returns the cached token unless it is due for renewal.
    pub(super) fn cached(&self) -> Option<Arc<Token>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().filter(|token| token.renew_at > Instant::now()).cloned()
    }

    /// Waits for the task that is fetching a token, if any.
    pub(super) async fn lock_fetch(&self) -> TokenTurn<'_> {
        let failures_seen = self.failures.load(Ordering::Acquire);
        TokenTurn { cache: self, last: self.fetching.lock().await, failures_seen }
    }

    /// Removes a token that Dynamics refused, unless it was already replaced.
    pub(super) fn refuse(&self, refused: &Arc<Token>) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|token| Arc::ptr_eq(token, refused)) {
            *current = None;
        }
    }

    /// Prepares a request for a token, with a new proof of the credential. A certificate signs and a federated token is
    /// read off the event threads.
    pub(super) async fn prepare(&self) -> Result<TokenRequest, Fault> {
        if let ClientCredential::Secret(secret) = &self.credentials.credential {
            return Ok(self.request(&ClientProof::Secret(secret.clone())));
        }
        let (credentials, audience) = (self.credentials.clone(), self.url.clone());
        let prove = move || credentials.credential.prove(&credentials.client_id, &audience);
        let proved = self.proving.run(PROOF_LIMIT, prove).await.map_err(|problem| {
            let message = match problem {
                OffThreadError::Late => "reading the file of federated_token takes too long",
                OffThreadError::Panicked => "the proof of the credential could not be made",
            };
            Fault::unanswered(StepName::Token, Remedy::Retry, message.to_owned())
        })?;
        proved.map(|proof| self.request(&proof)).map_err(|why| withheld(&why))
    }

    fn request(&self, proof: &ClientProof) -> TokenRequest {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", &self.credentials.client_id)
            .extend_pairs(proof.fields())
            .append_pair("scope", &self.scope)
            .finish();
        TokenRequest { url: self.url.clone(), form: form.into(), secrets: Secrets::of(&proof.secrets()) }
    }

    /// Stores the token in the answer.
    pub(super) fn store(&self, answer: &Answer, to: &TokenRequest, now: Timestamp) -> Result<Arc<Token>, Fault> {
        let token = Arc::new(read(answer, now, &to.secrets)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        Ok(token)
    }
}

impl TokenTurn<'_> {
    /// Returns the result of the fetch that this turn waited for, or `None` if the caller must fetch.
    pub(super) fn shared_result(&self) -> Option<Result<Arc<Token>, TokenFailure>> {
        if let Some(token) = self.cache.cached() {
            return Some(Ok(token));
        }
        let failed_meanwhile = self.cache.failures.load(Ordering::Acquire) != self.failures_seen;
        self.last.clone().filter(|_| failed_meanwhile).map(Err)
    }

    /// Passes a failure to the waiting tasks, so that they do not repeat the request one after the other.
    pub(super) fn failed(&mut self, fault: &Fault, ended: Option<RequestResult>) {
        *self.last = Some((fault.clone(), ended));
        self.cache.failures.fetch_add(1, Ordering::AcqRel);
    }
}

impl TokenRequest {
    /// Returns the request.
    pub(super) fn build(&self, client: &reqwest::Client) -> reqwest::RequestBuilder {
        client
            .post(&self.url)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json")
            .body(self.form.expose_secret().to_owned())
    }
}

/// Texts of a credential's proof that no message may contain, whole or in part.
struct Secrets(Vec<SecretString>);

impl Secrets {
    fn of(secrets: &[&str]) -> Self {
        Self(secrets.iter().map(|secret| SecretString::from(*secret)).collect())
    }

    /// Returns a text without the secrets, as a proxy's page may quote the whole request.
    fn hidden(&self, text: &str) -> String {
        let secrets: Vec<&str> = self.0.iter().map(ExposeSecret::expose_secret).collect();
        without_secrets(text, &secrets)
    }
}

impl Token {
    /// Returns the token as Entra ID issued it, to be searched for in messages.
    pub(super) fn expose(&self) -> &str {
        self.authorization.to_str().ok().and_then(|value| value.strip_prefix(SCHEME)).unwrap_or_default()
    }
}

/// Returns the fault of an unavailable credential. The organization is at fault, not its event.
fn withheld(withheld: &Withheld) -> Fault {
    Fault {
        remedy: Remedy::Hold,
        step: StepName::Token,
        status: None,
        code: None,
        message: withheld.why.clone(),
        advice: withheld.advice.clone(),
        request_id: None,
    }
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    /// Lifetime in seconds. Entra ID's older endpoint, and substitutes for it, write it as a string.
    #[serde(default)]
    expires_in: Value,
}

#[derive(Deserialize, Default)]
struct RefusedToken {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
}

fn read(answer: &Answer, now: Timestamp, secrets: &Secrets) -> Result<Token, Fault> {
    if answer.status != 200 {
        return Err(refusal(answer, now, secrets));
    }
    let unreadable =
        || fault(answer, Remedy::Retry, None, "unreadable answer; expected a token".to_owned(), String::new());
    let granted: Granted = serde_json::from_slice(&answer.body).map_err(|_| unreadable())?;
    if granted.access_token.is_empty() {
        return Err(unreadable());
    }
    let bearer = format!("{SCHEME}{}", granted.access_token);
    let mut authorization = HeaderValue::from_str(&bearer).map_err(|_| unreadable())?;
    authorization.set_sensitive(true);
    let lifetime = lifetime(&granted.expires_in).unwrap_or(UNKNOWN_LIFE).min(LONGEST_LIFE);
    // A short-lived token, such as a test's, is used for half of its lifetime.
    let use_for = lifetime.saturating_sub(RENEW_BEFORE).max(lifetime / 2);
    Ok(Token { authorization, renew_at: Instant::now() + use_for })
}

/// Reads a lifetime in seconds. None is zero: such a token could not be used at all.
fn lifetime(value: &Value) -> Option<Duration> {
    let seconds = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    Duration::try_from_secs_f64(seconds.min(LONGEST_LIFE.as_secs_f64())).ok().filter(|life| !life.is_zero())
}

/// Classifies a refusal by its complete answer. The returned fault contains no secret.
fn refusal(answer: &Answer, now: Timestamp, secrets: &Secrets) -> Fault {
    let refused: RefusedToken = serde_json::from_slice(&answer.body).unwrap_or_default();
    let code = code(&secrets.hidden(&refused.error));
    let error = ErrorBody { code: refused.error.to_lowercase(), message: refused.error_description };
    let verdict = classify(StepName::Token, None, answer, &error, now);
    // Only the first sentence is kept; trace ids and times follow it.
    let message = match error.message.split(" Trace ID").next().unwrap_or_default() {
        "" => format!("the token request was answered with HTTP status {}", answer.status),
        text => secrets.hidden(text),
    };
    fault(answer, verdict.remedy, code, message, verdict.advice)
}

/// Returns the text of a code field if it is a plausible code.
fn code(text: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let is_code = (1..=LONGEST_CODE).contains(&text.len()) && text.bytes().all(plain);
    is_code.then(|| text.to_lowercase())
}

fn fault(answer: &Answer, remedy: Remedy, code: Option<String>, message: String, advice: String) -> Fault {
    Fault {
        remedy,
        step: StepName::Token,
        status: Some(answer.status),
        code,
        message,
        advice,
        request_id: answer.request_id.map(|id| id.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use handoffd_engine::workflow::samples::at;

    const NOW: &str = "2026-11-22T10:15:00Z";

    fn answer(status: u16, retry_after: Option<&str>, body: &str) -> Answer {
        let retry_after = retry_after.map(str::to_owned);
        Answer { status, retry_after, body: Bytes::from(body.to_owned()), ..Answer::default() }
    }

    #[test]
    fn a_lifetime_is_a_number_or_a_string() {
        for lifetime in ["3599", "\"3599\"", "3599.0", "\" 3599.5 \""] {
            let body = format!(r#"{{"token_type":"Bearer","expires_in":{lifetime},"access_token":"t"}}"#);
            let token = read(&answer(200, None, &body), at(NOW), &secrets()).unwrap();
            assert!(token.renew_at > Instant::now() + Duration::from_secs(3000), "{lifetime}");
        }
    }

    fn secrets() -> Secrets {
        Secrets::of(&["s3cret/+ü"])
    }

    #[test]
    fn a_token_without_a_usable_lifetime_is_shared_for_a_moment() {
        for lifetime in ["null", "0", "-5", "true", "\"soon\""] {
            let body = format!(r#"{{"expires_in":{lifetime},"access_token":"t"}}"#);
            let token = read(&answer(200, None, &body), at(NOW), &secrets()).unwrap();
            assert!(token.renew_at > Instant::now() + UNKNOWN_LIFE / 4, "{lifetime}");
            assert!(token.renew_at <= Instant::now() + UNKNOWN_LIFE, "{lifetime}");
        }
    }

    #[test]
    fn an_empty_token_is_unreadable() {
        let fault = read(&answer(200, None, r#"{"expires_in":3599,"access_token":""}"#), at(NOW), &secrets());
        assert_eq!(fault.map(|_| ()).unwrap_err().remedy, Remedy::Retry);
    }

    #[test]
    fn an_invalid_lifetime_is_harmless() {
        for lifetime in
            ["18446744073709551615", "\"99999999999999999999\"", "-5", "1e400", "null", "{}", "3599.5", "true"]
        {
            let body = format!(r#"{{"expires_in":{lifetime},"access_token":"t"}}"#);
            // 1e400 is not a valid number, so the whole answer is unreadable.
            if let Ok(token) = read(&answer(200, None, &body), at(NOW), &secrets()) {
                assert!(token.renew_at <= Instant::now() + LONGEST_LIFE, "{lifetime}");
            }
        }
    }

    #[test]
    fn a_quoted_secret_is_hidden() {
        for quoted in ["s3cret/+ü", "client_secret=s3cret%2F%2B%C3%BC&scope=x"] {
            let body = serde_json::json!({ "error": "invalid_client", "error_description": format!("Bad: {quoted}.") });
            let fault = read(&answer(401, None, &body.to_string()), at(NOW), &secrets()).unwrap_err();
            assert!(!fault.message.contains("s3cret") && fault.message.contains("***"), "{}", fault.message);
            let body = serde_json::json!({ "error": quoted });
            let fault = read(&answer(401, None, &body.to_string()), at(NOW), &secrets()).unwrap_err();
            assert_eq!(fault.code, None);
        }
        for (code, expected) in [("S3CRET", None), ("invalid_client", Some("invalid_client"))] {
            let body = serde_json::json!({ "error": code });
            let fault = read(&answer(401, None, &body.to_string()), at(NOW), &secrets()).unwrap_err();
            assert_eq!(fault.code.as_deref(), expected);
        }
    }

    /// A signature would complete the parts that are no secret.
    #[test]
    fn a_quoted_assertion_is_hidden_whole_and_in_part() {
        let secrets = Secrets::of(&ClientProof::Assertion("head.claims.s1gnature".into()).secrets());
        for quoted in ["client_assertion=head.claims.s1gnature&scope=x", "the signature s1gnature is wrong"] {
            let hidden = secrets.hidden(quoted);
            assert!(!hidden.contains("s1gnature") && hidden.contains("***"), "{hidden}");
        }
    }

    #[test]
    fn a_throttling_token_service_is_waited_for() {
        let wait =
            |status, retry_after| read(&answer(status, retry_after, ""), at(NOW), &secrets()).unwrap_err().remedy;
        let after = |seconds| Remedy::NotBefore(at(NOW) + Duration::from_secs(seconds));
        assert_eq!(wait(429, Some("7")), after(7));
        assert_eq!(wait(429, Some("Sun, 22 Nov 2026 10:15:09 GMT")), after(9));
        assert_eq!(wait(503, None), Remedy::Retry);
    }
}
