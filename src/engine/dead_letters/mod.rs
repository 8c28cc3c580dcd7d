//! In: which dead letters, and what to do about them.
//! Out: an entry for each one that matches, with what became of it; the letters go by some at a time, however many there are.
//! Absent: RabbitMQ, which is behind its seam; the command line and the HTTP interface, which only print.

mod entry;
mod order;
mod patch;
mod selection;
mod whole;
mod work;

pub use entry::{Entry, Fate};
pub use order::{Action, Effect, Order, Substitute};
pub use patch::{PatchError, Patched, REPLACED_BODY, merge, patched};
pub use selection::Selection;
pub use whole::whole;
pub use work::{Failure, Observer, Tally, carry_out};
