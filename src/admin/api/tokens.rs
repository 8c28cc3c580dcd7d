//! BearerTokens of the configuration.

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::admin::audit::Identity;

/// `http.token` and `http.reader_token`.
pub(super) struct BearerTokens {
    operator: Option<SecretString>,
    reader: Option<SecretString>,
}

impl BearerTokens {
    pub(super) fn new(operator: Option<SecretString>, reader: Option<SecretString>) -> Self {
        Self { operator, reader }
    }

    /// Returns true if neither is configured.
    pub(super) fn are_absent(&self) -> bool {
        self.operator.is_none() && self.reader.is_none()
    }

    /// Returns the token of an identity.
    pub(super) fn of(&self, identity: Identity) -> Option<&SecretString> {
        match identity {
            Identity::Token => self.operator.as_ref(),
            Identity::ReaderToken => self.reader.as_ref(),
            Identity::Local => None,
        }
    }

    /// Returns the identity that a token proves; compares in constant time.
    pub(super) fn identify(&self, given: &[u8]) -> Option<Identity> {
        let matches = |identity: &Identity| {
            self.of(*identity).is_some_and(|right| bool::from(given.ct_eq(right.expose_secret().as_bytes())))
        };
        [Identity::Token, Identity::ReaderToken].into_iter().find(matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_proves_its_identity() {
        let both = BearerTokens::new(Some("one".into()), Some("other".into()));
        for (given, identity) in [
            ("one", Some(Identity::Token)),
            ("other", Some(Identity::ReaderToken)),
            ("on", None),
            ("one2", None),
            ("", None),
        ] {
            assert_eq!(both.identify(given.as_bytes()), identity, "{given}");
        }
        let none = BearerTokens::new(None, None);
        assert!(none.are_absent() && none.identify(b"").is_none());
    }
}
