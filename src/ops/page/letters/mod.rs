//! In: dead letters as entries, what somebody wants done about them.
//! Out: the pages about them: by reason and organization, one by one, the dry run, what was done.
//! Absent: going through them, which the letters' room does; customers' text, but for one letter on demand.

pub mod confirm;
pub mod filter;
pub mod list;
pub mod one;
pub mod result;
