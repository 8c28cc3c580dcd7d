//! Entra ID's token endpoint, and the tokens it has issued.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use axum::http::Method;
use serde_json::json;
use uuid::Uuid;

use super::answer::SimulatedAnswer;
use super::assertion::{self, AssertionContext};
use super::call::{self, IncomingRequest};
use super::live_settings::LiveSettings;
use super::settings::EnvironmentSettings;
use super::switches::{Application, Secret};
use super::token_refusal::{TokenRefusal, invalid, refused};

/// Tokens of one environment with their expiry times.
#[derive(Default)]
pub(super) struct Tokens {
    issued: HashMap<String, Instant>,
    /// Ids of assertions that were accepted.
    assertions: HashSet<String>,
}

impl Tokens {
    /// Issues a token and removes expired ones.
    pub(super) fn issue(&mut self, lifetime: Duration) -> String {
        let now = Instant::now();
        self.issued.retain(|_, end| *end > now);
        // The token only resembles a JSON Web Token; clients must treat it as opaque.
        let (head, body) = (Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let token = format!("eyJ0eXAiOiJKV1Qi.{head}.{body}");
        self.issued.insert(token.clone(), now + lifetime);
        token
    }

    /// Returns true if the token was issued for this environment and has not expired.
    pub(super) fn holds(&self, token: &str) -> bool {
        self.issued.get(token).is_some_and(|end| *end > Instant::now())
    }

    /// Remembers the id of an assertion. Returns false if it was used before.
    pub(super) fn first_use(&mut self, assertion: &str) -> bool {
        self.assertions.insert(assertion.to_owned())
    }

    /// Revokes all tokens.
    pub(super) fn revoke(&mut self) {
        self.issued.clear();
    }
}

/// Returns the environment that a token request names: its `scope` without `/.default`.
pub(super) fn resource(call: &IncomingRequest) -> Option<String> {
    let form = call::pairs(std::str::from_utf8(&call.body).ok()?);
    let (_, scope) = form.into_iter().find(|(name, _)| name == "scope")?;
    Some(scope.strip_suffix("/.default")?.to_owned())
}

/// Returns the body with its credential masked, for the journal.
pub(super) fn masked(body: &[u8]) -> String {
    let form = call::pairs(&String::from_utf8_lossy(body));
    let parts = form.into_iter().map(|(name, value)| match name.as_str() {
        "client_secret" | "client_assertion" => format!("{name}=***"),
        _ => format!("{name}={value}"),
    });
    parts.collect::<Vec<_>>().join("&")
}

/// Answers a token request.
pub(super) fn answer(
    call: &IncomingRequest,
    tenant: &str,
    live: &LiveSettings,
    tokens: &mut Tokens,
) -> SimulatedAnswer {
    match check(call, tenant, live, tokens) {
        Ok(()) => {
            let lifetime = live.settings.token_lifetime_s;
            let token = tokens.issue(Duration::from_secs(lifetime));
            let body = json!({"token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": token});
            headed(SimulatedAnswer::json(200, &body))
        }
        Err(refused) => headed(refused.answer()),
    }
}

fn check(call: &IncomingRequest, tenant: &str, live: &LiveSettings, tokens: &mut Tokens) -> Result<(), TokenRefusal> {
    let settings = &live.settings;
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
    if let Ok(presented) = field("client_assertion") {
        if field("client_secret").is_ok() {
            return Err(invalid(90_014, "Only one of 'client_secret' and 'client_assertion' may be presented."));
        }
        assertion::check_type(field("client_assertion_type")?)?;
        let context = AssertionContext { live, tenant, host: call.header("host") };
        let id = assertion::check(presented, &context)?;
        if id.is_some_and(|id| !tokens.first_use(&id)) {
            return Err(assertion::replayed(&context));
        }
    } else {
        secret(settings, field("client_secret")?)?;
    }
    scope(field("scope")?, &live.urls)
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

fn headed(answer: SimulatedAnswer) -> SimulatedAnswer {
    answer.with("cache-control", "no-store, no-cache").with("x-ms-request-id", Uuid::new_v4())
}
