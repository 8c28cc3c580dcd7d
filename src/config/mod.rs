//! In: the configuration file, the organization files, environment variables.
//! Out: a `Config` and `Organization`s with typed values, or every fault in them at once.
//! Absent: what the values are for; watching files; printing.

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
mod show;
mod suggest;
mod url;
mod value;
mod variable;

use std::path::Path;

pub use duration::{Delay, parse_duration};
pub use fault::{Fault, Faults, Place};
pub use model::{
    Broker, BrokerUrl, Config, Dynamics, Http, Log, LogFormat, OnCorruption, OrganizationFiles, Retry, Store,
    StoreKind, Tracing, Worker,
};
pub use organizations::{Credentials, Loaded, Organization};
pub use secret::Environment;
pub use show::Effective;

/// Where the configuration file is looked for when nobody says otherwise.
pub const DEFAULT_PATH: &str = "config/handoffd.toml";

/// The configuration: defaults, overridden by the file, overridden by `HANDOFFD_<SECTION>__<KEY>`.
/// Fails with everything that is wrong with it, not only the first thing.
pub fn load(path: &Path, env: impl Iterator<Item = (String, String)>) -> Result<Config, Faults> {
    let (effective, faults) = Effective::read(path, &env.collect());
    faults.unless_any(effective.config)
}

/// The configuration and all organizations, or everything that is wrong with any of them.
pub fn load_everything(path: &Path, env: &Environment) -> Result<(Effective, Vec<Organization>), Faults> {
    let (effective, mut faults) = Effective::read(path, env);
    // What a file that can't be read was to say of directory and addresses is unknown.
    if !faults.concern_file(path) {
        let directory = &effective.config.organizations.directory;
        let loaded = organizations::read(directory, &effective.config, env);
        faults.extend(loaded.faults);
        return faults.unless_any((effective, loaded.organizations));
    }
    Err(faults)
}

/// The configuration, and the organizations with what is wrong with single files: those are withheld, others are carried.
/// Fails with what is wrong with the configuration itself, a directory of organizations that can't be read included.
pub fn load_to_run(path: &Path, env: &Environment) -> Result<(Config, Loaded), Faults> {
    let (effective, mut faults) = Effective::read(path, env);
    if !faults.is_empty() {
        return faults.unless_any((effective.config, Loaded::default()));
    }
    let mut loaded = organizations::read(&effective.config.organizations.directory, &effective.config, env);
    if loaded.listing == organizations::Listing::Failed {
        faults.extend(std::mem::take(&mut loaded.faults));
    }
    faults.unless_any((effective.config, loaded))
}
