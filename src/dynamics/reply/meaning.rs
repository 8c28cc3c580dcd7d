//! Meaning of an answer for the workflow.

use handoffd_engine::workflow::{Fault, Receipt};

use crate::dynamics::request::Request;

/// Interpretation of an answer.
#[derive(Clone, PartialEq, Debug)]
pub(in crate::dynamics) enum ReplyMeaning {
    /// The step is done.
    Receipt(Receipt),
    /// A record with the derived key already exists, or a contact was merged into another. The caller sends this request
    /// and passes the answer to [`read_back`](super::read_back).
    LookBack(Request),
    /// The step failed.
    Fault(Fault),
}
