//! Reduces the headers of a copy to the size of a frame.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

/// Bytes kept free in a frame for the other properties (3.3 KB at most) and for the headers that brokers add later.
const SPARE: usize = 8192;
/// Longest list of names, in bytes.
const LONGEST_LIST: usize = 1024;
const LEFT_OUT: &str = "x-handoffd-left-out";

/// Removes the largest headers of a copy until the rest fits into a frame of this length. Returns the copy and the
/// number of headers removed.
///
/// The headers of a source may fill its frame to the last byte. With the worker's own headers added, the broker would
/// close the connection (FRAME_ERROR) for this copy, and for each further copy when the source is redelivered.
pub(super) fn fit(copy: BasicProperties, frame_max: usize) -> (BasicProperties, usize) {
    let room = frame_max.saturating_sub(SPARE.min(frame_max / 2));
    let Some(headers) = copy.headers().as_ref().filter(|headers| table_weight(headers) > room) else {
        return (copy, 0);
    };
    let (kept, left_out) = without_the_largest(headers, room);
    let count = left_out.len();
    (copy.with_headers(noting(kept, &left_out)), count)
}

fn without_the_largest(headers: &FieldTable, room: usize) -> (FieldTable, Vec<String>) {
    let mut inner = headers.inner().clone();
    let mut weights: Vec<_> =
        inner.iter().map(|(name, value)| (entry_weight(name.as_str(), value), name.clone())).collect();
    weights.sort();
    let mut weight: usize = weights.iter().map(|(weight, _)| weight).sum();
    let mut left_out = Vec::new();
    while weight > room.saturating_sub(LONGEST_LIST) {
        let Some((largest, name)) = weights.pop() else { break };
        weight -= largest;
        inner.remove(&name);
        left_out.push(name.to_string());
    }
    (FieldTable::from(inner), left_out)
}

/// Adds the names of the removed headers, as far as there is space.
fn noting(mut headers: FieldTable, left_out: &[String]) -> FieldTable {
    let mut list = String::new();
    for name in left_out {
        if list.len() + name.len() + 2 > LONGEST_LIST - LEFT_OUT.len() - 16 {
            list.push('…');
            break;
        }
        if !list.is_empty() {
            list.push_str(", ");
        }
        list.push_str(name);
    }
    headers.insert(LEFT_OUT.into(), AMQPValue::LongString(list.into()));
    headers
}

/// Encoded length of a table, in bytes.
fn table_weight(table: &FieldTable) -> usize {
    4 + table.inner().iter().map(|(name, value)| entry_weight(name.as_str(), value)).sum::<usize>()
}

fn entry_weight(name: &str, value: &AMQPValue) -> usize {
    1 + name.len() + value_weight(value)
}

/// Upper bound of the encoded length of a value; every number counts as the longest. The depth of nested tables is
/// limited when they are read.
fn value_weight(value: &AMQPValue) -> usize {
    1 + match value {
        AMQPValue::LongString(text) => 4 + text.as_bytes().len(),
        AMQPValue::ShortString(text) => 4 + text.as_str().len(),
        AMQPValue::ByteArray(bytes) => 4 + bytes.as_slice().len(),
        AMQPValue::FieldArray(array) => 4 + array.as_slice().iter().map(value_weight).sum::<usize>(),
        AMQPValue::FieldTable(table) => table_weight(table),
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: usize = 131_072;

    fn with(headers: &[(&str, usize)]) -> BasicProperties {
        let mut table = FieldTable::default();
        for (name, length) in headers {
            table.insert((*name).into(), AMQPValue::LongString("x".repeat(*length).into()));
        }
        BasicProperties::default().with_headers(table).with_message_id("id".into())
    }

    fn names(of: &BasicProperties) -> Vec<String> {
        of.headers().as_ref().unwrap().inner().keys().map(ToString::to_string).collect()
    }

    #[test]
    fn headers_that_fit_are_unchanged() {
        for copy in [BasicProperties::default(), with(&[]), with(&[("a", 100), ("b", 120_000)])] {
            assert_eq!(fit(copy.clone(), FRAME), (copy, 0));
        }
    }

    #[test]
    fn the_largest_headers_are_left_out_and_listed() {
        let (copy, left_out) = fit(with(&[("big", 130_000), ("small", 10), ("x-handoffd-reason", 10)]), FRAME);
        assert_eq!(left_out, 1);
        assert_eq!(names(&copy), ["small", "x-handoffd-left-out", "x-handoffd-reason"]);
        let list = &copy.headers().as_ref().unwrap().inner()[LEFT_OUT];
        assert_eq!(list, &AMQPValue::LongString("big".into()));
        assert_eq!(copy.message_id(), &Some("id".into()));
        let (copy, _) = fit(with(&[("a", 50_000), ("b", 60_000), ("c", 20_000)]), FRAME);
        assert_eq!(names(&copy), ["a", "c", "x-handoffd-left-out"]);
    }

    #[test]
    fn thousands_of_small_headers_are_reduced_too() {
        let many: Vec<String> = (0..6000).map(|number| format!("header-{number:05}")).collect();
        let many: Vec<(&str, usize)> = many.iter().map(|name| (name.as_str(), 10)).collect();
        for frame in [FRAME, 65_536, 8192, 4096] {
            let (copy, left_out) = fit(with(&many), frame);
            assert!(left_out > 0);
            assert!(table_weight(copy.headers().as_ref().unwrap()) <= frame - SPARE.min(frame / 2), "{frame}");
        }
    }

    #[test]
    fn nested_values_count() {
        let mut inner = FieldTable::default();
        inner.insert("deep".into(), AMQPValue::LongString("x".repeat(130_000).into()));
        let mut table = FieldTable::default();
        table.insert("outer".into(), AMQPValue::FieldTable(inner));
        assert_eq!(fit(BasicProperties::default().with_headers(table), FRAME).1, 1);
    }
}
