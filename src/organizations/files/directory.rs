//! Reads a directory of organization files.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use handoffd_engine::event::OrganizationId;

use super::faulty;
use crate::config::document;
use crate::config::fault::{ConfigFault, ConfigFaults, FaultPlace};
use crate::config::schema::ConfigKey;
use crate::config::{Config, EnvironmentVariables, KEYS};
use crate::organizations::document::read_document;
use crate::organizations::organization::Organization;
use crate::organizations::origin::Origin;

/// Result of one reading of the directory.
#[derive(Clone, Default, Debug)]
pub struct Loaded {
    /// Organizations without faults, sorted by file name.
    pub organizations: Vec<Organization>,
    /// Faults of all files.
    pub faults: ConfigFaults,
    /// Files with faults.
    pub broken: BTreeSet<PathBuf>,
    /// Organizations withheld because of faulty files, with the fault as the reason, sorted by file name.
    pub withheld: Vec<Organization>,
    /// Faulty files in which even the id of the organization is unreadable.
    pub nameless: BTreeSet<PathBuf>,
    /// Result of listing the directory.
    pub listing: DirectoryListing,
}

/// Result of listing the directory.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum DirectoryListing {
    /// Listed; a missing file was removed.
    #[default]
    Read,
    /// Missing, which is legal because it is the default directory.
    Absent,
    /// Unreadable; the state of the files is unknown.
    Failed,
}

/// Reads every `*.toml` of the directory.
pub fn read(directory: &Path, config: &Config, env: &EnvironmentVariables) -> Loaded {
    let mut loaded = Loaded::default();
    match document::list(directory) {
        Ok(files) => {
            for path in files {
                read_file(&mut loaded, path, config, env);
            }
            withhold_duplicates(&mut loaded);
        }
        Err(error) if is_unset(directory, &error) => loaded.listing = DirectoryListing::Absent,
        Err(error) => {
            loaded.listing = DirectoryListing::Failed;
            loaded.faults.push(ConfigFault {
                place: file(directory),
                key: "organizations.directory".to_owned(),
                found: Some(format!("\"{}\", {error}", directory.display())),
                expected: "a readable directory with one file for each organization".to_owned(),
                suggestion: None,
            });
        }
    }
    loaded
}

fn read_file(loaded: &mut Loaded, path: PathBuf, config: &Config, env: &EnvironmentVariables) {
    let missing = "a file; it was removed while being read";
    let source = Origin::File(path.clone());
    let document = match document::read_regular(&path, missing) {
        Ok(document) => document,
        Err(faults) => {
            loaded.faults.extend(faults);
            loaded.nameless.insert(path.clone());
            loaded.broken.insert(path);
            return;
        }
    };
    match read_document(&source, document.clone(), config, env) {
        Ok(organization) => loaded.organizations.push(organization),
        Err(faults) => {
            match faulty::withheld(&source, &document, &faults, config) {
                Some(organization) => loaded.withheld.push(organization),
                None => _ = loaded.nameless.insert(path.clone()),
            }
            loaded.faults.extend(faults);
            loaded.broken.insert(path);
        }
    }
}

/// Withholds organizations with more than one file, since the intended file can't be determined.
fn withhold_duplicates(loaded: &mut Loaded) {
    let mut files: BTreeMap<OrganizationId, Vec<PathBuf>> = BTreeMap::new();
    for organization in &loaded.organizations {
        let id = organization.settings.organization_id.clone();
        files.entry(id).or_default().extend(organization.source.file().map(Path::to_owned));
    }
    files.retain(|_, files| files.len() > 1);
    let mut doubles = BTreeMap::new();
    for (id, files) in files {
        let faults = double(&id, &files);
        loaded.broken.extend(files);
        doubles.insert(id, ConfigFaults(faults[..1].to_vec()));
        loaded.faults.0.extend(faults);
    }
    let read = std::mem::take(&mut loaded.organizations);
    for organization in read {
        match doubles.get(&organization.settings.organization_id) {
            Some(faults) => loaded.withheld.push(faulty::as_withheld(organization, faults)),
            None => loaded.organizations.push(organization),
        }
    }
}

/// Returns the fault of each of these files, which all have the same id.
fn double(id: &OrganizationId, files: &[PathBuf]) -> Vec<ConfigFault> {
    let names: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    let fault = |path: &PathBuf| ConfigFault {
        place: file(path),
        key: "organization_id".to_owned(),
        found: Some(format!("{:?} in {}", id.as_str(), names.join(" and "))),
        expected: "one file for each organization; remove all but one of these files or change their ids".to_owned(),
        suggestion: None,
    };
    files.iter().map(fault).collect()
}

/// Reports whether the default directory is missing, which is legal: all organizations may be saved through the API.
fn is_unset(directory: &Path, error: &io::Error) -> bool {
    let default = KEYS
        .iter()
        .find(|key| key.section == "organizations" && key.name == "directory")
        .and_then(ConfigKey::default_value);
    let named = default.as_ref().and_then(|value| value.as_str()) != directory.to_str();
    !named && error.kind() == io::ErrorKind::NotFound
}

fn file(path: &Path) -> FaultPlace {
    FaultPlace::File { path: path.to_owned(), line: None }
}
