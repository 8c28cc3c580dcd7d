//! Files with secrets that every user of the machine can read.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::document;
use super::model::Config;
use super::secret::{ExposedFile, secret_files};
use super::setting::Layers;

/// Finds such files among those that the configuration and the organizations' files name as the place of a secret.
pub(super) fn files(config: &Config, layers: &Layers) -> Vec<ExposedFile> {
    let mut named: Vec<(String, PathBuf)> = Vec::new();
    for (section, set) in layers {
        for (name, setting) in set {
            named.extend(secret_files(&setting.value).map(|path| (format!("{section}.{name}"), path.to_owned())));
        }
    }
    named.extend(config.broker.client_key.clone().map(|path| ("broker.client_key".to_owned(), path)));
    let organizations = document::list(&config.organizations.directory).unwrap_or_default();
    let organizations = organizations.into_iter().filter_map(|path| document::read_regular(&path, "").ok());
    // Customers' own properties are no secrets, whatever they look like.
    for (name, entry) in organizations.flatten().filter(|(name, _)| name != "ticket_properties") {
        named.extend(secret_files(&entry.value).map(|path| (name.clone(), path.to_owned())));
    }
    named.retain(|(_, path)| is_open(path));
    named.into_iter().map(|(key, path)| ExposedFile { key, path }).collect()
}

/// Reports whether users other than the file's owner and group have any right to it.
fn is_open(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o007 != 0)
}
