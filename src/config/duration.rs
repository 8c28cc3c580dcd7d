//! Durations as written in configuration files.

use std::time::Duration;

/// Step of the retry ladder. Its text is part of a queue's name, so it is kept as written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delay {
    /// Text as written, such as `5s`.
    pub text: String,
    /// Duration that the text denotes.
    pub duration: Duration,
}

/// Description of the format, for messages.
pub(super) const FORM: &str = "a whole number and a unit, such as \"200ms\", \"5s\", \"2m\", \"1h\" or \"30d\"";

/// Longest duration: ten years. A longer one is a typing error, and times computed from it might overflow.
pub(super) const LONGEST: Duration = Duration::from_secs(3650 * 86_400);

/// Parses a duration such as `200ms`, `5s`, `2m`, `1h` or `30d`. Returns `None` for any other text and for more than
/// ten years.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let duration = Duration::from_millis(number.checked_mul(milliseconds)?);
    (duration <= LONGEST).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read() {
        for (text, milliseconds) in
            [("200ms", 200), ("5s", 5_000), ("2m", 120_000), ("1h", 3_600_000), ("30d", 2_592_000_000), ("0s", 0)]
        {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        assert_eq!(parse_duration("3650d"), Some(LONGEST));
    }

    #[test]
    fn other_texts_are_refused() {
        let texts = "|5|s|5 s| 5s|5s |5S|5sec|1h30m|-5s|+5s|1.5s|1_000s|5µs|٥s|1w|3651d|99999999999999999999s|18446744073709551615d";
        for text in texts.split('|') {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
