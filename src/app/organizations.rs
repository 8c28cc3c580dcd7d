//! The organizations for operators, as far as they can be read: their files, and how each fares with Dynamics.
//!
//! It stands in until they can be tested, paused and saved too; then this file is that.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::config::organizations::{self, Organization};
use crate::config::{Config, Environment};
use crate::crm::{Crm, Shut, Standing};
use crate::dynamics::Dynamics;
use crate::event::OrganizationId;
use crate::ops::seam::{OrganizationError, OrganizationView, Organizations, Source, State, TestReport};

/// Organizations of files, to be read.
pub(super) struct ReadOnly {
    pub(super) dynamics: Arc<Dynamics>,
    pub(super) config: Config,
    pub(super) env: Environment,
}

#[async_trait]
impl Organizations for ReadOnly {
    async fn list(&self) -> Vec<OrganizationView> {
        let loaded = organizations::read(&self.config.organizations.directory, &self.config, &self.env);
        let mut views: Vec<_> = loaded.organizations.iter().filter_map(|found| self.view(found)).collect();
        views.sort_by(|one, other| one.organization_id.cmp(&other.organization_id));
        views
    }

    async fn test(&self, id: &OrganizationId) -> Result<TestReport, OrganizationError> {
        Err(self.not_yet(id, "tested"))
    }

    async fn pause(&self, id: &OrganizationId) -> Result<OrganizationView, OrganizationError> {
        Err(self.not_yet(id, "paused"))
    }

    async fn resume(&self, id: &OrganizationId) -> Result<OrganizationView, OrganizationError> {
        Err(self.not_yet(id, "resumed"))
    }

    async fn save(&self, _: &OrganizationId, _: Value) -> Result<TestReport, OrganizationError> {
        Err(OrganizationError::Refused("an organization is saved as a file in organizations.directory".to_owned()))
    }

    async fn delete(&self, id: &OrganizationId) -> Result<(), OrganizationError> {
        Err(self.not_yet(id, "deleted"))
    }
}

impl ReadOnly {
    fn view(&self, found: &Organization) -> Option<OrganizationView> {
        let id = &found.settings.organization_id;
        let condition = self.dynamics.condition(id)?;
        let state = match (condition.blocked, self.dynamics.standing(id)) {
            (Some(blocked), _) => State::Blocked {
                since: blocked.since,
                error: blocked.fault.message.clone(),
                advice: blocked.fault.advice.clone(),
            },
            (None, Standing::Shut { until, why: Shut::Throttled }) => State::Throttled { until },
            (None, _) => State::Open,
        };
        Some(OrganizationView {
            organization_id: id.to_string(),
            environment_url: found.settings.environment_url.clone(),
            source: Source::File(found.file.display().to_string()),
            state,
            concurrency: condition.concurrency,
            under_way: 0,
            backlog: None,
        })
    }

    fn not_yet(&self, id: &OrganizationId, done: &str) -> OrganizationError {
        if self.dynamics.settings(id).is_none() {
            return OrganizationError::Unknown(id.clone());
        }
        OrganizationError::Refused(format!("an organization can't be {done} through this interface yet"))
    }
}
