//! URL of a broker, which holds a password.

use std::fmt;
use std::net::IpAddr;

use secrecy::{ExposeSecret, SecretString};
use url::{Position, Url};

use super::suggest::suggest;
use super::value::Read;

/// URL of a broker's node. Only [`BrokerUrl::expose`] reveals its password.
#[derive(Clone)]
pub struct BrokerUrl(SecretString);

impl BrokerUrl {
    /// Wraps a URL that has been validated.
    pub(super) fn new(url: String) -> Self {
        Self(url.into())
    }

    /// Returns the URL as written, with its password.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Returns the URL with `***` in place of the password.
    pub fn masked(&self) -> String {
        masked(self.expose())
    }

    /// Reports whether connections leave this machine.
    pub(super) fn is_remote(&self) -> bool {
        let url = Url::parse(self.expose()).ok();
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
        let address: Result<IpAddr, _> = host.trim_matches(['[', ']']).parse();
        !address.map_or_else(|_| host.eq_ignore_ascii_case("localhost"), |ip| ip.to_canonical().is_loopback())
    }

    /// Reports whether connections are encrypted.
    pub(super) fn has_tls(&self) -> bool {
        self.expose().starts_with("amqps:")
    }

    /// Reports whether the user is RabbitMQ's default one, which a URL without a user means too.
    pub(super) fn is_guest(&self) -> bool {
        Url::parse(self.expose()).is_ok_and(|url| matches!(url.username(), "" | "guest"))
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.masked(), f)
    }
}

/// Options of a broker's URL that its client reads.
const OPTIONS: [&str; 5] = ["heartbeat", "frame_max", "channel_max", "connection_timeout", "auth_mechanism"];
/// Values of `auth_mechanism` that the client knows.
const MECHANISMS: [&str; 5] = ["plain", "amqplain", "external", "anonymous", "rabbit-cr-demo"];

/// Refuses an option that the client would fail on, or ignore because its name is unknown.
pub(super) fn check_option(name: &str, value: &str) -> Read<()> {
    let (is_legal, values) = match name {
        "heartbeat" => (value.parse::<u16>().is_ok(), "a whole number of seconds from 0 to 65535".to_owned()),
        "frame_max" => (value.parse::<u32>().is_ok(), "a whole number of bytes from 0 to 4294967295".to_owned()),
        "channel_max" => (value.parse::<u16>().is_ok(), "a whole number from 0 to 65535".to_owned()),
        "connection_timeout" => (value.parse::<u64>().is_ok(), "a whole number of milliseconds".to_owned()),
        "auth_mechanism" => (MECHANISMS.contains(&value.to_lowercase().as_str()), MECHANISMS.join(", ")),
        _ => {
            let likely = suggest(name, OPTIONS.into_iter()).map(|likely| format!("; {likely}")).unwrap_or_default();
            return Err(format!("a URL without the option {name:?}; known are {}{likely}", OPTIONS.join(", ")));
        }
    };
    if is_legal { Ok(()) } else { Err(format!("the URL's option {name} to be {values}")) }
}

/// Replaces the password of a URL by `***`, or the whole URL if its password is ambiguous. Any other text is returned
/// unchanged.
pub(super) fn masked(text: &str) -> String {
    let hidden = || "***".to_owned();
    match Url::parse(text) {
        Ok(url) if url[Position::AfterPort..].contains('@') => hidden(),
        Ok(mut url) if url.password().is_some() => {
            url.set_password(Some("***")).map_or_else(|()| hidden(), |()| url.into())
        }
        Err(_) if text.contains("://") && text.contains('@') => hidden(),
        _ => text.to_owned(),
    }
}
