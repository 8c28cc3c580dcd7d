//! Cursor of a paged list with the times that spans before now stood for when the list began.
//!
//! A span (`20s`) that each page counted anew would move while a client walks, and the oldest entries would drop out before
//! it reached them. Other times stand for themselves and are read from each request.

use handoffd_engine::ports::store::Cursor;
use handoffd_engine::time_input::parse_time;
use jiff::{Timestamp, ToSpan, Zoned};

use super::parameter::time;
use super::problem::Problem;

/// Separator of the store's cursor and the times, which no cursor contains.
const SEPARATOR: char = '~';

/// Limits of a list in time, `after` and `before`, as a request gives them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct TimeLimits {
    after: Option<TimeLimit>,
    before: Option<TimeLimit>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct TimeLimit {
    at: Timestamp,
    is_span: bool,
}

impl TimeLimits {
    /// Reads one of the limits.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), Problem> {
        let limit = TimeLimit { at: time(name, value)?, is_span: is_span(value) };
        *(if name == "after" { &mut self.after } else { &mut self.before }) = Some(limit);
        Ok(())
    }

    /// Earliest time, inclusive.
    pub(super) fn after(self) -> Option<Timestamp> {
        self.after.map(|limit| limit.at)
    }

    /// Latest time, exclusive.
    pub(super) fn before(self) -> Option<Timestamp> {
        self.before.map(|limit| limit.at)
    }

    /// Takes the times out of a cursor of [`Self::next`], in place of the spans of this request.
    pub(super) fn resume(&mut self, cursor: &str) -> Result<Cursor, Problem> {
        let mut parts = cursor.split(SEPARATOR);
        let of_store = parts.next().unwrap_or_default().to_owned();
        let mut spans = [&mut self.after, &mut self.before].into_iter().flatten().filter(|limit| limit.is_span);
        for time in parts {
            let at = time.parse().map_err(|_| foreign(cursor))?;
            spans.next().ok_or_else(|| foreign(cursor))?.at = at;
        }
        Ok(Cursor(of_store))
    }

    /// Returns the cursor of the next page.
    pub(super) fn next(self, cursor: Cursor) -> String {
        let spans = [self.after, self.before].into_iter().flatten().filter(|limit| limit.is_span);
        spans.fold(cursor.0, |cursor, limit| format!("{cursor}{SEPARATOR}{}", limit.at))
    }
}

/// Reports whether a text stands for another time an hour later.
fn is_span(text: &str) -> bool {
    let now = Zoned::now();
    now.checked_add(1.hour()).is_ok_and(|later| parse_time(text, &now) != parse_time(text, &later))
}

fn foreign(cursor: &str) -> Problem {
    Problem::bad_request(format!(
        "invalid cursor {cursor:?}; expected the `next` value of the previous page, with the same `after` and `before`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(after: &str, before: &str) -> TimeLimits {
        let mut limits = TimeLimits::default();
        for (name, value) in [("after", after), ("before", before)] {
            if !value.is_empty() {
                limits.set(name, value).unwrap();
            }
        }
        limits
    }

    #[test]
    fn a_span_stands_for_the_same_time_on_every_page() {
        for (after, before) in [("2h", "20s"), ("2h", ""), ("", "20s"), ("2h", "2026-11-28"), ("2026-11-28", "1m")] {
            let first = limits(after, before);
            let next = first.next(Cursor("YWJj".to_owned()));
            let mut second = limits(after, before);
            // As if much time had passed.
            for limit in [&mut second.after, &mut second.before].into_iter().flatten().filter(|limit| limit.is_span) {
                limit.at = Timestamp::MAX;
            }
            assert_eq!(second.resume(&next), Ok(Cursor("YWJj".to_owned())));
            assert_eq!(second, first, "{after} {before}");
        }
    }

    #[test]
    fn other_times_are_those_of_each_request_and_a_made_up_cursor_is_refused() {
        let mut fixed = limits("2026-11-28T03:00:00Z", "2026-11-29");
        assert_eq!(fixed.next(Cursor("YWJj".to_owned())), "YWJj");
        assert_eq!(fixed.resume("YWJj"), Ok(Cursor("YWJj".to_owned())));
        for (limits, cursor) in
            [(fixed, "YWJj~2026-11-28T03:00:00Z"), (limits("2h", ""), "YWJj~soon"), (limits("2h", ""), "YWJj~")]
        {
            assert!({ limits }.resume(cursor).is_err(), "{cursor}");
        }
    }
}
