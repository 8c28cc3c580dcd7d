//! In: messages from the broker.
//! Out: deliveries that are settled exactly once by being consumed; announcements, confirmed.
//! Absent: what a message means; attempts, reasons and headers are decided elsewhere.

pub mod headers;
mod letters;
pub mod rabbit;
mod seam;

pub use letters::{BrokerDeath, Letter, LetterBox, Letters, LettersError, Notice, Replay, Resolve};
pub use seam::{
    Announced, Announcement, Bus, BusError, Consumption, CopyTo, Delivery, Forwarded, Forwarding, Part, Received,
    Settle, Settled,
};
