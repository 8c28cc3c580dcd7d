//! In: an organization's settings as TOML or JSON, from a file, over HTTP or from the store.
//! Out: an `Organization` with typed values, or all of the document's faults.
//! Absent: the place where a document is kept.

mod credential;
mod json;
mod read;
pub mod schema;
mod ticket;

pub use read::parse;
pub(in crate::organizations) use read::{parse_document, read_document};
