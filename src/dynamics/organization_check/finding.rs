//! Result of one check of a test.

use std::sync::Arc;

use handoffd_engine::workflow::{Fault, Remedy};
use schemars::JsonSchema;
use serde::Serialize;

/// One check of a test.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Check")]
pub struct Finding {
    /// Name of the check: `file`, `token`, `credential`, `probe`, `owner`, `queue`, `workstream`, …
    pub check: &'static str,
    /// Half of the setup that the check belongs to.
    pub half: SetupHalf,
    /// Result.
    pub result: CheckResult,
    /// Finding, in one line.
    pub message: String,
    /// Recommended action; empty if none is needed.
    pub advice: String,
}

/// Receiver of the checks of a test, each when it is done.
pub type CheckProgress = Arc<dyn Fn(&Finding) + Send + Sync>;

/// Halves of an organization's setup, as "Test & Save" divides it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SetupHalf {
    /// Entra ID: tenant, application, secret.
    Credentials,
    /// Dynamics 365: environment, application user, privileges, records.
    Environment,
}

/// Result of a check.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckResult {
    /// No problem found.
    Passed,
    /// Events will fail or wait.
    Failed,
    /// Events will be processed, but someone should review the finding.
    Warned,
    /// Not run, because an earlier check failed or there is nothing to check.
    Skipped,
}

impl Finding {
    /// Creates the finding of a correct setup.
    pub(super) fn passed(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, CheckResult::Passed, message.into(), String::new())
    }

    /// Creates a finding of events that will fail or wait.
    pub(super) fn failed(check: &'static str, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(check, CheckResult::Failed, message.into(), advice.into())
    }

    /// Creates the warning that not the present file was tested, but its last valid version.
    pub fn of_faulty_file(fault: &str) -> Self {
        let message = format!("its file is faulty; its last valid version was tested: {fault}");
        let advice = "Correct the file; `handoffd config check` lists every fault. The last valid version is in effect until the \
                      worker restarts.";
        Self::warned("file", message, advice)
    }

    /// Creates a finding that the operator should check.
    pub(super) fn warned(check: &'static str, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(check, CheckResult::Warned, message.into(), advice.into())
    }

    /// Creates the finding of a check that was not made.
    pub(super) fn skipped(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, CheckResult::Skipped, message.into(), String::new())
    }

    /// Creates a failure from the fault of a request, with the same advice as for an event.
    pub(super) fn fault(check: &'static str, fault: &Fault) -> Self {
        Self::failed(check, said(fault), advice(fault))
    }

    /// Creates a warning from the fault of a request that events do not depend on.
    pub(super) fn unknown(check: &'static str, what: &str, fault: &Fault) -> Self {
        Self::warned(check, format!("{what} could not be checked: {}", said(fault)), advice(fault))
    }

    /// Creates a skipped finding from the fault of a request for a limit that the worker adapts to by itself.
    pub(super) fn unchecked(check: &'static str, what: &str, fault: &Fault) -> Self {
        Self::skipped(check, format!("{what} could not be checked: {}", said(fault)))
    }

    /// Assigns the finding to the credentials.
    pub(super) fn of_credentials(self) -> Self {
        Self { half: SetupHalf::Credentials, ..self }
    }

    fn new(check: &'static str, result: CheckResult, message: String, advice: String) -> Self {
        Self { check, half: SetupHalf::Environment, result, message, advice }
    }
}

/// Formats the message of a fault with its status and code.
fn said(fault: &Fault) -> String {
    let status = fault.status.map(|status| status.to_string());
    // Messages of Entra ID already contain its codes.
    let code = fault.code.clone().filter(|code| code.starts_with("0x"));
    let named: Vec<String> = status.into_iter().chain(code).collect();
    if named.is_empty() { fault.message.clone() } else { format!("{} ({})", fault.message, named.join(" ")) }
}

/// Returns the advice on a fault, including faults for which an event would only wait.
fn advice(fault: &Fault) -> String {
    if !fault.advice.is_empty() {
        return fault.advice.clone();
    }
    let words = match (fault.remedy, fault.status) {
        (Remedy::NotBefore(_), _) => "The service is throttling requests. Test again in a few minutes.",
        (_, None) => {
            "The address does not answer. Check environment_url, dynamics.authority, name resolution, firewalls and \
             the proxy (HTTPS_PROXY), then test again."
        }
        (_, Some(_)) => "The service has a temporary failure. Test again in a few minutes.",
    };
    words.to_owned()
}
