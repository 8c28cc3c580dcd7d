//! In: a text.
//! Out: its length and prefixes in UTF-16 units; its form for Dynamics, a terminal, a page or a log line.
//! Absent: the meaning of a text.

mod fit;
mod length;
mod visible;

pub use fit::fit_for_dynamics;
pub use length::{cut, shorten, units};
pub use visible::{Visible, is_hidden, visible, visible_json, visible_lines};
