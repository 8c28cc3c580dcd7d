//! The configuration together with the organizations of its directory.

use std::path::Path;

use super::files::{DirectoryListing, Loaded, read};
use super::organization::Organization;
use crate::config::{Config, ConfigFaults, Effective, EnvironmentVariables};

/// Loads the configuration and all organizations. Fails with all faults of any of them.
pub fn load_everything(
    path: &Path,
    env: &EnvironmentVariables,
) -> Result<(Effective, Vec<Organization>), ConfigFaults> {
    let (mut effective, mut faults) = Effective::read(path, env);
    // An unreadable file leaves the directory and the allowed addresses unknown.
    if !faults.concern_file(path) {
        let loaded = read_directory(&effective, env);
        faults.extend(loaded.faults);
        effective.find_exposed_files();
        return faults.unless_any((effective, loaded.organizations));
    }
    Err(faults)
}

/// Loads the configuration and the organizations for a worker. An organization with a faulty file is withheld; the
/// others run. Fails with the faults of the configuration itself, including an unreadable directory of organizations.
pub fn load_to_run(path: &Path, env: &EnvironmentVariables) -> Result<(Config, Loaded), ConfigFaults> {
    let (mut effective, mut faults) = Effective::read(path, env);
    if !faults.is_empty() {
        return faults.unless_any((effective.config, Loaded::default()));
    }
    let mut loaded = read_directory(&effective, env);
    if loaded.listing == DirectoryListing::Failed {
        faults.extend(std::mem::take(&mut loaded.faults));
    }
    effective.find_exposed_files();
    faults.unless_any((effective.config, loaded))
}

/// Reads the directory. The fault of one that can't be listed is where the directory is named.
fn read_directory(effective: &Effective, env: &EnvironmentVariables) -> Loaded {
    let mut loaded = read(&effective.config.organizations.directory, &effective.config, env);
    if loaded.listing == DirectoryListing::Failed {
        let place = effective.place("organizations", "directory");
        loaded.faults.0.iter_mut().for_each(|fault| fault.place = place.clone());
    }
    loaded
}
