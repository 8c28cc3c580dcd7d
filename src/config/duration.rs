//! Durations as a person writes them.

use std::time::Duration;

/// A step of the retry ladder. Its text is part of a queue's name, so it is kept as written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delay {
    /// `5s`
    pub text: String,
    /// How long that is.
    pub duration: Duration,
}

/// What a duration looks like, for messages.
pub const FORM: &str = "a whole number and a unit, such as \"200ms\", \"5s\", \"2m\", \"1h\" or \"30d\"";

/// Ten years: longer is a slip of the keyboard, and times computed from it might overflow.
pub const LONGEST: Duration = Duration::from_secs(3650 * 86_400);

/// `200ms`, `5s`, `2m`, `1h`, `30d`; `None` for anything else, and for more than ten years.
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
