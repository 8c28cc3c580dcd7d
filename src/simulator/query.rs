//! GET of a table: `$select $filter $orderby $top $count`, and paging.

use serde_json::{Map, Value};

use super::answer::SimulatedAnswer;
use super::call::IncomingRequest;
use super::context::RequestContext;
use super::filter::Filter;
use super::guard;
use super::matching;
use super::read::{self, Shown};
use super::refusal::Refusal;
use super::row::Row;
use super::rows::RowSet;
use super::rules::AccessRight;
use super::table::Table;

/// Page size limit of Dataverse.
const PAGE: usize = 5000;

/// Parsed query options.
struct Query {
    shown: Shown,
    filter: Option<Filter>,
    order: Vec<(String, Direction)>,
    top: Option<usize>,
    count: Option<String>,
    page: usize,
    skip: usize,
}

/// Sort direction of `$orderby`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Ascending,
    Descending,
}

const KNOWN: [&str; 6] = ["$select", "$filter", "$orderby", "$top", "$count", "$skiptoken"];

/// Returns the matching rows.
pub(super) fn rows<'a>(scene: &RequestContext<'a>, table: &'a Table) -> Result<SimulatedAnswer, Refusal> {
    let query = Query::read(scene.call, table)?;
    guard::readable(scene, table, query.filter.as_ref(), query.order.iter().map(|(column, _)| column.as_str()))?;
    let empty = RowSet::default();
    let mut found = query.find(table, scene.rows.at(&table.set).unwrap_or(&empty));
    // Rows that the user may not read are not found.
    found.retain(|row| !guard::denied(scene, table, row.key, AccessRight::Read));
    scene.touched.set(found.first().map(|row| (table, row.key)));
    let total = found.len();
    let wanted = query.top.unwrap_or(usize::MAX).saturating_sub(query.skip);
    let page = found.into_iter().skip(query.skip).take(query.page.min(wanted));
    let values = page.map(|row| Value::Object(read::element(scene, table, row, &query.shown)));
    let values: Vec<Value> = values.collect();

    let reached = query.skip + values.len();
    let mut body = Map::new();
    let context = scene.context(&format!("{}{}", table.set, query.shown.context()));
    body.insert("@odata.context".into(), context.into());
    if query.count.as_deref() == Some("true") {
        body.insert("@odata.count".into(), total.into());
    }
    body.insert("value".into(), values.into());
    if reached < total.min(query.top.unwrap_or(usize::MAX)) {
        body.insert("@odata.nextLink".into(), next(scene, reached).into());
    }
    Ok(SimulatedAnswer::odata(200, &Value::Object(body)))
}

impl Query {
    fn read(call: &IncomingRequest, table: &Table) -> Result<Self, Refusal> {
        read::only(call, &KNOWN)?;
        let filter = call.option("$filter").map(Filter::parse).transpose()?;
        if let Some(filter) = &filter {
            matching::check(filter, table)?;
        }
        let page = call.preference("odata.maxpagesize").and_then(|size| size.parse().ok());
        Ok(Self {
            shown: Shown::of(call, table)?,
            filter,
            order: order(call.option("$orderby").unwrap_or_default(), table)?,
            top: number(call, "$top")?,
            count: call.option("$count").map(str::to_owned),
            page: page.unwrap_or(PAGE).clamp(1, PAGE),
            skip: number(call, "$skiptoken")?.unwrap_or(0),
        })
    }

    fn find<'a>(&self, table: &Table, rows: &'a RowSet) -> Vec<&'a Row> {
        let mut found = match &self.filter {
            Some(filter) => matching::find(filter, table, rows),
            None => rows.iter().collect(),
        };
        // The sort is stable: equal rows stay in order of creation.
        found.sort_by(|left, right| {
            let by = self.order.iter().map(|(column, direction)| {
                let order = matching::order(left.value(column), right.value(column));
                match direction {
                    Direction::Ascending => order,
                    Direction::Descending => order.reverse(),
                }
            });
            by.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
        });
        found
    }
}

fn order(text: &str, table: &Table) -> Result<Vec<(String, Direction)>, Refusal> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let parts = parts.map(|part| {
        let mut words = part.split_whitespace();
        let name = words.next().unwrap_or_default();
        let direction = match (words.next(), words.next()) {
            (None | Some("asc"), None) => Direction::Ascending,
            (Some("desc"), None) => Direction::Descending,
            _ => return Err(Refusal::query(format!("Syntax error at position {} in '{text}'.", name.len()))),
        };
        let column = table.queried(name).ok_or_else(|| Refusal::no_property(table, name))?;
        Ok((column.name.clone(), direction))
    });
    parts.collect()
}

fn number(call: &IncomingRequest, option: &str) -> Result<Option<usize>, Refusal> {
    let Some(text) = call.option(option) else {
        return Ok(None);
    };
    let bad = || {
        Refusal::query(format!(
            "Invalid value '{text}' for {option} query option found. A non-negative integer is expected."
        ))
    };
    text.parse().map(Some).map_err(|_| bad())
}

/// Returns the URL of the next page.
fn next(scene: &RequestContext<'_>, reached: usize) -> String {
    let uri = &scene.call.uri;
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let kept = query.split('&').filter(|part| !part.is_empty());
    let kept = kept.filter(|part| !part.starts_with("$skiptoken=") && !part.starts_with("%24skiptoken="));
    let mut parts: Vec<String> = kept.map(str::to_owned).collect();
    parts.push(format!("$skiptoken={reached}"));
    format!("{}{path}?{}", scene.base, parts.join("&"))
}
