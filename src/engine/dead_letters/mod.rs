//! In: a selection of dead letters and the action on them.
//! Out: an entry with its result for each match, read in windows so that memory stays bounded for any number of dead letters.
//! Absent: RabbitMQ, behind its port; the command line and the HTTP interface, which only show the entries.

mod entry;
mod group;
mod index;
mod letter_id;
mod normalize;
mod order;
mod patch;
mod selection;
mod selection_text;
mod watch;
mod whole;
mod work;

pub use entry::{DeadLetterEntry, OperationResult};
pub use group::{DeadLetterGroup, GroupTally};
pub use index::{LetterIndex, LetterSurvey};
pub use order::{Action, BodyChange, BodyPatch, LetterChange, Operation, RunMode};
pub use patch::{PatchError, Patched, REPLACED_BODY, merge, patched, replaced};
pub use selection::Selection;
pub use selection_text::{SelectionError, SelectionText};
pub use watch::EntryWatch;
pub use work::{Counts, Observer, OrderFailure, execute};
