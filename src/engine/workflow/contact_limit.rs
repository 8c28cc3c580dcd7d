//! What can be a contact's email at all.

/// Longest `emailaddress1` of a contact, in UTF-16 units (Dataverse's stock schema).
pub const EMAIL_LIMIT: usize = 100;

/// Whether an email can be a contact's (contract 4, 6.).
pub fn fits(email: &str) -> bool {
    email.encode_utf16().count() <= EMAIL_LIMIT
}
