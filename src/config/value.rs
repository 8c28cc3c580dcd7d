//! Reads single values. Every function returns the value, or a description of the expected one.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use secrecy::{SecretSlice, SecretString};
use toml::Value;
use tracing_subscriber::EnvFilter;

use super::duration::{self, Delay};

/// Value, or a description of the expected one.
pub(crate) type Read<T> = Result<T, String>;

/// Longest TTL of a RabbitMQ queue: 2³² − 1 milliseconds, 49 days.
const LONGEST_DELAY: Duration = Duration::from_millis(u32::MAX as u64);

/// Longest name of an exchange or queue, in bytes.
const LONGEST_NAME: usize = 255;

/// Reads a string.
pub(crate) fn text(value: &Value) -> Read<&str> {
    value.as_str().ok_or_else(|| "a string".to_owned())
}

/// Reads a string, which another check validates.
pub(crate) fn string(value: &Value) -> Read<String> {
    text(value).map(str::to_owned)
}

/// Reads a string that `parse` accepts.
fn parsed<T>(value: &Value, parse: impl FnOnce(&str) -> Option<T>, expected: &str) -> Read<T> {
    value.as_str().and_then(parse).ok_or_else(|| expected.to_owned())
}

/// Reads a list of at least one string, each of which `parse` accepts.
fn list<T>(value: &Value, parse: impl Fn(&str) -> Option<T>, expected: &str) -> Read<Vec<T>> {
    let items = value.as_array().filter(|items| !items.is_empty()).ok_or(expected)?;
    items.iter().map(|item| parsed(item, &parse, expected)).collect()
}

/// Reads `true` or `false`.
pub(crate) fn switch(value: &Value) -> Read<bool> {
    value.as_bool().ok_or_else(|| "true or false".to_owned())
}

/// Reads a whole number within bounds; `why` is appended to the bounds in the fault.
pub(crate) fn whole<T: TryFrom<i64>>(range: RangeInclusive<i64>, why: &'static str) -> impl Fn(&Value) -> Read<T> {
    move |value| {
        let number = value.as_integer().filter(|number| range.contains(number));
        number
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| format!("a whole number from {} to {}{why}", range.start(), range.end()))
    }
}

/// Reads one of a few words.
pub(crate) fn word<T: Copy>(words: &'static [(&'static str, T)]) -> impl Fn(&Value) -> Read<T> {
    move |value| {
        let found = words.iter().find(|(word, _)| value.as_str() == Some(word));
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let all: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
            all.join(" or ")
        })
    }
}

/// Reads a duration, including zero.
pub(crate) fn duration(value: &Value) -> Read<Duration> {
    parsed(value, duration::parse_duration, duration::FORM)
}

/// Reads a duration above zero.
pub(crate) fn positive_duration(value: &Value) -> Read<Duration> {
    match duration(value)? {
        Duration::ZERO => Err(format!("a duration above zero ({})", duration::FORM)),
        some => Ok(some),
    }
}

/// Reads a duration of at least this length.
pub(crate) fn duration_from(shortest: Duration) -> impl Fn(&Value) -> Read<Duration> {
    move |value| match duration(value)? {
        long if long >= shortest => Ok(long),
        _ => Err(format!("a duration of at least {}s ({})", shortest.as_secs(), duration::FORM)),
    }
}

/// Reads a duration within a range.
pub(crate) fn duration_within(range: RangeInclusive<Duration>) -> impl Fn(&Value) -> Read<Duration> {
    move |value| match duration(value)? {
        legal if range.contains(&legal) => Ok(legal),
        _ => {
            let (from, to) = (range.start().as_secs(), range.end().as_secs());
            Err(format!("a duration of {from}s to {to}s ({})", duration::FORM))
        }
    }
}

/// Reads a short text for people, which may be empty.
pub(crate) fn title(value: &Value) -> Read<String> {
    let is_legal = |text: &str| text.chars().count() <= 100 && !text.chars().any(char::is_control);
    let expected = "at most 100 characters, none of them a control character";
    parsed(value, |text| is_legal(text).then(|| text.to_owned()), expected)
}

