//! `topology`: prints the required topology of the broker as definitions to import.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use super::arguments::Topology;
use super::org;
use super::shell::pretty;
use crate::app;
use crate::config::Config;
use crate::organizations::Organization;
use crate::rabbit::{self, definitions};

/// Definitions for the given organizations and those saved in the store.
pub(super) async fn topology(config: &Config, organizations: &[Organization], options: &Topology) -> Result<String> {
    let bus = app::bus_options(config);
    let version = match options.broker_version {
        Some(version) => version,
        None => rabbit::broker_version(&bus)
            .await
            .context("cannot determine the broker's version; set --broker-version, for example to 4.0")?,
    };
    let mut ids: BTreeSet<_> = org::saved_ids(config).await?.into_iter().collect();
    ids.extend(organizations.iter().map(|organization| organization.settings.organization_id.clone()));
    let virtual_host = match &options.vhost {
        Some(name) => name.clone(),
        None => bus.virtual_host()?,
    };
    let ids: Vec<_> = ids.into_iter().collect();
    pretty(&definitions(&bus, &ids, version, &virtual_host))
}
