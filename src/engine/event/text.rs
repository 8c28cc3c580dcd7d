//! Cleaning of text for Dynamics.

use std::borrow::Cow;

use bytes::Bytes;
use bytestring::ByteString;

use super::lax::Text;
use crate::text::fit_for_dynamics;

impl Text<'_> {
    /// Returns the text trimmed, for values that stand on a line of their own.
    pub(super) fn trimmed(self, body: &Bytes) -> Option<ByteString> {
        let trimmed = match self.0? {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
            Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
        };
        Some(shared(fit_for_dynamics(trimmed), body))
    }

    /// Returns the text untrimmed, because white space is part of a message.
    pub(super) fn verbatim(self, body: &Bytes) -> Option<ByteString> {
        self.0.map(|text| shared(fit_for_dynamics(text), body))
    }
}

/// Returns the text as a part of the body where it is one, so that a long transcript is in memory once.
fn shared(text: Cow<'_, str>, body: &Bytes) -> ByteString {
    let all = body.as_ptr_range();
    match text {
        Cow::Borrowed(part) if all.contains(&part.as_ptr()) => {
            ByteString::try_from(body.slice_ref(part.as_bytes())).unwrap_or_else(|_| part.into())
        }
        // It lay in base64.
        Cow::Borrowed(text) => text.into(),
        Cow::Owned(text) => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trims_and_replaces() {
        let (trimmed, verbatim) = (
            |text: &'static str| Text(Some(text.into())).trimmed(&Bytes::new()),
            |text: &'static str| Text(Some(text.into())).verbatim(&Bytes::new()),
        );
        assert_eq!(trimmed("  Ann\u{a0}").as_deref(), Some("Ann"));
        assert_eq!(verbatim("  a\n ").as_deref(), Some("  a\n "));
        assert_eq!(
            verbatim("a\0b\u{1f}c\td\r\ne\u{7f}\u{ffff}").as_deref(),
            Some("a\u{fffd}b\u{fffd}c\td\r\ne\u{7f}\u{fffd}")
        );
        assert_eq!(Text(None).trimmed(&Bytes::new()), None);
    }

    #[test]
    fn a_text_without_escapes_is_a_part_of_the_body() {
        let body = Bytes::from_static(br#"{"text":" as it is ","escaped":"a\nb"}"#);
        let json = std::str::from_utf8(&body).unwrap();
        let read = |text: &'static str| serde_json::from_str::<Text<'_>>(text).unwrap();
        let part = |text: &ByteString| body.as_ptr_range().contains(&text.as_bytes().as_ptr());
        let plain: Text<'_> = serde_json::from_str(&json[8..20]).unwrap();
        let (trimmed, verbatim) = (plain.clone().trimmed(&body).unwrap(), plain.verbatim(&body).unwrap());
        assert_eq!((&*trimmed, &*verbatim), ("as it is", " as it is "));
        assert!(part(&trimmed) && part(&verbatim));
        let elsewhere = read("\"another\"").trimmed(&body).unwrap();
        assert!(elsewhere == "another" && !part(&elsewhere));
    }
}