/// Reads the retry ladder: at least one step, none of them zero.
pub(crate) fn delays(value: &Value) -> Read<Vec<Delay>> {
    let delay = |text: &str| {
        let duration = duration::parse_duration(text)?;
        let legal = !duration.is_zero() && duration <= LONGEST_DELAY;
        legal.then(|| Delay { text: text.to_owned(), duration })
    };
    let expected = format!("a list of at least one delay above zero and below 49d, each {}", duration::FORM);
    list(value, delay, &expected)
}

/// Reads the name of an exchange or queue.
pub(crate) fn name(value: &Value) -> Read<String> {
    legal_name(value, LONGEST_NAME)
}

/// Reads the prefix of queues' names, which leaves room for the rest of the name.
pub(crate) fn prefix(value: &Value) -> Read<String> {
    legal_name(value, 200)
}

fn legal_name(value: &Value, longest: usize) -> Read<String> {
    let expected = format!(
        "a name of 1 to {longest} bytes without control characters, not beginning with \"amq.\" (reserved by the broker)"
    );
    parsed(value, |name| short_string(name, longest), &expected)
}

/// Reads binding keys.
pub(crate) fn bindings(value: &Value) -> Read<Vec<String>> {
    let expected = "a list of at least one binding key such as \"session.handoff.#\"";
    list(value, |key| short_string(key, LONGEST_NAME), expected)
}

/// Returns the text if it is a legal short string of AMQP of at most `longest` bytes.
fn short_string(text: &str, longest: usize) -> Option<String> {
    let legal = (1..=longest).contains(&text.len()) && !text.starts_with("amq.") && !text.contains(char::is_control);
    legal.then(|| text.to_owned())
}

/// Reads a path.
pub(crate) fn path(value: &Value) -> Read<PathBuf> {
    parsed(value, |path| (!path.trim().is_empty() && !path.contains('\0')).then(|| PathBuf::from(path)), "a path")
}

/// Reads an address to listen on.
pub(crate) fn address(value: &Value) -> Read<SocketAddr> {
    let expected = "an IP address and a port, such as \"127.0.0.1:9464\" or \"[::1]:9464\"";
    parsed(value, |text| text.parse().ok(), expected)
}

/// Reads an OData identifier: the name of a property or an entity set.
pub(crate) fn identifier(value: &Value) -> Read<String> {
    let legal = |text: &str| {
        (1..=128).contains(&text.len())
            && !text.starts_with(|first: char| first.is_ascii_digit())
            && text.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
    };
    parsed(value, |text| legal(text).then(|| text.to_owned()), "a name of letters, digits and underscores")
}

/// Reads `log.level`: a level, or directives such as `info,handoffd=debug`.
pub(crate) fn level(value: &Value) -> Read<String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    // A single word that is not a level would be read as a target and silence everything else.
    let known =
        |directive: &str| directive.contains(['=', '[']) || LEVELS.contains(&directive.trim().to_lowercase().as_str());
    let legal = |text: &str| (text.contains('[') || text.split(',').all(known)) && EnvFilter::try_new(text).is_ok();
    let expected = "error, warn, info, debug, trace, off, or directives such as \"info,handoffd=debug\"";
    parsed(value, |text| legal(text).then(|| text.to_owned()), expected)
}

/// Reads `http.token`; an empty text means no token.
pub(crate) fn token(text: &str) -> Read<Option<SecretString>> {
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok((!text.is_empty()).then(|| text.into()));
    }
    Err("printable ASCII without spaces, because it is sent in a header".to_owned())
}

/// Reads `organizations.encryption_key`; an empty text means no key.
pub(crate) fn encryption_key(text: &str) -> Read<Option<SecretSlice<u8>>> {
    let text = text.trim();
    match STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)) {
        Ok(none) if none.is_empty() => Ok(None),
        Ok(bytes) if bytes.len() == 32 => Ok(Some(bytes.into())),
        _ => Err("32 bytes in base64, as printed by `openssl rand -base64 32`".to_owned()),
    }
}
