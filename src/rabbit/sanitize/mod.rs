//! Repair of what the broker sends, before lapin (4.12.3) reads it. A publisher may put into a message's properties what
//! ends lapin's connection or the process; the broker passes it on unchecked, with each redelivery.

mod repair;
pub(super) mod stream;
mod trim;
