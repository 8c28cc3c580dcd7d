//! Queue items: a case is in one queue at most.

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::closing::object;
use super::payload;
use super::rows::{Row, Rows};
use super::schema::{Schema, Table};

/// The queue item of a row, if it is in a queue.
pub(super) fn item<'a>(rows: &'a Rows, items: &Table, key: Uuid) -> Option<&'a Row> {
    let found = rows.at(&items.set)?.with_text(items, "_objectid_value", &key.to_string())?;
    found.into_iter().next()
}

/// Puts a row into a queue; one that is in another queue moves. Returns the queue item's key.
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
