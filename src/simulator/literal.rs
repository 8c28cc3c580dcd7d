//! Constants in a filter.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use uuid::Uuid;

/// Constant.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Literal {
    /// `null`
    Null,
    /// `true`, `false`
    Flag(bool),
    /// `'O''Brien'`
    Text(String),
    /// `12`, `-0.5`
    Number(f64),
    /// GUID without quotes.
    Guid(Uuid),
    /// `2026-11-22T10:15:00Z`, `2026-11-22`
    Time(Timestamp),
}

impl Literal {
    /// Parses an unquoted word. Returns `None` if it is a name.
    pub(super) fn of(word: &str) -> Option<Self> {
        match word {
            "null" => return Some(Self::Null),
            "true" => return Some(Self::Flag(true)),
            "false" => return Some(Self::Flag(false)),
            _ => {}
        }
        if word.len() == 36
            && let Ok(guid) = Uuid::try_parse(word)
        {
            return Some(Self::Guid(guid));
        }
        // `inf` and `nan` are names here, although Rust parses them as floats.
        let numeric = word.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+');
        if !numeric {
            return None;
        }
        let number = word.parse().ok().map(Self::Number);
        number.or_else(|| time(word).map(Self::Time))
    }

    /// Returns the OData type named in error texts.
    pub(super) fn edm(&self) -> &'static str {
        match self {
            Self::Null => "<null>",
            Self::Flag(_) => "Edm.Boolean",
            Self::Text(_) => "Edm.String",
            Self::Number(number) if number.fract() == 0.0 => "Edm.Int32",
            Self::Number(_) => "Edm.Decimal",
            Self::Guid(_) => "Edm.Guid",
            Self::Time(_) => "Edm.DateTimeOffset",
        }
    }
}

/// Parses a time, or a date as midnight UTC.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    let day = || text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok();
    text.parse().ok().or_else(|| Some(day()?.timestamp()))
}
