//! Length limit of a contact's email.

use crate::text::units;

/// Longest `emailaddress1` of a contact, in UTF-16 units (Dataverse's stock schema).
pub const EMAIL_LIMIT: usize = 100;

/// Returns true if a contact can hold the email (contract 4, contact 6).
pub fn fits(email: &str) -> bool {
    units(email) <= EMAIL_LIMIT
}
