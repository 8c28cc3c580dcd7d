//! In: a text.
//! Out: its length and prefixes in UTF-16 units; its form for a terminal, a page or a log line.
//! Absent: the meaning of a text.

mod length;
mod visible;

pub use length::{cut, shorten, units};
pub use visible::{Visible, is_hidden, visible, visible_json, visible_lines};
