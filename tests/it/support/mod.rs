//! In: the settings that a test changes.
//! Out: the test rig: a broker, a simulated Dynamics and real workers, all stopped at the end.
//! Absent: tests.

pub mod broker;
pub mod browser;
pub mod bus;
pub mod certificates;
pub mod cluster;
pub mod collector;
pub mod event;
pub mod files;
pub mod interface;
pub mod org_rig;
pub mod postgres;
pub mod raw;
pub mod rig;
pub mod simulator;
pub mod frame_proxy;
pub mod network;
pub mod worker;
