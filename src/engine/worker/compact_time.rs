//! Time of a tracked event in half the room of a [`Timestamp`], and in a third if it is optional.

use std::num::NonZeroI64;

use jiff::Timestamp;

/// Time in microseconds since 1970. 100,000 events have three each: 4 MB less than with timestamps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CompactTime(NonZeroI64);

impl CompactTime {
    /// Returns the time, without fractions of a microsecond.
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_microsecond(self.0.get()).unwrap_or_default()
    }
}

impl From<Timestamp> for CompactTime {
    /// Converts any time; the first moment of 1970 becomes the next microsecond.
    fn from(time: Timestamp) -> Self {
        Self(NonZeroI64::new(time.as_microsecond()).unwrap_or(const { NonZeroI64::new(1).expect("1 is not 0") }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_keeps_its_microseconds() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let kept = |text: &str| CompactTime::from(time(text)).timestamp();
        assert_eq!(kept("2026-11-22T09:00:00.123456789Z"), time("2026-11-22T09:00:00.123456Z"));
        assert_eq!(kept("1970-01-01T00:00:00Z"), time("1970-01-01T00:00:00.000001Z"));
        assert_eq!(size_of::<Option<CompactTime>>(), 8);
    }
}
