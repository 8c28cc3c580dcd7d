//! Entra ID's token endpoint, and the tokens it has issued.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use axum::http::Method;
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::answer::SimulatedAnswer;
use super::call::{self, IncomingRequest};
use super::settings::EnvironmentSettings;
use super::switches::{Application, Secret};

/// Tokens of one environment with their expiry times.
#[derive(Default)]
pub(super) struct Tokens(HashMap<String, Instant>);

/// Refused token request.
struct TokenRefusal {
    status: u16,
    error: &'static str,
    code: u32,
    message: String,
}

impl Tokens {
    /// Issues a token and removes expired ones.
    pub(super) fn issue(&mut self, lifetime: Duration) -> String {
        let now = Instant::now();
        self.0.retain(|_, end| *end > now);
        // The token only resembles a JSON Web Token; clients must treat it as opaque.
        let (head, body) = (Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let token = format!("eyJ0eXAiOiJKV1Qi.{head}.{body}");
        self.0.insert(token.clone(), now + lifetime);
        token
    }

    /// Returns true if the token was issued for this environment and has not expired.
    pub(super) fn holds(&self, token: &str) -> bool {
        self.0.get(token).is_some_and(|end| *end > Instant::now())
    }

    /// Revokes all tokens.
    pub(super) fn revoke(&mut self) {
        self.0.clear();
    }
}

/// Returns the environment that a token request names: its `scope` without `/.default`.
pub(super) fn resource(call: &IncomingRequest) -> Option<String> {
    let form = call::pairs(std::str::from_utf8(&call.body).ok()?);
    let (_, scope) = form.into_iter().find(|(name, _)| name == "scope")?;
    Some(scope.strip_suffix("/.default")?.to_owned())
}

/// Returns the body with the secret masked, for the journal.
pub(super) fn masked(body: &[u8]) -> String {
    let form = call::pairs(&String::from_utf8_lossy(body));
    let parts = form.into_iter().map(|(name, value)| match name.as_str() {
        "client_secret" => format!("{name}=***"),
        _ => format!("{name}={value}"),
    });
    parts.collect::<Vec<_>>().join("&")
}

/// Answers a token request. `known` lists the URLs that a scope may name.
pub(super) fn answer(
    call: &IncomingRequest,
    tenant: &str,
    settings: &EnvironmentSettings,
    known: &[String],
    tokens: &mut Tokens,
) -> SimulatedAnswer {
    match check(call, tenant, settings, known) {
        Ok(()) => {
            let lifetime = settings.token_lifetime_s;
            let token = tokens.issue(Duration::from_secs(lifetime));
            let body = json!({"token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": token});
            headed(SimulatedAnswer::json(200, &body))
        }
        Err(refused) => headed(refused.answer()),
    }
}

fn check(
    call: &IncomingRequest,
    tenant: &str,
    settings: &EnvironmentSettings,
    known: &[String],
) -> Result<(), TokenRefusal> {
    if call.method != Method::POST {
        return Err(invalid(900_561, "The endpoint only accepts POST requests. Received a GET request."));
    }
    let form = form(call)?;
    let field = |name: &str| {
        let found = form.iter().find(|(key, value)| key == name && !value.is_empty());
        let missing = || format!("The request body must contain the following parameter: '{name}'.");
        found.map(|(_, value)| value.as_str()).ok_or_else(|| invalid(900_144, &missing()))
    };
    if tenant != settings.tenant_id {
        let message = format!(
            "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud."
        );
        return Err(invalid(90_002, &message));
    }
    let grant = field("grant_type")?;
    if grant != "client_credentials" {
        let message = format!("The app requested an unsupported grant type '{grant}'.");
        return Err(refused(400, "unsupported_grant_type", 70_003, message));
    }
    application(settings, field("client_id")?)?;
    secret(settings, field("client_secret")?)?;
    scope(field("scope")?, known)
}

fn form(call: &IncomingRequest) -> Result<Vec<(String, String)>, TokenRefusal> {
    let content_type = call.header("content-type").unwrap_or_default();
    let text = std::str::from_utf8(&call.body);
    match text {
        Ok(text) if content_type.starts_with("application/x-www-form-urlencoded") => Ok(call::pairs(text)),
        _ => Err(invalid(900_144, "The request body must contain the following parameter: 'grant_type'.")),
    }
}

fn application(settings: &EnvironmentSettings, client: &str) -> Result<(), TokenRefusal> {
    if settings.application == Application::Unknown || client != settings.client_id {
        let message = format!(
            "Application with identifier '{client}' was not found in the directory '{}'. This can happen if the application has \
             not been installed by the administrator of the tenant.",
            settings.tenant_id
        );
        return Err(refused(400, "unauthorized_client", 700_016, message));
    }
    if settings.application == Application::Disabled {
        let message = format!("Application '{client}' is disabled.");
        return Err(refused(400, "unauthorized_client", 7_000_112, message));
    }
    Ok(())
}

fn secret(settings: &EnvironmentSettings, secret: &str) -> Result<(), TokenRefusal> {
    let (status, client) = (settings.invalid_client_status, &settings.client_id);
    if !settings.client_secrets.iter().any(|known| known == secret) {
        let message = format!(
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client \
             secret ID, for a secret added to app '{client}'."
        );
        return Err(refused(status, "invalid_client", 7_000_215, message));
    }
    if settings.secret == Secret::Expired {
        let message = format!("The provided client secret keys for app '{client}' are expired.");
        return Err(refused(status, "invalid_client", 7_000_222, message));
    }
    Ok(())
}

fn scope(scope: &str, known: &[String]) -> Result<(), TokenRefusal> {
    let Some(resource) = scope.strip_suffix("/.default") else {
        let message = format!(
            "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with /.default \
             suffixed to the resource identifier (application ID URI)."
        );
        return Err(refused(400, "invalid_scope", 1_002_012, message));
    };
    if known.iter().any(|url| url == resource) {
        return Ok(());
    }
    let message = format!("The resource principal named {resource} was not found in the tenant.");
    Err(refused(400, "invalid_resource", 500_011, message))
}

fn invalid(code: u32, message: &str) -> TokenRefusal {
    refused(400, "invalid_request", code, message.to_owned())
}

fn refused(status: u16, error: &'static str, code: u32, message: String) -> TokenRefusal {
    TokenRefusal { status, error, code, message }
}

impl TokenRefusal {
    fn answer(&self) -> SimulatedAnswer {
        let (trace, correlation) = (Uuid::new_v4(), Uuid::new_v4());
        let now = Timestamp::now().strftime("%Y-%m-%d %H:%M:%SZ").to_string();
        let (code, message) = (self.code, &self.message);
        let body = json!({
            "error": self.error,
            "error_description":
                format!("AADSTS{code}: {message} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {now}"),
            "error_codes": [code],
            "timestamp": now,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": format!("https://login.microsoftonline.com/error?code={code}"),
        });
        SimulatedAnswer::json(self.status, &body)
    }
}

fn headed(answer: SimulatedAnswer) -> SimulatedAnswer {
    answer.with("cache-control", "no-store, no-cache").with("x-ms-request-id", Uuid::new_v4())
}
