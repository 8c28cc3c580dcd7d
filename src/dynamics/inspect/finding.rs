//! What one check of a test found.

use handoffd_engine::workflow::{Fault, Remedy};

/// What one check found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// What was looked at: `token`, `probe`, `owner`, …
    pub check: &'static str,
    /// Which half of the setup it belongs to.
    pub half: Half,
    /// What came of it.
    pub result: Found,
    /// What was found, in one line.
    pub message: String,
    /// What to do about it; empty when there is nothing to do.
    pub advice: String,
}

/// The halves of an organization's setup.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Half {
    /// Entra ID: tenant, application, secret.
    Credentials,
    /// Dynamics 365: environment, application user, privileges, records.
    Environment,
}

/// What came of a check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// All is well.
    Passed,
    /// Events will fail or wait.
    Failed,
    /// Events will go through, or most of them, but a person should look.
    Warned,
    /// Not made, or nothing to check.
    Skipped,
}

impl Finding {
    /// All is well.
    pub(super) fn passed(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Found::Passed, message.into(), String::new())
    }

    /// Events will fail or wait.
    pub(super) fn failed(check: &'static str, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(check, Found::Failed, message.into(), advice.into())
    }

    /// A person should look.
    pub(super) fn warned(check: &'static str, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(check, Found::Warned, message.into(), advice.into())
    }

    /// Not made.
    pub(super) fn skipped(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Found::Skipped, message.into(), String::new())
    }

    /// A request of the check was answered with this; what to do is said in the same words as for an event.
    pub(super) fn fault(check: &'static str, fault: &Fault) -> Self {
        Self::failed(check, said(fault), advice(fault))
    }

    /// The same, where events don't hang on it.
    pub(super) fn unknown(check: &'static str, what: &str, fault: &Fault) -> Self {
        Self::warned(check, format!("{what} could not be checked: {}", said(fault)), advice(fault))
    }

    /// The same, where the worker finds it out by itself: there is nothing to do.
    pub(super) fn unchecked(check: &'static str, what: &str, fault: &Fault) -> Self {
        Self::skipped(check, format!("{what} could not be checked: {}", said(fault)))
    }

    /// The same finding of the other half.
    pub(super) fn of_credentials(self) -> Self {
        Self { half: Half::Credentials, ..self }
    }

    fn new(check: &'static str, result: Found, message: String, advice: String) -> Self {
        Self { check, half: Half::Environment, result, message, advice }
    }
}

/// What a fault says, with its status and code.
fn said(fault: &Fault) -> String {
    let status = fault.status.map(|status| status.to_string());
    // What a code says is in the text of Entra ID already.
    let code = fault.code.clone().filter(|code| code.starts_with("0x"));
    let named: Vec<String> = status.into_iter().chain(code).collect();
    if named.is_empty() { fault.message.clone() } else { format!("{} ({})", fault.message, named.join(" ")) }
}

/// What to do about a fault, also where an event would only have to wait.
fn advice(fault: &Fault) -> String {
    if !fault.advice.is_empty() {
        return fault.advice.clone();
    }
    let words = match (fault.remedy, fault.status) {
        (Remedy::NotBefore(_), _) => "It asks for fewer requests: test again in a few minutes.",
        (_, None) => {
            "Nothing answers there: check the address (environment_url, dynamics.authority), name resolution, firewalls \
             and the proxy (HTTPS_PROXY), then test again."
        }
        (_, Some(_)) => "It has trouble of its own that should pass: test again in a few minutes.",
    };
    words.to_owned()
}
