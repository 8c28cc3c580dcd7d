//! Operators' queries and changes of organizations: list, test, pause, resume, save, delete.

use async_trait::async_trait;
use futures_util::future::join_all;
use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::store::{Change, SavedOrganization};
use jiff::Timestamp;
use serde_json::Value;
use tracing::info;

use super::document::parse_document;
use super::operations::{OrganizationError, Organizations};
use super::organization::Organization;
use super::registry::OrganizationRegistry;
use super::saved::encrypt_document;
use super::view::{Check, CheckResult, OrganizationView, SetupHalf, TestReport};

#[async_trait]
impl Organizations for OrganizationRegistry {
    async fn list(&self) -> Vec<OrganizationView> {
        let known: Vec<(Organization, Option<Timestamp>)> = {
            let roster = self.roster().await;
            let paused = |one: &Organization| roster.pauses.get(&one.settings.organization_id).copied();
            roster.in_force().iter().map(|one| (one.clone(), paused(one))).collect()
        };
        // The broker is queried after the lock is released.
        join_all(known.iter().map(|(one, paused)| self.view(one, *paused))).await.into_iter().flatten().collect()
    }

    async fn test(&self, id: &OrganizationId) -> Result<TestReport, OrganizationError> {
        let organization = self.known(id).await?;
        Ok(self.inspect(&organization).await)
    }

    async fn pause(&self, id: &OrganizationId) -> Result<OrganizationView, OrganizationError> {
        let mut roster = self.roster().await;
        let organization = roster.get(id).cloned().ok_or_else(|| OrganizationError::Unknown(id.clone()))?;
        let known = roster.pauses.get(id).copied();
        let since = known.unwrap_or_else(Timestamp::now);
        // Stored even if it is paused already: a store that replaced a damaged one lacks the pause.
        self.keep(vec![Change::Pause(id.clone(), since)]).await?;
        if known.is_none() {
            roster.pauses.insert(id.clone(), since);
            self.refresh(&mut roster);
            info!(organization_id = %id, "organization paused; its events are on hold until it is resumed");
        }
        drop(roster);
        self.stands(&organization, Some(since)).await
    }

    async fn resume(&self, id: &OrganizationId) -> Result<OrganizationView, OrganizationError> {
        let mut roster = self.roster().await;
        let organization = roster.get(id).cloned().ok_or_else(|| OrganizationError::Unknown(id.clone()))?;
        if roster.pauses.contains_key(id) {
            self.keep(vec![Change::Resume(id.clone())]).await?;
            roster.pauses.remove(id);
            self.refresh(&mut roster);
            info!(organization_id = %id, "organization resumed");
        }
        drop(roster);
        self.stands(&organization, None).await
    }

    async fn save(&self, id: &OrganizationId, document: Value) -> Result<TestReport, OrganizationError> {
        let document = named(id, document)?;
        let organization =
            parse_document(&document, &self.config).map_err(|faults| OrganizationError::Invalid(faults.to_string()))?;
        if !self.vault.has_key() {
            return Err(OrganizationError::Refused(
                "can't encrypt the secret without a key; set organizations.encryption_key (openssl rand -base64 32) and restart \
                 the worker, or configure the organization in a file"
                    .to_owned(),
            ));
        }
        let row = self.row(id, &document)?;
        let mut report = self.inspect(&organization).await;
        if !report.passed {
            return Err(OrganizationError::Untested(report));
        }
        let mut roster = self.roster().await;
        let kept = serde_json::from_str(&row.document).unwrap_or_default();
        self.keep(vec![Change::Organization(row)]).await?;
        roster.save(id.clone(), &kept, &self.vault, &self.config);
        info!(organization_id = %id, "organization saved in the store");
        self.refresh(&mut roster);
        if let Some(file) = roster.files.get(id) {
            report.checks.push(shadowed(&file.source.to_string()));
        }
        Ok(report)
    }

    async fn delete(&self, id: &OrganizationId) -> Result<(), OrganizationError> {
        let mut roster = self.roster().await;
        if !roster.has_saved(id) {
            return Err(match roster.get(id) {
                Some(of_file) => OrganizationError::Refused(format!(
                    "organization {:?} is configured by {}, not in the store; remove that file instead",
                    id.as_str(),
                    of_file.source
                )),
                None => OrganizationError::Unknown(id.clone()),
            });
        }
        let mut changes = vec![Change::ForgetOrganization(id.clone())];
        let is_gone = roster.files.get(id).is_none();
        // A pause that outlives its organization would surprise whoever saves it again.
        changes.extend(is_gone.then(|| Change::Resume(id.clone())));
        self.keep(changes).await?;
        roster.forget(id);
        if is_gone {
            roster.pauses.remove(id);
        }
        info!(organization_id = %id, "organization deleted from the store");
        self.refresh(&mut roster);
        Ok(())
    }
}

impl OrganizationRegistry {
    async fn known(&self, id: &OrganizationId) -> Result<Organization, OrganizationError> {
        self.roster().await.get(id).cloned().ok_or_else(|| OrganizationError::Unknown(id.clone()))
    }

    async fn stands(
        &self,
        organization: &Organization,
        paused: Option<Timestamp>,
    ) -> Result<OrganizationView, OrganizationError> {
        let id = organization.settings.organization_id.clone();
        self.view(organization, paused).await.ok_or(OrganizationError::Unknown(id))
    }

    /// Builds the stored form of a valid document, with its secret encrypted.
    fn row(&self, id: &OrganizationId, document: &Value) -> Result<SavedOrganization, OrganizationError> {
        let kept = encrypt_document(id, document, &self.vault).unwrap_or_default().to_string();
        if kept.len() > SavedOrganization::LONGEST {
            return Err(OrganizationError::Invalid(format!(
                "the document takes {} bytes, the limit is {}; shorten ticket_properties, or configure the organization in a \
                 file",
                kept.len(),
                SavedOrganization::LONGEST
            )));
        }
        Ok(SavedOrganization { id: id.clone(), document: kept })
    }
}

/// Returns the document with its id, which may be given only in the path.
fn named(id: &OrganizationId, mut document: Value) -> Result<Value, OrganizationError> {
    let Some(object) = document.as_object_mut() else {
        return Err(OrganizationError::Invalid(
            "expected a JSON object with the keys of an organization's file".to_owned(),
        ));
    };
    match object.get("organization_id") {
        None | Some(Value::Null) => {
            object.insert("organization_id".to_owned(), id.as_str().into());
        }
        Some(given) if given == id.as_str() => {}
        Some(_) => {
            return Err(OrganizationError::Invalid(format!(
                "organization_id: expected {:?}, as in the URL, or no value",
                id.as_str()
            )));
        }
    }
    Ok(document)
}

/// Builds the warning that a saved organization has no effect because a file takes precedence.
fn shadowed(file: &str) -> Check {
    Check {
        check: "source".to_owned(),
        half: SetupHalf::Environment,
        result: CheckResult::Warned,
        message: format!("the organization is saved, but {file} configures it too and takes precedence"),
        advice: "Remove the file for the saved settings to take effect.".to_owned(),
    }
}
