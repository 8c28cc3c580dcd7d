//! Access to Dataverse: bearer token, IP firewall, application user and required headers.

use uuid::Uuid;

use super::call::IncomingRequest;
use super::refusal::Refusal;
use super::settings::EnvironmentSettings;
use super::switches::{ApplicationUser, Availability, Firewall, Headers};
use super::target::Target;

/// Returns the bearer token of a request.
pub(super) fn bearer(call: &IncomingRequest) -> Result<&str, Refusal> {
    let token = call.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    token.ok_or_else(|| Refusal::unauthorized("The request has no bearer token."))
}

/// Refuses callers whose access is blocked for reasons that a new token does not fix.
pub(super) fn check(
    call: &IncomingRequest,
    target: &Target,
    settings: &EnvironmentSettings,
    user: Uuid,
) -> Result<(), Refusal> {
    if settings.ip_firewall == Firewall::Blocking {
        let message = "The request you are trying to make is rejected as access to your IP is blocked. Contact your \
                       administrator for more information.";
        return Err(Refusal::new(403, "0x80095ffe", message));
    }
    if settings.availability == Availability::Disabled {
        let message = "The organization is disabled. Please contact your system administrator.";
        return Err(Refusal::new(403, "0x8004a104", message));
    }
    match settings.application_user {
        ApplicationUser::Present => {}
        ApplicationUser::Missing => {
            return Err(Refusal::unauthorized("The application has no application user in this environment."));
        }
        ApplicationUser::NotAMember => {
            return Err(Refusal::new(403, "0x80072560", "The user is not a member of the organization."));
        }
        ApplicationUser::Disabled => {
            let message = format!("The specified user(Id = {user}) is disabled. Consider enabling this user.");
            return Err(Refusal::new(403, "0x80040225", message));
        }
        // Dataverse refuses even `WhoAmI` to a user without roles.
        ApplicationUser::NoRoles => {
            let message = format!(
                "The user with id {user} has not been assigned any roles. They need a role with the prvReadUser privilege."
            );
            return Err(Refusal::new(403, "0x80042f09", message));
        }
    }
    match settings.headers {
        Headers::Strict => headers(call, target),
        Headers::Lenient => Ok(()),
    }
}

/// Requires the OData headers. Dataverse is more lenient and picks a version itself when they are absent.
fn headers(call: &IncomingRequest, target: &Target) -> Result<(), Refusal> {
    let required = |header: &str, expected: &str| {
        let message = format!("The simulator requires the header '{header}: {expected}'.");
        Refusal::new(400, "0x80060800", message)
    };
    for header in ["OData-Version", "OData-MaxVersion"] {
        if call.header(header) != Some("4.0") {
            return Err(required(header, "4.0"));
        }
    }
    let accept = call.header("accept").unwrap_or_default();
    if *target != Target::Metadata && !accept.contains("application/json") {
        return Err(required("Accept", "application/json"));
    }
    Ok(())
}
