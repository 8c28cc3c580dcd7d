//! Reason why an organization's events wait although no answer refused one.

/// Reason why an organization can't be used: its file or its saved document is
/// invalid, or its credential is unavailable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Withheld {
    /// Description of the fault.
    pub why: String,
    /// Advice to the operator.
    pub advice: String,
}
