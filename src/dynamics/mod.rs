//! In: one step at a time, with what it needs.
//! Out: what Dynamics 365 made of it: a receipt or a fault.
//! Absent: which step comes next, when to try again, what is remembered.

pub mod simulator;
