//! URL of a broker, which holds a password.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use url::{Position, Url};

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
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.masked(), f)
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
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
