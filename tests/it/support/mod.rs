//! In: what a test wants to be different.
//! Out: the test rig: a broker, a simulated Dynamics, real workers, all of it stopped in the end.
//! Absent: tests.

pub mod broker;
pub mod browser;
pub mod bus;
pub mod collector;
pub mod event;
pub mod files;
pub mod interface;
pub mod office;
pub mod raw;
pub mod rig;
pub mod simulator;
pub mod sluice;
pub mod worker;
