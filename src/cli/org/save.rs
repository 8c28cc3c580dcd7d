//! `org save`: tests an organization file and puts it in place only if the test passes.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;

use super::tested::{passed, print_report, tested};
use crate::admin::audit::AuditAction;
use crate::cli::audit::report;
use crate::cli::shell::{CommandError, block_on, print, print_status};
use crate::config::{Config, EnvironmentVariables};
use crate::organizations::{self, Holds, Organization, write_file};

/// Maximum file size in bytes, the same as that of the configuration's reader.
const LONGEST: u64 = 1 << 20;

/// Tests the organization that a file describes and copies the file to `organizations.directory`.
pub(super) fn save(config: &Config, env: &EnvironmentVariables, file: &Path, json: bool) -> Result<(), CommandError> {
    let text = read(file)?;
    let organization = organizations::parse(file, &text, config, env)?;
    let target = config.organizations.directory.join(name(file));
    check_conflicts(config, env, &organization, &target)?;
    let tested: Value = tested(config, env, &organization)?;
    print_report(&tested, json)?;
    if let Err(refusal) = passed(&tested) {
        let state = if target.exists() { "is unchanged" } else { "was not created" };
        print_status(format_args!("not saved; {} {state}", target.display()));
        return Err(refusal);
    }
    write_file(&target, &text, holds(&text)).map_err(anyhow::Error::from)?;
    let id = organization.settings.organization_id.as_str();
    block_on(async {
        report(config, AuditAction::Save, id, 1).await;
        Ok(())
    })?;
    if !json {
        print(&format!("saved as {}; a running worker loads it within seconds\n", target.display()));
    }
    Ok(())
}

fn read(file: &Path) -> Result<String, CommandError> {
    let failure = || format!("cannot read {}", file.display());
    let mut bytes = Vec::new();
    std::fs::File::open(file).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes)).with_context(failure)?;
    if bytes.len() as u64 > LONGEST {
        return Err(CommandError::Usage(format!(
            "{} is larger than 1 MiB; expected an organization file",
            file.display()
        )));
    }
    Ok(String::from_utf8(bytes).with_context(failure)?)
}

/// Refuses a second file with the same id, which would invalidate both, and a target that is another organization's file.
fn check_conflicts(
    config: &Config,
    env: &EnvironmentVariables,
    organization: &Organization,
    target: &Path,
) -> Result<(), CommandError> {
    let id = &organization.settings.organization_id;
    let loaded = organizations::read(&config.organizations.directory, config, env);
    for other in &loaded.organizations {
        let (other_id, other_file) = (&other.settings.organization_id, other.source.file());
        let same_file = other_file.is_some_and(|file| is_same(file, target));
        if same_file && other_id != id {
            return Err(CommandError::Usage(format!(
                "{} configures organization {:?}; rename the new file, or remove that one first",
                target.display(),
                other_id.as_str()
            )));
        }
        if !same_file && other_id == id {
            return Err(CommandError::Usage(format!(
                "organization {:?} is already configured in {}; to replace it, give the new file the same name",
                id.as_str(),
                other.source
            )));
        }
    }
    Ok(())
}

/// Name of the file in the directory, with the extension `.toml`, which the reader requires.
fn name(file: &Path) -> PathBuf {
    let name = PathBuf::from(file.file_name().unwrap_or_default());
    if name.extension().is_some_and(|extension| extension == "toml") { name } else { name.with_extension("toml") }
}

fn is_same(one: &Path, other: &Path) -> bool {
    one.file_name() == other.file_name()
}

/// Reports whether the file contains the secret itself or a reference to it.
fn holds(text: &str) -> Holds {
    let plain = text.parse::<toml::Table>().is_ok_and(|table| {
        ["client_secret", "client_certificate"].iter().any(|key| table.get(*key).is_some_and(toml::Value::is_str))
    });
    if plain { Holds::Secret } else { Holds::Reference }
}
