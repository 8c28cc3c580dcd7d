//! In: a step of the machine. Out: its receipt or fault, from Dynamics 365's Web API.
//! Absent: which step comes next, and when to try again.

mod answer;
mod classify;
mod client;
mod description;
mod environment;
mod gate;
mod keys;
mod mask;
mod reply;
mod request;
mod text;
mod token;

pub use client::{ClientError, Dynamics, Options};
pub use environment::Access;
pub use request::{Method, Request, request};
