//! Publishing with confirms: outcomes, copies of events, replayed dead letters and the messages of commands.

pub(super) mod address;
pub(super) mod command;
pub(super) mod copy;
pub(super) mod destination_faults;
pub(super) mod lane;
mod lane_channel;
pub(super) mod publisher;
