//! Key of a remembered contact: a digest, since no store holds an email. It is the same in every store, so that a contact
//! may move from one to another.

use uuid::Uuid;

use super::terms::fold;
use crate::event::OrganizationId;

/// Namespace of the digests. An arbitrary constant that must never change.
const NAMES: Uuid = Uuid::from_u128(0x6d1f_3c52_8f0e_4f0b_9d1c_5a3a_1f6e_72b4);

/// Returns the key of the contact of an email (in any case).
pub fn contact_key(organization: &OrganizationId, email: &str) -> Uuid {
    let mut name = Vec::with_capacity(96);
    for text in [organization.as_str(), &fold(email)] {
        for &byte in text.as_bytes() {
            name.push(byte);
            if byte == 0 {
                name.push(0xFF);
            }
        }
        name.extend_from_slice(&[0, 1]); // an end that no text contains, so different pairs never have the same bytes
    }
    Uuid::new_v5(&NAMES, &name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_ignores_the_case_of_an_email_and_belongs_to_one_organization() {
        let key = contact_key(&"org".into(), "ann@example.com");
        assert_eq!(key, contact_key(&"org".into(), "ANN@Example.com"));
        assert_ne!(key, contact_key(&"other".into(), "ann@example.com"));
        assert_ne!(contact_key(&"a".into(), "bc"), contact_key(&"ab".into(), "c"));
        assert_ne!(contact_key(&"a\0".into(), "b"), contact_key(&"a".into(), "\0b"));
    }

    /// Contacts of earlier versions are found by these.
    #[test]
    fn keys_never_change() {
        let key = contact_key(&"org_acme".into(), "ann@example.com");
        assert_eq!(key.to_string(), "5392d266-0a9e-5b1a-be4d-43ae4e625d49");
    }
}
