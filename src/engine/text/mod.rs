//! In: a text.
//! Out: its length, or a prefix of it, in UTF-16 units.
//! Absent: the meaning of a text.

mod length;

pub use length::{cut, shorten, units};
