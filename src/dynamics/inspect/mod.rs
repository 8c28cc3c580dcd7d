//! In: an organization's access, as its file (or its row of the store) says.
//! Out: what a test of it finds, check by check: which half fails, and what to do.
//! Absent: anything that Dynamics would write; the gate, which is for events.

mod call;
#[cfg(test)]
mod document;
mod fields;
mod finding;
mod privileges;
mod reply;
mod request;
mod secured;

pub(super) use call::inspect;
pub use finding::{Finding, Found, Half};
