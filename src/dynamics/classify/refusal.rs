//! Refusals that mean the same for every step: a record that exists, a row or a table that does not.

use crate::dynamics::answer::{Answer, ErrorBody};

/// Refusal by a duplicate detection rule. It may arrive with status 500 and is always permanent.
pub(super) const DUPLICATE_RULE: &str = "0x80040333";
/// Codes for a table that does not exist.
pub(super) const NO_TABLE: &[&str] = &["0x8006088a", "0x80060888"];
/// Message for a table that does not exist, used where the code does not identify it.
pub(super) const NO_SEGMENT: &str = "resource not found for the segment";

/// Returns true if a create was refused because a record with its key already exists.
pub(in crate::dynamics) fn is_duplicate_key(answer: &Answer, error: &ErrorBody) -> bool {
    if error.code == DUPLICATE_RULE {
        return false;
    }
    let exists = error.says("already exist") && (error.says("record") || error.says("key"));
    answer.status == 412 || error.code == "0x80040237" || exists || error.says("duplicate key")
}

/// Returns true if a whole table is missing rather than one of its rows.
fn is_missing_table(error: &ErrorBody) -> bool {
    NO_TABLE.contains(&error.code.as_str()) || error.says(NO_SEGMENT)
}

/// Returns true if a row is missing rather than a whole table.
pub(in crate::dynamics) fn is_missing_row(answer: &Answer, error: &ErrorBody) -> bool {
    error.code == "0x80040217" || (answer.status == 404 && !is_missing_table(error) && !error.message.is_empty())
}
