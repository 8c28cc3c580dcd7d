//! Queue items. A case is in one queue at most.

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::closing::object;
use super::payload;
use super::row::Row;
use super::rows::Rows;
use super::schema::Schema;
use super::table::Table;

/// Returns the queue item of a row, if the row is in a queue.
pub(super) fn item<'a>(rows: &'a Rows, items: &Table, key: Uuid) -> Option<&'a Row> {
    let found = rows.at(&items.set)?.with_text(items, "_objectid_value", &key.to_string())?;
    found.into_iter().next()
}

/// Adds a row to a queue, or moves it from another queue. Returns the key of the queue item.
pub(super) fn place(
    rows: &mut Rows,
    schema: &Schema,
    (table, key): (&Table, Uuid),
    queue: Uuid,
    now: Timestamp,
) -> Option<Uuid> {
    let items = schema.table("queueitems")?;
    let there = item(rows, items, key).map(|item| (item.key, item.lookup("_queueid_value")));
    let item = match there {
        Some((item, Some(same))) if same == queue => return Some(item),
        Some((item, _)) => item,
        None => Uuid::new_v4(),
    };
    let row = rows.row(&table.set, key)?;
    let values = json!({
        "title": row.value(&table.name), "_ownerid_value": row.value("_ownerid_value"), "_queueid_value": queue,
        "_objectid_value": key, "enteredon": payload::seconds(now),
    });
    rows.put(items, item, object(values), now);
    Some(item)
}
