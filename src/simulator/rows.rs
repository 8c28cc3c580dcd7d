//! Rows and their indexes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::payload;
use super::row::Row;
use super::states;
use super::table::Table;

/// Rows of all tables, by entity set.
#[derive(Default)]
pub(super) struct Rows {
    sets: HashMap<String, RowSet>,
    tickets: u64,
}

/// Rows of one table, in order of creation.
#[derive(Default)]
pub(super) struct RowSet {
    rows: BTreeMap<u64, Row>,
    serials: HashMap<Uuid, u64>,
    /// Serials by lower-cased text, per indexed column.
    indexes: HashMap<&'static str, HashMap<String, BTreeSet<u64>>>,
    next: u64,
}

impl Rows {
    /// Returns the rows of this table for modification.
    pub(super) fn of(&mut self, table: &Table) -> &mut RowSet {
        if !self.sets.contains_key(&table.set) {
            self.sets.insert(table.set.clone(), RowSet::default());
        }
        self.sets.get_mut(&table.set).expect("inserted above")
    }

    /// Returns the rows of this table, or `None` if nothing was ever written to it.
    pub(super) fn at(&self, set: &str) -> Option<&RowSet> {
        self.sets.get(set)
    }

    /// Returns one row.
    pub(super) fn row(&self, set: &str, key: Uuid) -> Option<&Row> {
        self.at(set)?.get(key)
    }

    /// Creates a row or overwrites columns of the existing one. A new row is active; `createdon` and `modifiedon` become `now`.
    /// Columns in `values` take precedence.
    pub(super) fn put(&mut self, table: &Table, key: Uuid, mut values: Map<String, Value>, now: Timestamp) -> &Row {
        let now = Value::from(payload::seconds(now));
        let rows = self.of(table);
        if rows.get(key).is_none() {
            let first = states::initial_columns(table).into_iter().chain([("createdon", now.clone())]);
            for (column, value) in first {
                values.entry(column).or_insert(value);
            }
        }
        values.entry("modifiedon").or_insert(now);
        rows.put(table, key, values)
    }

    /// Returns the next ticket number, `CAS-01234-X1Y2Z3`: a number, and six characters that look random.
    pub(super) fn ticket(&mut self) -> String {
        const ALPHABET: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
        self.tickets += 1;
        // Knuth's multiplicative hash gives neighbouring numbers dissimilar suffixes.
        let mut mixed = self.tickets.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16;
        let suffix = (0..6).map(|_| {
            let at = usize::try_from(mixed % 36).unwrap_or_default();
            mixed /= 36;
            char::from(ALPHABET[at])
        });
        let suffix: String = suffix.collect();
        format!("CAS-{:05}-{suffix}", 1000 + self.tickets)
    }
}

impl RowSet {
    /// Returns a row by key.
    pub(super) fn get(&self, key: Uuid) -> Option<&Row> {
        self.rows.get(self.serials.get(&key)?)
    }

    /// Iterates over all rows in order of creation.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// Returns the rows whose indexed column has this text, case-insensitively; `None` if the column is not indexed.
    pub(super) fn with_text(&self, table: &Table, column: &str, text: &str) -> Option<Vec<&Row>> {
        if !table.indexed.contains(&column) {
            return None;
        }
        let serials = self.indexes.get(column).and_then(|index| index.get(&text.to_lowercase()));
        let rows = serials.into_iter().flatten();
        Some(rows.filter_map(|serial| self.rows.get(serial)).collect())
    }

    /// Creates a row or overwrites columns of the existing one.
    fn put(&mut self, table: &Table, key: Uuid, values: Map<String, Value>) -> &Row {
        let serial = *self.serials.entry(key).or_insert_with(|| {
            self.next += 1;
            self.next
        });
        let (version, values) = if let Some(mut row) = self.rows.remove(&serial) {
            self.unindex(table, serial, &row);
            row.values.extend(values);
            (row.version + 1, row.values)
        } else {
            let mut first = Map::from_iter([(table.key.clone(), key.to_string().into())]);
            first.extend(values);
            (1, first)
        };
        let row = Row { key, version, values };
        self.index(table, serial, &row);
        self.rows.entry(serial).or_insert(row)
    }

    /// Removes a row. Returns false if it does not exist.
    pub(super) fn remove(&mut self, table: &Table, key: Uuid) -> bool {
        let Some(serial) = self.serials.remove(&key) else {
            return false;
        };
        if let Some(row) = self.rows.remove(&serial) {
            self.unindex(table, serial, &row);
        }
        true
    }

    fn index(&mut self, table: &Table, serial: u64, row: &Row) {
        for (column, text) in indexed(table, row) {
            let index = self.indexes.entry(column).or_default();
            index.entry(text).or_default().insert(serial);
        }
    }

    fn unindex(&mut self, table: &Table, serial: u64, row: &Row) {
        for (column, text) in indexed(table, row) {
            let Some(index) = self.indexes.get_mut(column) else { continue };
            if let Some(serials) = index.get_mut(&text) {
                serials.remove(&serial);
                if serials.is_empty() {
                    index.remove(&text);
                }
            }
        }
    }
}

fn indexed(table: &Table, row: &Row) -> Vec<(&'static str, String)> {
    let texts = table.indexed.iter().filter_map(|column| {
        let text = row.values.get(*column)?.as_str()?;
        Some((*column, text.to_lowercase()))
    });
    texts.collect()
}
