//! In: dead letters as entries, what somebody wants done about them.
//! Out: the pages about them: by reason and organization, one by one, the dry run, what was done.
//! Absent: going through them, which the letters' room does; customers' text, but for one letter on demand.

pub(super) mod confirm;
pub(super) mod filter;
pub(super) mod list;
pub(super) mod one;
pub(super) mod result;
