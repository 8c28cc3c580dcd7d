//! In: changes to remember, questions about what is remembered.
//! Out: records, sessions, contacts, what environments want; `keep` returns when a change is durable.
//! Absent: decisions; and the truth, which is the broker's and Dynamics' (the store may be lost).

pub mod memory;
mod position;
mod seam;
pub mod sled;
mod terms;

pub use seam::{Change, Cursor, Filter, Found, Page, SavedOrganization, Store, StoreError, Swept};
