//! Temporary directory for configurations.

use std::path::PathBuf;

use handoffd::cli;
use handoffd::config::{self, Config, EnvironmentVariables};
use handoffd::dynamics::ClientCredential;
use handoffd::organizations::Organization;
use secrecy::ExposeSecret;
use tempfile::TempDir;

/// Directory with `handoffd.toml` and `organizations/`.
pub struct Site(TempDir);

impl Site {
    /// Creates a site with this configuration.
    pub fn new(text: &str) -> Self {
        let site = Self(tempfile::tempdir().expect("a temporary directory"));
        std::fs::create_dir(site.directory()).expect("a directory");
        std::fs::write(site.file(), text).expect("a file");
        site
    }

    pub fn file(&self) -> PathBuf {
        self.0.path().join("handoffd.toml")
    }

    pub fn directory(&self) -> PathBuf {
        self.0.path().join("organizations")
    }

    /// Writes a file beside the configuration and returns its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_str().expect("UTF-8").to_owned()
    }

    pub fn organization(&self, name: &str, text: &str) -> String {
        self.write(&format!("organizations/{name}"), text)
    }

    pub fn load(&self, variables: &[(&str, &str)]) -> Result<Config, String> {
        config::load(&self.file(), pairs(variables)).map_err(|faults| faults.to_string())
    }

    /// Runs `config check` with the organizations of this site.
    pub fn check(&self, variables: &[(&str, &str)]) -> Result<String, String> {
        let checked = cli::config::check(&self.file(), &self.env(variables));
        checked.map(|(summary, _)| summary).map_err(|faults| faults.to_string())
    }

    /// Insecure settings, as `config check` lists them.
    pub fn insecure(&self, variables: &[(&str, &str)]) -> Vec<String> {
        let (_, insecure) = cli::config::check(&self.file(), &self.env(variables)).expect("no fault");
        insecure.iter().map(ToString::to_string).collect()
    }

    /// Runs `config show` with the organizations of this site.
    pub fn show(&self, variables: &[(&str, &str)]) -> Result<String, String> {
        cli::config::show(&self.file(), &self.env(variables)).map_err(|faults| faults.to_string())
    }

    fn env(&self, variables: &[(&str, &str)]) -> EnvironmentVariables {
        let directory = self.directory();
        let directory = ("HANDOFFD_ORGANIZATIONS__DIRECTORY", directory.to_str().expect("UTF-8"));
        pairs(&[variables, &[directory]].concat()).collect()
    }
}

pub fn pairs(variables: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    variables.iter().map(owned).collect::<Vec<_>>().into_iter()
}

/// Secret of an organization that has one.
pub fn secret(organization: &Organization) -> &str {
    match &organization.credentials.credential {
        ClientCredential::Secret(secret) => secret.expose_secret(),
        other => panic!("{other:?}"),
    }
}

/// The contract's organization, with a plain-text secret.
pub const ACME: &str = r#"
organization_id = "org_acme"
environment_url = "https://acme.crm.dynamics.com/"
tenant_id = "11111111-1111-1111-1111-111111111111"
client_id = "22222222-2222-2222-2222-222222222222"
client_secret = "pl41n"
"#;
