//! `config check` and `config show`.

use std::fmt::Write;
use std::path::Path;

use crate::config::{self, ConfigFaults, EnvironmentVariables, Insecurity};
use crate::organizations::{Organization, load_everything};

/// Checks the configuration and every organization. Returns a summary and the insecure settings, or all faults.
pub fn check(path: &Path, env: &EnvironmentVariables) -> Result<(String, Vec<Insecurity>), ConfigFaults> {
    let (effective, organizations) = load_everything(path, env)?;
    let count = match organizations.len() {
        1 => "1 organization".to_owned(),
        count => format!("{count} organizations"),
    };
    let mut text = format!("ok: {}, {count}\n", path.display());
    for line in listed(&organizations) {
        text.push_str("  ");
        text.push_str(&line);
    }
    if organizations.is_empty() {
        let directory = effective.config.organizations.directory.display();
        // Writing to a string can't fail.
        let _ = writeln!(
            text,
            "warning: no organizations configured in {directory}; events would become dead letters (unknown_organization)"
        );
    }
    Ok((text, config::insecurities(&effective.config)))
}

/// Effective configuration, as TOML with the source of each value in a comment; secrets masked.
pub fn show(path: &Path, env: &EnvironmentVariables) -> Result<String, ConfigFaults> {
    let (effective, organizations) = load_everything(path, env)?;
    let mut text = effective.render();
    text.push_str("\n# organizations in force:\n");
    for line in listed(&organizations) {
        text.push_str("#   ");
        text.push_str(&line);
    }
    if organizations.is_empty() {
        text.push_str("#   none\n");
    }
    Ok(text)
}

fn listed(organizations: &[Organization]) -> impl Iterator<Item = String> {
    organizations.iter().map(|organization| {
        format!(
            "{} → {} ({})\n",
            organization.settings.organization_id, organization.settings.environment_url, organization.source
        )
    })
}
