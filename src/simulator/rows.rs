//! The rows themselves, with their indexes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::payload;
use super::schema::Table;
use super::states;

/// The rows of all tables, by entity set.
#[derive(Default)]
pub(super) struct Rows {
    sets: HashMap<String, RowSet>,
    tickets: u64,
}

/// The rows of one table, in the order of their creation.
#[derive(Default)]
pub(super) struct RowSet {
    rows: BTreeMap<u64, Row>,
    serials: HashMap<Uuid, u64>,
    /// Per indexed column: lower-cased text to the serials that have it.
    indexes: HashMap<&'static str, HashMap<String, BTreeSet<u64>>>,
    next: u64,
}

/// One row. A column that is absent is null.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Primary key.
    pub key: Uuid,
    /// Grows with each change; the ETag.
    pub version: u64,
    /// By column name, the key first, lookups as `_x_value`.
    pub values: Map<String, Value>,
}

impl Rows {
    /// The rows of this table, to change.
    pub(super) fn of(&mut self, table: &Table) -> &mut RowSet {
        if !self.sets.contains_key(&table.set) {
            self.sets.insert(table.set.clone(), RowSet::default());
        }
        self.sets.get_mut(&table.set).expect("it was put there just now")
    }

    /// The rows of this table, to read; none, if nothing was ever put there.
    pub(super) fn at(&self, set: &str) -> Option<&RowSet> {
        self.sets.get(set)
    }

    /// One row.
    pub(super) fn row(&self, set: &str, key: Uuid) -> Option<&Row> {
        self.at(set)?.get(key)
    }

    /// Creates a row or overwrites columns of the existing one. A new row is active; `createdon` and `modifiedon` become `now`.
    /// Whatever `values` names takes precedence.
    pub(super) fn put(&mut self, table: &Table, key: Uuid, mut values: Map<String, Value>, now: Timestamp) -> &Row {
        let now = Value::from(payload::seconds(now));
        let rows = self.of(table);
        if rows.get(key).is_none() {
            let first = states::of_new_rows(table).into_iter().chain([("createdon", now.clone())]);
            for (column, value) in first {
                values.entry(column).or_insert(value);
            }
        }
        values.entry("modifiedon").or_insert(now);
        rows.put(table, key, values)
    }

    /// The next ticket number, `CAS-01234-X1Y2Z3`: a number, and six characters that look random.
    pub(super) fn ticket(&mut self) -> String {
        const ALPHABET: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
        self.tickets += 1;
        // Knuth's multiplicative hash: neighbours look unlike each other.
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
    /// By key.
    pub(super) fn get(&self, key: Uuid) -> Option<&Row> {
        self.rows.get(self.serials.get(&key)?)
    }

    /// All, in the order of their creation.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// Those whose indexed column has this text, whatever its case; `None` when there is no such index.
    pub(super) fn with_text(&self, table: &Table, column: &str, text: &str) -> Option<Vec<&Row>> {
        if !table.indexed.contains(&column) {
            return None;
        }
        let serials = self.indexes.get(column).and_then(|index| index.get(&text.to_lowercase()));
        let rows = serials.into_iter().flatten();
        Some(rows.filter_map(|serial| self.rows.get(serial)).collect())
    }

    /// Creates a row, or puts these values over those it has.
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

    /// Takes a row away; false when there is none.
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

impl Row {
    /// A column's value; null when it has none.
    pub(super) fn value(&self, column: &str) -> &Value {
        self.values.get(column).unwrap_or(&Value::Null)
    }

    /// The key in a lookup.
    pub(super) fn lookup(&self, column: &str) -> Option<Uuid> {
        self.value(column).as_str()?.parse().ok()
    }

    /// The ETag.
    pub(super) fn etag(&self) -> String {
        format!("W/\"{}\"", self.version)
    }
}

fn indexed(table: &Table, row: &Row) -> Vec<(&'static str, String)> {
    let texts = table.indexed.iter().filter_map(|column| {
        let text = row.values.get(*column)?.as_str()?;
        Some((*column, text.to_lowercase()))
    });
    texts.collect()
}
