//! In: a selection of dead letters and the action on them.
//! Out: an entry with its result for each match, read in windows so that memory stays bounded for any number of dead letters.
//! Absent: RabbitMQ, behind its port; the command line and the HTTP interface, which only show the entries.

mod entry;
mod order;
mod patch;
mod selection;
mod whole;
mod work;

pub use entry::{DeadLetterEntry, OperationResult};
pub use order::{Action, BodyPatch, Operation, RunMode};
pub use patch::{PatchError, Patched, REPLACED_BODY, merge, patched};
pub use selection::Selection;
pub use whole::full_view;
pub use work::{Counts, Observer, OrderFailure, execute};
