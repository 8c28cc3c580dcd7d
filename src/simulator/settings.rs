//! Every switch of an environment, as it stands on the wire of `/_simulator/settings`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::profile::Profile;
use super::rules::{NoAccess, Plugin, SecuredColumn};
use super::switches::{
    Application, ApplicationUser, Availability, Customer, DuplicateKey, Firewall, Headers, Resolving, Secret,
};

/// How one environment behaves. All of it can be changed while it runs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Which kind of environment; setting it sets `customer`, `queue_field`, `resolving`, `priorities`, `live_work_item_subject_limit`.
    pub profile: Profile,
    /// The URL that clients use, without a trailing slash, where it is not `http://<listen>`.
    pub url: Option<String>,
    /// How long an answer takes: half before the effect, half after it.
    pub latency_ms: u64,
    /// How far the environment's clock is ahead of this machine's, in seconds.
    pub clock_offset_s: i64,

    /// The tenant that Entra ID knows.
    pub tenant_id: String,
    /// The application that Entra ID knows.
    pub client_id: String,
    /// Its secrets; while one is rotated, two are valid.
    pub client_secrets: Vec<String>,
    /// Whether they are still valid.
    pub secret: Secret,
    /// What Entra ID thinks of the application.
    pub application: Application,
    /// Status of an `invalid_client`; both 401 and 400 are seen.
    pub invalid_client_status: u16,
    /// How long a token is valid, in seconds.
    pub token_lifetime_s: u64,

    /// What Dataverse thinks of the application user.
    pub application_user: ApplicationUser,
    /// Privileges taken from it (`prvCreateIncident`).
    pub missing_privileges: Vec<String>,
    /// Privileges that every other user lacks, owners of cases included.
    pub missing_owner_privileges: Vec<String>,
    /// Whether the environment is there.
    pub availability: Availability,
    /// The environment's IP firewall.
    pub ip_firewall: Firewall,
    /// Entity sets that are not there (`accounts`).
    pub missing_tables: Vec<String>,
    /// Entity sets under which live work items are taken.
    pub live_work_item_sets: Vec<String>,

    /// Whether an incident needs one.
    pub customer: Customer,
    /// Lookup from incident to queue, if there is one.
    pub queue_field: Option<String>,
    /// Whether an incident is resolved by PATCH.
    pub resolving: Resolving,
    /// `prioritycode` goes from 1 to this.
    pub priorities: u8,
    /// Longest `description` of an incident, in UTF-16 units.
    pub description_limit: usize,
    /// How a key that exists is refused.
    pub duplicate_key: DuplicateKey,
    /// Error code of a second `AddToQueue`: `0x80040526` or `0x8004051b`.
    pub already_queued: String,
    /// Error code for resolving a resolved case: `0x800404cf` or `0x80044411`; null takes a second PATCH as a change of nothing.
    pub already_resolved: Option<String>,
    /// Cases with open activities; they can't be resolved. An open child case has the same effect.
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
    /// Extensions of file names that notes must not have (`txt`); `*` for all.
    pub blocked_attachments: Vec<String>,
    /// Largest attachment of a note, in bytes.
    pub attachment_limit: usize,

    /// Whether the OData headers are insisted on.
    pub headers: Headers,
    /// Service protection.
    pub limits: Limits,
    /// `x-ms-dop-hint` of every answer.
    pub dop_hint: Option<u32>,
    /// How many requests the journal keeps.
    pub journal_entries: usize,
    /// How many bytes of their bodies.
    pub journal_body_bytes: usize,
}

/// Service protection limits; none by default.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// More at once are answered 429 `0x80072326`; Dataverse's own limit is 52.
    pub concurrent: Option<usize>,
    /// More in 300 s are answered 429 `0x80072322`; Dataverse's own limit is 6,000.
    pub requests: Option<usize>,
    /// `Retry-After` of both, in seconds.
    pub retry_after_s: u64,
}

/// Settings that can't be.
#[derive(Debug, thiserror::Error)]
#[error("these settings can't be: {0}")]
pub struct SettingsError(#[from] serde_json::Error);

impl Default for Settings {
    fn default() -> Self {
        Self::of(Profile::default())
    }
}

impl Settings {
    /// What this profile means. Ids are those of the example organization file.
    pub fn of(profile: Profile) -> Self {
        let mut settings = Self {
            profile,
            url: None,
            latency_ms: 0,
            clock_offset_s: 0,
            tenant_id: "11111111-1111-1111-1111-111111111111".into(),
            client_id: "22222222-2222-2222-2222-222222222222".into(),
            client_secrets: vec!["simulator-secret".into()],
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
            limits: Limits::default(),
            dop_hint: None,
            journal_entries: 100_000,
            journal_body_bytes: 32 << 20,
        };
        profile.apply(&mut settings);
        settings
    }

    /// These settings with some of them changed, as a JSON object names them.
    pub fn changed(&self, changes: &Value) -> Result<Self, SettingsError> {
        let mut settings = self.clone();
        if let Some(profile) = changes.get("profile") {
            Profile::deserialize(profile)?.apply(&mut settings);
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
