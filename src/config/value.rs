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

/// Reads a string.
pub(crate) fn text(value: &Value) -> Read<&str> {
    value.as_str().ok_or_else(|| "a string".to_owned())
}

/// Reads `true` or `false`.
pub(crate) fn switch(value: &Value) -> Read<bool> {
    value.as_bool().ok_or_else(|| "true or false".to_owned())
}

/// Reads a whole number within bounds; `why` is appended to the bounds in the fault.
pub(crate) fn whole<T: TryFrom<i64>>(range: RangeInclusive<i64>, why: &'static str) -> impl Fn(&Value) -> Read<T> {
    move |value| {
        let expected = || format!("a whole number from {} to {}{why}", range.start(), range.end());
        let number = value.as_integer().filter(|number| range.contains(number)).ok_or_else(expected)?;
        T::try_from(number).map_err(|_| expected())
    }
}

/// Reads one of a few words.
pub(crate) fn word<T: Copy>(words: &'static [(&'static str, T)]) -> impl Fn(&Value) -> Read<T> {
    move |value| {
        let found = value.as_str().unwrap_or_default();
        words.iter().find(|(word, _)| *word == found).map(|(_, meaning)| *meaning).ok_or_else(|| {
            let all: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
            all.join(" or ")
        })
    }
}

/// Reads a duration, including zero.
pub(crate) fn duration(value: &Value) -> Read<Duration> {
    value.as_str().and_then(duration::parse_duration).ok_or_else(|| duration::FORM.to_owned())
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

/// Reads the retry ladder: at least one step, none of them zero.
pub(crate) fn delays(value: &Value) -> Read<Vec<Delay>> {
    let expected = || format!("a list of at least one delay above zero and below 49d, each {}", duration::FORM);
    let items = value.as_array().filter(|items| !items.is_empty());
    let items = items.ok_or_else(expected)?;
    let delay = |item: &Value| {
        let text = item.as_str()?;
        let duration = duration::parse_duration(text)?;
        let legal = !duration.is_zero() && duration <= LONGEST_DELAY;
        legal.then(|| Delay { text: text.to_owned(), duration })
    };
    items.iter().map(|item| delay(item).ok_or_else(expected)).collect()
}

/// Reads the name of an exchange or queue of at most `longest` bytes.
pub(crate) fn name(longest: usize) -> impl Fn(&Value) -> Read<String> {
    move |value| {
        value
            .as_str()
            .filter(|name| legal_name(name, longest))
            .map(ToOwned::to_owned)
            .ok_or_else(|| {
                format!(
                    "a name of 1 to {longest} bytes without control characters, not beginning with \"amq.\" (reserved by the broker)"
                )
            })
    }
}

/// Reads binding keys.
pub(crate) fn bindings(value: &Value) -> Read<Vec<String>> {
    let expected = || "a list of at least one binding key such as \"session.handoff.#\"".to_owned();
    let items = value.as_array().filter(|items| !items.is_empty());
    items
        .ok_or_else(expected)?
        .iter()
        .map(|item| {
            let key = item.as_str().filter(|key| legal_name(key, 255));
            key.map(ToOwned::to_owned).ok_or_else(expected)
        })
        .collect()
}

/// Reads a path.
pub(crate) fn path(value: &Value) -> Read<PathBuf> {
    value
        .as_str()
        .filter(|path| !path.trim().is_empty() && !path.contains('\0'))
        .map(PathBuf::from)
        .ok_or_else(|| "a path".to_owned())
}

/// Reads an address to listen on.
pub(crate) fn address(value: &Value) -> Read<SocketAddr> {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| "an IP address and a port, such as \"127.0.0.1:9464\" or \"[::1]:9464\"".to_owned())
}

/// Reads an OData identifier: the name of a property or an entity set.
pub(crate) fn identifier(value: &Value) -> Read<String> {
    let legal = |text: &&str| {
        let mut chars = text.chars();
        chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
            && chars.all(|char| char.is_ascii_alphanumeric() || char == '_')
            && text.len() <= 128
    };
    value
        .as_str()
        .filter(legal)
        .map(ToOwned::to_owned)
        .ok_or_else(|| "a name of letters, digits and underscores".to_owned())
}

/// Reads `log.level`: a level, or directives such as `info,handoffd=debug`.
pub(crate) fn level(value: &Value) -> Read<String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    // A single word that is not a level would be read as a target and silence everything else.
    let known =
        |directive: &str| directive.contains(['=', '[']) || LEVELS.contains(&directive.trim().to_lowercase().as_str());
    value
        .as_str()
        .filter(|text| text.contains('[') || text.split(',').all(known))
        .filter(|text| EnvFilter::try_new(text).is_ok())
        .map(ToOwned::to_owned)
        .ok_or_else(|| "error, warn, info, debug, trace, off, or directives such as \"info,handoffd=debug\"".to_owned())
}

/// Reads `http.token`; an empty text means no token.
pub(crate) fn token(text: &str) -> Read<Option<SecretString>> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(Some(text.into()));
    }
    Err("printable ASCII without spaces, because it is sent in a header".to_owned())
}

/// Reads `organizations.encryption_key`; an empty text means no key.
pub(crate) fn encryption_key(text: &str) -> Read<Option<SecretSlice<u8>>> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let bytes = STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text));
    match bytes {
        Ok(bytes) if bytes.len() == 32 => Ok(Some(bytes.into())),
        _ => Err("32 bytes in base64, as printed by `openssl rand -base64 32`".to_owned()),
    }
}

/// Reports whether a name is a legal short string of AMQP of at most `longest` bytes.
fn legal_name(name: &str, longest: usize) -> bool {
    !name.is_empty() && name.len() <= longest && !name.starts_with("amq.") && !name.chars().any(char::is_control)
}
