//! Rendering of foreign text, times and numbers on the page. Pure.
//!
//! The template engine escapes markup, [`text::visible`] the characters that disguise others.

use std::time::Duration;

use handoffd_engine::text;
use jiff::Timestamp;
use maud::{Markup, html};

/// Renders an identifier chosen by someone else: an ID, a queue name, an error code.
pub(super) fn id(text: &str) -> Markup {
    html! { bdi class="id" { (visible(text)) } }
}

/// Renders an identifier, or a dash if it is absent or empty.
pub(super) fn maybe_id(text: Option<&str>) -> Markup {
    match text {
        Some(text) if !text.is_empty() => id(text),
        _ => dash(),
    }
}

/// Renders foreign prose, such as an error message.
pub(super) fn foreign_text(text: &str) -> Markup {
    html! { bdi { (visible(text)) } }
}

/// Renders the worker's own prose; text between backticks becomes code.
pub(super) fn prose(text: &str) -> Markup {
    html! {
        @for (at, part) in text.split('`').enumerate() {
            @if at % 2 == 1 { code { (visible(part)) } } @else { (visible(part)) }
        }
    }
}

/// Renders a dash for an absent value, which screen readers read as "none".
pub(super) fn dash() -> Markup {
    html! { span class="nothing" { span aria-hidden="true" { "–" } span class="unseen" { "none" } } }
}

/// Escapes hidden characters.
pub(super) fn visible(text: &str) -> String {
    text::visible(text).to_string()
}

/// Renders a point in time relative to now, with the exact time as its title.
pub(super) fn moment(at: Timestamp, now: Timestamp) -> Markup {
    html! { time datetime=(at) title=(clock(at)) { (ago(at, now)) } }
}

/// Renders the time since a point in time, with the exact time as its title.
pub(super) fn lasting(since: Timestamp, now: Timestamp) -> Markup {
    html! { time datetime=(since) title=(clock(since)) { (span(now.duration_since(since).unsigned_abs())) } }
}

/// Formats a point in time as a date and a time of day in UTC, to the second.
pub(super) fn clock(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Renders a point in time as a date and a time of day in UTC, to the millisecond.
pub(super) fn dated(at: Timestamp) -> Markup {
    html! { time datetime=(at) title=(clock(at)) { (at.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()) } }
}

/// Formats the distance from now, in the past or the future.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> String {
    let between = now.duration_since(at);
    let length = span(between.unsigned_abs());
    if between.unsigned_abs() < Duration::from_secs(1) {
        "just now".to_owned()
    } else if between.is_negative() {
        format!("in {length}")
    } else {
        format!("{length} ago")
    }
}

/// Formats a duration in its largest unit and a non-zero next one: `340 ms`, `12 s`, `3 min`, `2 h 5 min`, `3 d 4 h`.
pub(super) fn span(duration: Duration) -> String {
    const UNITS: [(u64, &str, u64, &str); 2] = [(86_400, "d", 3600, "h"), (3600, "h", 60, "min")];
    let seconds = duration.as_secs();
    for (large, name, small, next) in UNITS {
        if seconds >= large {
            let rest = seconds % large / small;
            let first = format!("{} {name}", seconds / large);
            return if rest == 0 { first } else { format!("{first} {rest} {next}") };
        }
    }
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..120 => format!("{seconds} s"),
        _ => format!("{} min", seconds / 60),
    }
}

/// Formats a whole number with thousands separators.
pub(super) fn count(number: u64) -> String {
    grouped(&number.to_string())
}

/// Formats a count that may be unknown.
pub(super) fn known(number: Option<u64>) -> String {
    number.map_or_else(|| "unknown".to_owned(), count)
}

fn grouped(digits: &str) -> String {
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Formats a number with its noun: `1 event`, `2 events`.
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// Formats a rate; numbers below ten get one decimal if they have a fraction.
pub(super) fn rate(number: f64) -> String {
    if number < 9.95 && number.fract() > 0.0 { format!("{number:.1}") } else { grouped(&format!("{number:.0}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a test's time is RFC 3339")
    }

    #[test]
    fn markup_is_escaped() {
        let shown = id(r#"<script>alert("1")</script>&'"#).into_string();
        assert_eq!(shown, r#"<bdi class="id">&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;'</bdi>"#);
    }

    #[test]
    fn backticks_become_code() {
        assert_eq!(prose("a `b <c>` d").into_string(), "a <code>b &lt;c&gt;</code> d");
    }

    #[test]
    fn absent_values_are_read_as_none() {
        assert!(maybe_id(None).into_string().contains("none"));
        assert!(maybe_id(Some("")).into_string().contains("none"));
        assert!(maybe_id(Some("x")).into_string().contains(">x<"));
    }

    #[test]
    fn spans_have_at_most_two_units() {
        let cases = [
            (0, "0 ms"),
            (340, "340 ms"),
            (1000, "1 s"),
            (119_000, "119 s"),
            (120_000, "2 min"),
            (3_600_000, "1 h"),
            (7_500_000, "2 h 5 min"),
            (86_400_000, "1 d"),
            (273_600_000, "3 d 4 h"),
        ];
        for (milliseconds, shown) in cases {
            assert_eq!(span(Duration::from_millis(milliseconds)), shown);
        }
    }

    #[test]
    fn moments_are_relative_to_now() {
        let now = at("2026-11-22T10:15:00Z");
        assert_eq!(ago(at("2026-11-22T10:14:48Z"), now), "12 s ago");
        assert_eq!(ago(at("2026-11-22T10:15:30Z"), now), "in 30 s");
        assert_eq!(ago(at("2026-11-22T10:14:59.5Z"), now), "just now");
        let shown = moment(at("2026-11-22T08:15:00Z"), now).into_string();
        assert_eq!(shown, r#"<time datetime="2026-11-22T08:15:00Z" title="2026-11-22 08:15:00 UTC">2 h ago</time>"#);
        assert!(dated(at("2026-11-22T08:15:00.0421Z")).into_string().contains(">2026-11-22 08:15:00.042<"));
    }

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([counted(1, "event", "events"), counted(2000, "event", "events")], ["1 event", "2,000 events"]);
        assert_eq!([0.0, 1.0, 0.04, 3.21, 9.96, 1234.5].map(rate), ["0", "1", "0.0", "3.2", "10", "1,234"]);
    }
}
