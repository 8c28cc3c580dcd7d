//! Switches of a running environment, with the state derived from them.

use jiff::{SignedDuration, Timestamp};

use super::schema::Schema;
use super::settings::EnvironmentSettings;

/// Switches and the state derived from them.
pub(super) struct LiveSettings {
    /// Current switches.
    pub settings: EnvironmentSettings,
    /// Tables available under these switches.
    pub schema: Schema,
    /// URLs of the environment; the first is the canonical one.
    pub urls: Vec<String>,
}

impl LiveSettings {
    /// Derives the tables and URLs of these switches for an environment that listens at these addresses.
    pub(super) fn of(settings: EnvironmentSettings, addresses: &[String]) -> Self {
        let urls = settings.url.iter().chain(addresses).cloned().collect();
        Self { schema: Schema::of(&settings), settings, urls }
    }

    /// Returns the environment's time.
    pub(super) fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        now.checked_add(SignedDuration::from_secs(self.settings.clock_offset_s)).unwrap_or(now)
    }

    /// Returns the canonical URL.
    pub(super) fn url(&self) -> &str {
        self.urls.first().map_or("", String::as_str)
    }
}
