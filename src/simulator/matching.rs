//! Evaluation of filters.

use std::cmp::Ordering;

use serde_json::Value;
use uuid::Uuid;

use super::filter::{Comparison, Filter, Search};
use super::literal::{self, Literal};
use super::refusal::Refusal;
use super::row::Row;
use super::rows::RowSet;
use super::table::{ColumnKind, Table};

/// Returns the matching rows in order of creation, using an index if a part of the filter allows it.
pub(super) fn find<'a>(filter: &Filter, table: &Table, rows: &'a RowSet) -> Vec<&'a Row> {
    match narrowed(filter, table, rows) {
        Some(candidates) => candidates.into_iter().filter(|row| matches(filter, table, row)).collect(),
        None => rows.iter().filter(|row| matches(filter, table, row)).collect(),
    }
}

/// Refuses unknown properties and comparisons of incompatible types.
pub(super) fn check(filter: &Filter, table: &Table) -> Result<(), Refusal> {
    match filter {
        Filter::All(parts) | Filter::Any(parts) => parts.iter().try_for_each(|part| check(part, table)),
        Filter::Not(part) => check(part, table),
        Filter::Compare(name, comparison, literal) => {
            let column = table.queried(name).ok_or_else(|| Refusal::no_property(table, name))?;
            if comparable(&column.kind, literal) {
                return Ok(());
            }
            Err(Refusal::query(format!(
                "A binary operator with incompatible types was detected. Found operand types '{}' and '{}' for operator \
                 kind '{}'.",
                column.kind.edm(),
                literal.edm(),
                comparison.kind()
            )))
        }
        Filter::Search(_, name, _) => {
            let column = table.queried(name).ok_or_else(|| Refusal::no_property(table, name))?;
            match column.kind {
                ColumnKind::Text(_) | ColumnKind::Memo(_) => Ok(()),
                _ => Err(Refusal::query(format!("No function signature takes '{}' ('{name}').", column.kind.edm()))),
            }
        }
    }
}

/// Returns true if the filter matches this row.
fn matches(filter: &Filter, table: &Table, row: &Row) -> bool {
    match filter {
        Filter::All(parts) => parts.iter().all(|part| matches(part, table, row)),
        Filter::Any(parts) => parts.iter().any(|part| matches(part, table, row)),
        Filter::Not(part) => !matches(part, table, row),
        Filter::Compare(name, comparison, literal) => {
            let value = table.queried(name).map_or(&Value::Null, |column| row.value(&column.name));
            compared(value, *comparison, literal)
        }
        Filter::Search(search, name, text) => {
            let value = row.value(name).as_str().unwrap_or_default().to_lowercase();
            let text = text.to_lowercase();
            match search {
                Search::Contains => value.contains(&text),
                Search::StartsWith => value.starts_with(&text),
                Search::EndsWith => value.ends_with(&text),
            }
        }
    }
}

/// Orders two stored values of a column; null comes first.
pub(super) fn order(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            left.as_f64().partial_cmp(&right.as_f64()).unwrap_or(Ordering::Equal)
        }
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (Value::String(left), Value::String(right)) => left.to_lowercase().cmp(&right.to_lowercase()),
        (left, right) => right.is_null().cmp(&left.is_null()),
    }
}

/// Returns the candidates that an index yields for the filter.
fn narrowed<'a>(filter: &Filter, table: &Table, rows: &'a RowSet) -> Option<Vec<&'a Row>> {
    match filter {
        Filter::All(parts) => parts.iter().find_map(|part| narrowed(part, table, rows)),
        Filter::Compare(name, Comparison::Equal, Literal::Text(text)) => rows.with_text(table, name, text),
        Filter::Compare(name, Comparison::Equal, Literal::Guid(key)) if *name == table.key => {
            Some(rows.get(*key).into_iter().collect())
        }
        Filter::Compare(name, Comparison::Equal, Literal::Guid(key)) => {
            rows.with_text(table, &table.queried(name)?.name, &key.to_string())
        }
        _ => None,
    }
}

fn comparable(kind: &ColumnKind, literal: &Literal) -> bool {
    match literal {
        Literal::Null => true,
        Literal::Flag(_) => *kind == ColumnKind::Flag,
        Literal::Text(_) => matches!(kind, ColumnKind::Text(_) | ColumnKind::Memo(_)),
        Literal::Number(_) => {
            matches!(kind, ColumnKind::Whole(..) | ColumnKind::Choice(_) | ColumnKind::State(_) | ColumnKind::Status)
        }
        Literal::Guid(_) => matches!(kind, ColumnKind::Key | ColumnKind::Lookup),
        Literal::Time(_) => *kind == ColumnKind::Time,
    }
}

/// Compares as SQL does: null matches only `eq null`, and `ne` with anything else.
fn compared(value: &Value, comparison: Comparison, literal: &Literal) -> bool {
    let ordering = match (value, literal) {
        (Value::Null, Literal::Null) => Some(Ordering::Equal),
        (Value::Bool(value), Literal::Flag(flag)) => Some(value.cmp(flag)),
        (Value::Number(value), Literal::Number(number)) => value.as_f64().and_then(|value| value.partial_cmp(number)),
        (Value::String(value), Literal::Text(text)) => Some(value.to_lowercase().cmp(&text.to_lowercase())),
        (Value::String(value), Literal::Guid(guid)) => value.parse().ok().map(|value: Uuid| value.cmp(guid)),
        (Value::String(value), Literal::Time(time)) => literal::time(value).map(|value| value.cmp(time)),
        _ => None,
    };
    match (comparison, ordering) {
        (Comparison::Equal, found) => found == Some(Ordering::Equal),
        (Comparison::NotEqual, found) => found != Some(Ordering::Equal),
        (Comparison::Greater, Some(found)) => found.is_gt(),
        (Comparison::GreaterOrEqual, Some(found)) => found.is_ge(),
        (Comparison::Less, Some(found)) => found.is_lt(),
        (Comparison::LessOrEqual, Some(found)) => found.is_le(),
        (_, None) => false,
    }
}
