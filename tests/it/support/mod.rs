//! In: nothing.
//! Out: the test rig: a private broker.
//! Absent: tests.

pub mod broker;
