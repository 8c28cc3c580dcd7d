//! Switches of an environment, as serialized by `/_simulator/settings`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::profile::Profile;
use super::rules::{NoAccess, Plugin, SecuredColumn};
use super::switches::{
    Application, ApplicationUser, Availability, Customer, DuplicateKey, Firewall, Headers, Resolving, Secret,
};

/// Behaviour of one environment, changeable while it runs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnvironmentSettings {
    /// Kind of environment; setting it sets `customer`, `queue_field`, `resolving`, `priorities`, `live_work_item_subject_limit`.
    pub profile: Profile,
    /// URL that clients use, without a trailing slash, if it is not `http://<listen>`.
    pub url: Option<String>,
    /// Latency of an answer: half before the effect, half after it.
    pub latency_ms: u64,
    /// Offset of the environment's clock from this machine's, in seconds.
    pub clock_offset_s: i64,

    /// Tenant registered with Entra ID.
    pub tenant_id: String,
    /// Application registered with Entra ID.
    pub client_id: String,
    /// Secrets of the application; two are valid during rotation.
    pub client_secrets: Vec<String>,
    /// Certificates of the application, each as PEM; their keys sign assertions.
    pub client_certificates: Vec<String>,
    /// Tokens of another issuer that the application trusts.
    pub federated_tokens: Vec<String>,
    /// Validity of the secrets.
    pub secret: Secret,
    /// State of the application registration.
    pub application: Application,
    /// Status of an `invalid_client` error; both 401 and 400 occur.
    pub invalid_client_status: u16,
    /// Lifetime of a token in seconds.
    pub token_lifetime_s: u64,

    /// State of the application user.
    pub application_user: ApplicationUser,
    /// Privileges taken from the application user (`prvCreateIncident`).
    pub missing_privileges: Vec<String>,
    /// Privileges that every other user lacks, owners of cases included.
    pub missing_owner_privileges: Vec<String>,
    /// State of the environment.
    pub availability: Availability,
    /// State of the environment's IP firewall.
    pub ip_firewall: Firewall,
    /// Entity sets that do not exist (`accounts`).
    pub missing_tables: Vec<String>,
    /// Entity sets that accept live work items.
    pub live_work_item_sets: Vec<String>,

    /// Requirement that an incident have a customer.
    pub customer: Customer,
    /// Navigation property of the lookup from incident to queue, if it exists.
    pub queue_field: Option<String>,
    /// Acceptance of PATCH to resolve an incident.
    pub resolving: Resolving,
    /// Largest `prioritycode`; the smallest is 1.
    pub priorities: u8,
    /// Longest `description` of an incident, in UTF-16 units.
    pub description_limit: usize,
    /// Error for a key that already exists.
    pub duplicate_key: DuplicateKey,
    /// Error code of a second `AddToQueue`: `0x80040526` or `0x8004051b`.
    pub already_queued: String,
    /// Error code for resolving a resolved case: `0x800404cf` or `0x80044411`; null accepts a second PATCH without effect.
    pub already_resolved: Option<String>,
    /// Cases with open activities, which can't be resolved. An open child case has the same effect.
    pub open_activities: Vec<Uuid>,
    /// Longest `subject` of a live work item, in UTF-16 units; null for no limit.
    pub live_work_item_subject_limit: Option<usize>,

    /// Columns whose values are unique in their table (`{"contacts": ["mobilephone"]}`).
    pub alternate_keys: BTreeMap<String, Vec<String>>,
    /// Columns under column security (`{"contacts.emailaddress1": "refused"}`).
    pub secured_columns: BTreeMap<String, SecuredColumn>,
    /// Rows that the application user has no right to.
    pub no_access: Vec<NoAccess>,
    /// Plug-ins that refuse or crash.
    pub plugins: Vec<Plugin>,
    /// File name extensions that notes must not have (`txt`); `*` for all.
    pub blocked_attachments: Vec<String>,
    /// Size limit of a note's attachment, in bytes.
    pub attachment_limit: usize,

    /// Requirement for the OData headers.
    pub headers: Headers,
    /// Service protection limits.
    pub limits: ServiceLimits,
    /// `x-ms-dop-hint` of every answer.
    pub dop_hint: Option<u32>,
    /// Number of requests kept in the journal.
    pub journal_entries: usize,
    /// Total size of the bodies kept in the journal.
    pub journal_body_bytes: usize,
}

