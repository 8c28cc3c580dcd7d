//! Times as operators give them to a command, a request or a form. Pure.

use jiff::civil::DateTime;
use jiff::{Span, SpanRelativeTo, Timestamp, Zoned};
use schemars::{Schema, json_schema};
use serde_json::{Value, json};

/// Accepted times, for messages.
pub const TIME_FORMS: &str = "an RFC 3339 time such as 2026-11-28T03:00:00Z, a local time such as 2026-11-28T03:00, \
    a date such as 2026-11-28, or a span before now such as 2h or 1h30m";

/// Pattern of a date or a local time, from 1900 to 2099.
const LOCAL: &str = "^(19|20)[0-9]{2}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|\
    02-(0[1-9]|1[0-9]|2[0-8]))([T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?)?$";
/// Pattern of a span.
const SPAN: &str = "^([0-9]{1,3}d([0-9]{1,4}h)?([0-9]{1,4}m)?|[0-9]{1,4}h([0-9]{1,4}m)?([0-9]{1,4}s)?|\
    [0-9]{1,4}m([0-9]{1,4}s)?|[0-9]{1,4}(s|ms))$";

/// Parses RFC 3339, a date or a local time in the time zone of `now`, or a span before `now`, in which a day has 24
/// hours.
pub fn parse_time(text: &str, now: &Zoned) -> Option<Timestamp> {
    let text = text.trim();
    let exact = text.parse().ok().or_else(|| local(text, now));
    // In a query, a `+` that was not percent-encoded arrives as a space.
    exact.or_else(|| text.replace(' ', "+").parse().ok()).or_else(|| before(text, now))
}

fn local(text: &str, now: &Zoned) -> Option<Timestamp> {
    // The name of another time zone must not be ignored.
    let civil: DateTime = text.parse().ok().filter(|_| !text.contains('['))?;
    civil.to_zoned(now.time_zone().clone()).ok().map(|zoned| zoned.timestamp())
}

fn before(text: &str, now: &Zoned) -> Option<Timestamp> {
    let span: Span = text.parse().ok()?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    now.timestamp().checked_sub(duration).ok().filter(|_| !duration.is_negative())
}

/// Returns the JSON Schema of an accepted time.
pub fn time_schema() -> Schema {
    json_schema!({ "anyOf": forms() })
}

/// Returns the JSON Schema of an accepted time or null.
pub(crate) fn optional_time_schema() -> Schema {
    let mut forms = forms();
    forms.push(json!({ "type": "null" }));
    json_schema!({ "anyOf": forms })
}

fn forms() -> Vec<Value> {
    vec![
        json!({ "type": "string", "format": "date-time" }),
        json!({ "type": "string", "pattern": LOCAL }),
        json!({ "type": "string", "pattern": SPAN }),
    ]
}

#[cfg(test)]
mod tests {
    use jiff::tz::{TimeZone, offset};

    use super::*;

    fn parsed(text: &str) -> Option<String> {
        let now: Timestamp = "2026-11-28T10:15:00Z".parse().expect("a test's time is RFC 3339");
        parse_time(text, &now.to_zoned(TimeZone::fixed(offset(2)))).map(|time| time.to_string())
    }

    #[test]
    fn times_are_absolute_local_or_before_now() {
        for (text, expected) in [
            ("2026-11-28T03:00:00Z", "2026-11-28T03:00:00Z"),
            (" 2026-11-28T03:00:00.5+01:00\n", "2026-11-28T02:00:00.5Z"),
            ("2026-11-28T03:00:00 01:00", "2026-11-28T02:00:00Z"),
            ("2026-11-28T03:00Z", "2026-11-28T03:00:00Z"),
            ("2026-11-28T03:00", "2026-11-28T01:00:00Z"),
            ("2026-11-28 03:00:30", "2026-11-28T01:00:30Z"),
            ("2026-11-28", "2026-11-27T22:00:00Z"),
            ("2h", "2026-11-28T08:15:00Z"),
            ("1h30m", "2026-11-28T08:45:00Z"),
            ("7d", "2026-11-21T10:15:00Z"),
            ("1d2h", "2026-11-27T08:15:00Z"),
            ("200ms", "2026-11-28T10:14:59.8Z"),
            ("0s", "2026-11-28T10:15:00Z"),
        ] {
            assert_eq!(parsed(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in ["", "yesterday", "-2h", "2", "2h ago", "1mo", "2026-11", "2026-02-30", "2026-11-28T25:00"] {
            assert_eq!(parsed(text), None, "{text}");
        }
        assert_eq!(parsed("2026-11-28T03:00[Asia/Tokyo]"), None);
    }

    /// The time zone of the operator's machine moves its clock on that day.
    #[test]
    fn a_local_time_uses_the_offset_of_its_date() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a POSIX time zone");
        let winter = "2026-11-28T10:15:00Z".parse::<Timestamp>().expect("a time").to_zoned(zone);
        let time = |text| parse_time(text, &winter).map(|time| time.to_string());
        assert_eq!(time("2026-07-01T03:00").as_deref(), Some("2026-07-01T01:00:00Z"));
        assert_eq!(time("2026-11-28T03:00").as_deref(), Some("2026-11-28T02:00:00Z"));
    }
}
