//! Tables of an environment.

use std::collections::HashMap;

use super::settings::EnvironmentSettings;
use super::table::Table;
use super::tables;

/// All tables of an environment.
pub(super) struct Schema {
    tables: Vec<Table>,
    by_set: HashMap<String, usize>,
}

impl Schema {
    /// Creates the tables available under these settings.
    pub(super) fn of(settings: &EnvironmentSettings) -> Self {
        let tables: Vec<Table> =
            tables::all(settings).into_iter().filter(|table| !settings.missing_tables.contains(&table.set)).collect();
        let by_set = tables.iter().enumerate();
        Self { by_set: by_set.map(|(at, table)| (table.set.clone(), at)).collect(), tables }
    }

    /// Returns a table by entity set name.
    pub(super) fn table(&self, set: &str) -> Option<&Table> {
        self.by_set.get(set).map(|&at| &self.tables[at])
    }

    /// Returns a table by logical name.
    pub(super) fn logical(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.logical == name)
    }

    /// Returns all tables.
    pub(super) fn tables(&self) -> &[Table] {
        &self.tables
    }
}
