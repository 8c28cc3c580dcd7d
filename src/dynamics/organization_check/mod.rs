//! Test of an organization's setup.
//!
//! In: an organization's access, from its file or from the store.
//! Out: a finding for each check, with the half of the setup at fault and advice.
//! Absent: requests that write; the limiter, which is for events.

mod call;
mod credential;
#[cfg(test)]
mod document;
mod fields;
mod finding;
mod privileges;
mod reply;
mod request;
mod secured;

pub(super) use call::inspect;
pub use finding::{CheckProgress, CheckResult, Finding, SetupHalf};
