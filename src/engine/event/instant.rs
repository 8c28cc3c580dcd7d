//! Parser for RFC 3339 times. jiff alone also accepts dates without an offset and other forms of ISO 8601.

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

/// Parses a time such as `2026-11-22T10:15:00Z` or `…T10:15:00.25+01:00`. RFC 3339 also allows `t`, `z` and a space for the `T`.
/// Digits beyond nanoseconds are dropped. A leap second (`:60`) is read as the second before it.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let (local, offset) = local(text)?;
    // RFC 3339 ends with the year 9999, jiff's range a day earlier. Publishers write that year for "never".
    Some(offset.to_timestamp(local).unwrap_or(Timestamp::MAX))
}

/// Parses a time like [`parse`] for display, over the whole range of RFC 3339. Returns `None` for one whose year in UTC has
/// not four digits.
pub(super) fn parse_utc(text: &str) -> Option<DateTime> {
    let (local, offset) = local(text)?;
    let utc = local.checked_sub(SignedDuration::from_secs(i64::from(offset.seconds()))).ok()?;
    (utc.year() >= 0).then_some(utc)
}

fn local(text: &str) -> Option<(DateTime, Offset)> {
    let (date_time, rest) = text.as_bytes().split_at_checked(19)?;
    let (nanoseconds, zone) = fraction(rest)?;
    Some((civil(date_time, nanoseconds)?, offset(zone)?))
}

fn civil(text: &[u8], nanoseconds: i32) -> Option<DateTime> {
    let separators = [text[4], text[7], text[13], text[16]];
    if &separators != b"--::" || !matches!(text[10], b'T' | b't' | b' ') {
        return None;
    }
    let two = |at: usize| number(&text[at..at + 2]).and_then(|value| i8::try_from(value).ok());
    let year = i16::try_from(number(&text[0..4])?).ok()?;
    let second = match two(17)? {
        60 => 59,
        second => second,
    };
    DateTime::new(year, two(5)?, two(8)?, two(11)?, two(14)?, second, nanoseconds).ok()
}

/// Splits `.25Z` into 250,000,000 and `Z`.
fn fraction(text: &[u8]) -> Option<(i32, &[u8])> {
    let Some(digits) = text.strip_prefix(b".") else {
        return Some((0, text));
    };
    let length = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    let (digits, zone) = digits.split_at(length);
    let kept = &digits[..length.min(9)];
    let scale = 10_i32.pow(u32::try_from(9 - kept.len()).ok()?);
    Some((number(kept)? * scale, zone))
}

fn offset(text: &[u8]) -> Option<Offset> {
    if matches!(text, b"Z" | b"z") {
        return Some(Offset::UTC);
    }
    let [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] = text else {
        return None;
    };
    let (hours, minutes) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = (hours * 60 + minutes) * 60;
    Offset::from_seconds(if *sign == b'-' { -seconds } else { seconds }).ok()
}

/// Parses one to nine ASCII digits.
fn number(digits: &[u8]) -> Option<i32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |value, digit| value * 10 + i32::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::{parse, parse_utc};

    #[test]
    fn reads_rfc_3339() {
        for (text, expected) in [
            ("2026-11-22T10:15:00Z", "2026-11-22T10:15:00Z"),
            ("2026-11-22t10:15:00z", "2026-11-22T10:15:00Z"),
            ("2026-11-22 10:15:00Z", "2026-11-22T10:15:00Z"),
            ("2026-11-22T10:15:00+01:30", "2026-11-22T08:45:00Z"),
            ("2026-11-22T10:15:00-00:00", "2026-11-22T10:15:00Z"),
            ("2026-11-22T23:15:00-23:59", "2026-11-23T23:14:00Z"),
            ("2026-11-22T10:15:00.25Z", "2026-11-22T10:15:00.25Z"),
            ("2026-11-22T10:15:00.1234567899Z", "2026-11-22T10:15:00.123456789Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
            ("0000-01-01T00:00:00+23:59", "-000001-12-31T00:01:00Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("9999-12-30T22:00:00Z", "9999-12-30T22:00:00Z"),
            ("9999-12-31T23:59:60Z", "9999-12-30T22:00:00.999999999Z"),
            ("9999-12-31T23:59:59-23:59", "9999-12-30T22:00:00.999999999Z"),
        ] {
            let read = parse(text).map(|timestamp| timestamp.to_string());
            assert_eq!(read.as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn displayed_times_have_the_whole_range() {
        for (text, expected) in [
            ("2026-11-22T23:15:00.25-23:59", Some("2026-11-23T23:14:00.25")),
            ("9999-12-31T23:59:59Z", Some("9999-12-31T23:59:59")),
            ("9999-12-31T23:59:59+01:00", Some("9999-12-31T22:59:59")),
            ("9999-12-31T23:59:59-01:00", None),
            ("0000-01-01T00:00:00Z", Some("0000-01-01T00:00:00")),
            ("0000-01-01T00:00:00+01:00", None),
            ("2026-11-22", None),
        ] {
            assert_eq!(parse_utc(text).map(|time| time.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "now",
            "1763806500",
            "2026-11-22",
            "2026-11-22 10:15",
            "2026-11-22T10:15Z",
            "2026-11-22T10:15:00",
            "2026-11-22T10:15:00+01",
            "2026-11-22T10:15:00+0100",
            "2026-11-22T10:15:00+24:00",
            "2026-11-22T10:15:00+01:60",
            "2026-11-22T10:15:00.Z",
            "2026-11-22T10:15:00,5Z",
            "2026-11-22T10:15:00Z ",
            " 2026-11-22T10:15:00Z",
            "2026-11-22T10:15:00Z[UTC]",
            "2026-11-22T24:00:00Z",
            "2026-11-22T10:60:00Z",
            "2026-11-22T10:15:61Z",
            "2026-02-29T10:15:00Z",
            "2026-13-01T10:15:00Z",
            "20261122T101500Z",
            "2026-W47-7T10:15:00Z",
            "+002026-11-22T10:15:00Z",
            "٢٠٢٦-11-22T10:15:00Z",
            "2026-11-22T10:15:0０Z",
            "10000-01-01T00:00:00Z",
            "-001-01-01T00:00:00Z",
            "2026-00-10T10:15:00Z",
            "2026-11-31T10:15:00Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
