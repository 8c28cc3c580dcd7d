//! `org save`: tests first, and puts the file in place only on success.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;

use super::{passed, tell, tested};
use crate::cli::{Refusal, print};
use crate::config::organizations::{self, Holds, Organization, place};
use crate::config::{Config, Environment};

/// Longest file that is read; the configuration's own reader takes no more either.
const LONGEST: u64 = 1 << 20;

/// Tests the organization that a file describes, and puts the file into `organizations.directory`.
pub(super) fn save(config: &Config, env: &Environment, file: &Path, json: bool) -> Result<(), Refusal> {
    let text = read(file)?;
    let organization = organizations::parse(file, &text, config, env)?;
    let target = config.organizations.directory.join(name(file));
    may_be_put(config, env, &organization, &target)?;
    let report: Value = tested(config, env, &organization)?;
    tell(&report, json)?;
    if let Err(refusal) = passed(&report) {
        eprintln!("not saved: {} stays as it was", target.display());
        return Err(refusal);
    }
    place(&target, &text, holds(&text)).map_err(anyhow::Error::from)?;
    if !json {
        print(&format!("saved as {}; a running worker takes it up within seconds\n", target.display()));
    }
    Ok(())
}

fn read(file: &Path) -> Result<String, Refusal> {
    let told = || format!("cannot read {}", file.display());
    let mut bytes = Vec::new();
    std::fs::File::open(file).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes)).with_context(told)?;
    if bytes.len() as u64 > LONGEST {
        return Err(Refusal::Usage(format!(
            "{} is longer than 1 MiB: expected an organization's file",
            file.display()
        )));
    }
    Ok(String::from_utf8(bytes).with_context(told)?)
}

/// Two files with one id would both count for nothing, and a file that is another organization's would be lost.
fn may_be_put(config: &Config, env: &Environment, organization: &Organization, target: &Path) -> Result<(), Refusal> {
    let id = &organization.settings.organization_id;
    let loaded = organizations::read(&config.organizations.directory, config, env);
    for other in &loaded.organizations {
        let (other_id, other_file) = (&other.settings.organization_id, other.source.file());
        let same_file = other_file.is_some_and(|file| is_same(file, target));
        if same_file && other_id != id {
            return Err(Refusal::Usage(format!(
                "{} is the file of organization {:?}: rename the new file, or remove that one first",
                target.display(),
                other_id.as_str()
            )));
        }
        if !same_file && other_id == id {
            return Err(Refusal::Usage(format!(
                "organization {:?} has the file {} already: give the new one that name to replace it",
                id.as_str(),
                other.source
            )));
        }
    }
    Ok(())
}

/// The same name in the directory; only what ends in `.toml` is read there.
fn name(file: &Path) -> PathBuf {
    let name = PathBuf::from(file.file_name().unwrap_or_default());
    if name.extension().is_some_and(|extension| extension == "toml") { name } else { name.with_extension("toml") }
}

fn is_same(one: &Path, other: &Path) -> bool {
    one.file_name() == other.file_name()
}

/// Whether the secret stands in the file itself.
fn holds(text: &str) -> Holds {
    let plain =
        text.parse::<toml::Table>().is_ok_and(|table| table.get("client_secret").is_some_and(toml::Value::is_str));
    if plain { Holds::Secret } else { Holds::Reference }
}
