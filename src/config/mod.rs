//! In: the configuration file, the organization files, environment variables.
//! Out: a `Config` and `Organization`s with typed values, or all of their faults at once.
//! Absent: use of the values; watching files; printing.

mod broker_url;
mod document;
mod duration;
mod fault;
mod layer;
mod model;
pub mod organizations;
mod pem;
mod reader;
pub mod schema;
mod secret;
mod sections;
mod setting;
mod show;
mod suggest;
mod url;
mod value;
mod variable;

use std::path::Path;

pub use broker_url::BrokerUrl;
pub use duration::{Delay, parse_duration};
pub use fault::{ConfigFault, ConfigFaults, FaultPlace};
pub use model::{
    BrokerConfig, Config, DynamicsConfig, HttpConfig, LogConfig, LogFormat, OnCorruption, OrganizationFiles, Retry,
    StoreConfig, StoreKind, TracingConfig, WorkerConfig,
};
pub use organizations::{Credentials, Loaded, Organization};
pub use secret::EnvironmentVariables;
pub use show::Effective;

/// Default path of the configuration file.
pub const DEFAULT_PATH: &str = "config/handoffd.toml";

/// Loads the configuration: defaults, overridden by the file, overridden by `HANDOFFD_<SECTION>__<KEY>`.
/// Fails with all of its faults, not only the first.
pub fn load(path: &Path, env: impl Iterator<Item = (String, String)>) -> Result<Config, ConfigFaults> {
    let (effective, faults) = Effective::read(path, &env.collect());
    faults.unless_any(effective.config)
}

/// Loads the configuration and all organizations. Fails with all faults of any of them.
pub fn load_everything(
    path: &Path,
    env: &EnvironmentVariables,
) -> Result<(Effective, Vec<Organization>), ConfigFaults> {
    let (effective, mut faults) = Effective::read(path, env);
    // An unreadable file leaves the directory and the allowed addresses unknown.
    if !faults.concern_file(path) {
        let directory = &effective.config.organizations.directory;
        let loaded = organizations::read(directory, &effective.config, env);
        faults.extend(loaded.faults);
        return faults.unless_any((effective, loaded.organizations));
    }
    Err(faults)
}

/// Loads the configuration and the organizations for a worker. An organization with a faulty file is withheld; the
/// others run. Fails with the faults of the configuration itself, including an unreadable directory of organizations.
pub fn load_to_run(path: &Path, env: &EnvironmentVariables) -> Result<(Config, Loaded), ConfigFaults> {
    let (effective, mut faults) = Effective::read(path, env);
    if !faults.is_empty() {
        return faults.unless_any((effective.config, Loaded::default()));
    }
    let mut loaded = organizations::read(&effective.config.organizations.directory, &effective.config, env);
    if loaded.listing == organizations::DirectoryListing::Failed {
        faults.extend(std::mem::take(&mut loaded.faults));
    }
    faults.unless_any((effective.config, loaded))
}