/// Service protection limits; none by default.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServiceLimits {
    /// Largest number of concurrent requests; more get 429 `0x80072326`. Dataverse's own limit is 52.
    pub concurrent: Option<usize>,
    /// Largest number of requests in 300 s; more get 429 `0x80072322`. Dataverse's own limit is 6,000.
    pub requests: Option<usize>,
    /// `Retry-After` of both errors, in seconds.
    pub retry_after_s: u64,
}

/// Invalid settings.
#[derive(Debug, thiserror::Error)]
#[error("invalid settings: {0}")]
pub struct SettingsError(#[from] serde_json::Error);

impl Default for EnvironmentSettings {
    fn default() -> Self {
        Self::of(Profile::default())
    }
}

impl EnvironmentSettings {
    /// Returns the settings of this profile, with the ids of the example organization file.
    pub fn of(profile: Profile) -> Self {
        let mut settings = Self {
            profile,
            url: None,
            latency_ms: 0,
            clock_offset_s: 0,
            tenant_id: "11111111-1111-1111-1111-111111111111".into(),
            client_id: "22222222-2222-2222-2222-222222222222".into(),
            client_secrets: vec!["simulator-secret".into()],
            client_certificates: Vec::new(),
            federated_tokens: Vec::new(),
            secret: Secret::default(),
            application: Application::default(),
            invalid_client_status: 401,
            token_lifetime_s: 3599,
            application_user: ApplicationUser::default(),
            missing_privileges: Vec::new(),
            missing_owner_privileges: Vec::new(),
            availability: Availability::default(),
            ip_firewall: Firewall::default(),
            missing_tables: Vec::new(),
            live_work_item_sets: vec!["oc_liveworkitems".into()],
            customer: Customer::default(),
            queue_field: None,
            resolving: Resolving::default(),
            priorities: 4,
            description_limit: 2000,
            duplicate_key: DuplicateKey::default(),
            already_queued: "0x80040526".into(),
            already_resolved: Some("0x800404cf".into()),
            open_activities: Vec::new(),
            live_work_item_subject_limit: None,
            alternate_keys: BTreeMap::new(),
            secured_columns: BTreeMap::new(),
            no_access: Vec::new(),
            plugins: Vec::new(),
            blocked_attachments: Vec::new(),
            attachment_limit: 5 << 20,
            headers: Headers::default(),
            limits: ServiceLimits::default(),
            dop_hint: None,
            journal_entries: 100_000,
            journal_body_bytes: 32 << 20,
        };
        settings.adopt(profile);
        settings
    }

    /// Sets the switches that distinguish the profiles, and only those.
    pub(super) fn adopt(&mut self, profile: Profile) {
        self.profile = profile;
        match profile {
            Profile::OpenCx => {
                self.customer = Customer::Optional;
                self.queue_field = Some("queueid".into());
                self.resolving = Resolving::Accepted;
                self.priorities = 4;
                self.live_work_item_subject_limit = None;
            }
            Profile::Stock => {
                self.customer = Customer::Required;
                self.queue_field = None;
                self.resolving = Resolving::Refused;
                self.priorities = 3;
                self.live_work_item_subject_limit = Some(200);
            }
        }
    }

    /// Returns these settings with the changes of a JSON object applied.
    pub fn changed(&self, changes: &Value) -> Result<Self, SettingsError> {
        let mut settings = self.clone();
        if let Some(profile) = changes.get("profile") {
            settings.adopt(Profile::deserialize(profile)?);
        }
        let mut merged = serde_json::to_value(&settings)?;
        let (Some(all), Some(changes)) = (merged.as_object_mut(), changes.as_object()) else {
            let error: serde_json::Error = serde::de::Error::custom("expected a JSON object");
            return Err(error.into());
        };
        all.extend(changes.clone());
        Ok(serde_json::from_value(merged)?)
    }
}
