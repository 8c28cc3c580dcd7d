//! In: the configuration file and environment variables.
//! Out: a `Config` with typed values, or all of its faults at once; the readers that organizations' files share with it.
//! Absent: use of the values; organizations; printing.

mod broker_url;
mod checks;
pub(crate) mod document;
mod duration;
mod exposed;
pub(crate) mod fault;
mod insecurity;
mod layer;
mod model;
mod pem;
pub(crate) mod reader;
pub mod schema;
mod secret;
pub(crate) mod setting;
mod show;
mod store_url;
pub(crate) mod suggest;
pub(crate) mod url;
pub(crate) mod value;
mod variable;

use std::path::Path;

pub use broker_url::BrokerUrl;
pub use duration::{Delay, parse_duration};
pub use fault::{ConfigFault, ConfigFaults, FaultPlace};
pub use insecurity::{Insecurity, insecurities};
pub use model::{
    BrokerConfig, Config, DynamicsConfig, HttpConfig, KEYS, LogConfig, LogFormat, OnCorruption, OrganizationFiles,
    Retry, SECTIONS, StoreConfig, StoreKind, TracingConfig, WorkerConfig,
};
pub use secret::{EnvironmentVariables, ExposedFile};
pub use show::Effective;
pub use store_url::{SslMode, StoreUrl};
pub use variable::OF_COMMANDS;

/// Default path of the configuration file.
pub const DEFAULT_PATH: &str = "config/handoffd.toml";

/// Loads the configuration: defaults, overridden by the file, overridden by `HANDOFFD_<SECTION>__<KEY>`.
/// Fails with all of its faults, not only the first.
pub fn load(path: &Path, env: impl Iterator<Item = (String, String)>) -> Result<Config, ConfigFaults> {
    let (effective, faults) = Effective::read(path, &env.collect());
    faults.unless_any(effective.config)
}
