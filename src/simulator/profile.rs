//! Kinds of environment.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::settings::EnvironmentSettings;
use super::switches::{Customer, Resolving};

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

impl Profile {
    /// Sets the switches that distinguish the profiles, and only those.
    pub fn apply(self, settings: &mut EnvironmentSettings) {
        settings.profile = self;
        match self {
            Self::OpenCx => {
                settings.customer = Customer::Optional;
                settings.queue_field = Some("queueid".into());
                settings.resolving = Resolving::Accepted;
                settings.priorities = 4;
                settings.live_work_item_subject_limit = None;
            }
            Self::Stock => {
                settings.customer = Customer::Required;
                settings.queue_field = None;
                settings.resolving = Resolving::Refused;
                settings.priorities = 3;
                settings.live_work_item_subject_limit = Some(200);
            }
        }
    }
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
