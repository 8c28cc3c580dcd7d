//! Kinds of environment.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Kind of environment to simulate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Environment prepared for OpenCX: accepts incidents without a customer, a queue bound
    /// with the incident, resolving by PATCH, four priorities.
    #[default]
    OpenCx,
    /// Dynamics 365 Customer Service as installed: a customer is required, incidents have no queue
    /// lookup, resolving requires the `CloseIncident` action, three priorities.
    Stock,
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "opencx" => Ok(Self::OpenCx),
            "stock" => Ok(Self::Stock),
            _ => Err(format!("profile `{text}`: expected `opencx` or `stock`")),
        }
    }
}
