//! Keys of rows: digests, and times that an integer holds. Pure.

use handoffd_engine::event::{EventKey, OrganizationId, SessionId};
use handoffd_engine::ports::store::contact_key::contact_key;
use jiff::Timestamp;
use uuid::Uuid;

/// Nanoseconds of a day.
const DAY: i64 = 86_400_000_000_000;

/// Namespace of all digests. An arbitrary constant that must never change.
const NAMES: Uuid = Uuid::from_u128(0x0b1a_5c1e_7f0d_4c5e_8a77_93d2_4b9e_66d0);

/// Returns the key of an event.
pub(super) fn event(key: &EventKey) -> Uuid {
    digest("event", &[key.organization_id.as_str(), key.event_id.as_str()])
}

/// Returns the key of the note that an event is queued.
pub(super) fn queued(key: &EventKey) -> Uuid {
    digest("queued event", &[key.organization_id.as_str(), key.event_id.as_str()])
}

/// Returns the key of a session.
pub(super) fn session(organization: &OrganizationId, session: &SessionId) -> Uuid {
    digest("session", &[organization.as_str(), session.as_str()])
}

/// Returns the key of a contact. It holds no email, since the store holds no customer text.
pub(super) fn contact(organization: &OrganizationId, email: &str) -> Uuid {
    contact_key(organization, email)
}

/// Returns the key of an organization.
pub(super) fn organization(organization: &OrganizationId) -> Uuid {
    digest("organization", &[organization.as_str()])
}

/// Returns a search term: a value that ended events are found by.
pub(super) fn term(kind: &str, value: &str) -> Uuid {
    digest(kind, &[value])
}

/// Returns a time in nanoseconds since 1970. A time that they can't express becomes the nearest one that they can.
pub(super) fn nanoseconds(at: Timestamp) -> i64 {
    let wide = at.as_nanosecond();
    i64::try_from(wide).unwrap_or(if wide < 0 { i64::MIN } else { i64::MAX })
}

/// Returns the time of nanoseconds since 1970.
pub(super) fn timestamp(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or_default() // 64 bits are within a timestamp's range
}

/// Returns the UTC day of a time, in days since 1970.
pub(super) fn day(nanoseconds: i64) -> i64 {
    nanoseconds.div_euclid(DAY)
}

/// Digest of texts. Each is preceded by its length, so that different lists never have the same bytes.
fn digest(kind: &str, texts: &[&str]) -> Uuid {
    let mut bytes = Vec::with_capacity(96);
    for text in std::iter::once(&kind).chain(texts) {
        bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    Uuid::new_v5(&NAMES, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_texts_have_different_digests() {
        let key = |one: &str, other: &str| event(&EventKey { organization_id: one.into(), event_id: other.into() });
        assert_ne!(key("ab", "c"), key("a", "bc"));
        assert_ne!(key("a\0", "b"), key("a", "\0b"));
        assert_ne!(term("session", "a"), term("ticket", "a"));
        assert_eq!(contact(&"o".into(), "A@b.C"), contact(&"o".into(), "a@B.c"));
    }

    /// Rows of earlier versions are found by these.
    #[test]
    fn digests_never_change() {
        let key = EventKey { organization_id: "org_acme".into(), event_id: "evt_01JDA7".into() };
        assert_eq!(event(&key).to_string(), "9b27e4c8-a579-5746-86e0-2f79d9caa6fb");
    }

    #[test]
    fn times_are_exact_and_saturate() {
        let at: Timestamp = "2026-11-22T10:15:00.123456789Z".parse().unwrap();
        assert_eq!(timestamp(nanoseconds(at)), at);
        assert_eq!((nanoseconds(Timestamp::MIN), nanoseconds(Timestamp::MAX)), (i64::MIN, i64::MAX));
        assert_eq!((day(0), day(-1), day(DAY)), (0, -1, 1));
    }
}
