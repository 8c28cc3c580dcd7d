//! Client of Dynamics 365's Web API.
//!
//! In: a step of the workflow.
//! Out: its receipt or its fault.
//! Absent: the choice of the next step and the schedule of retries.

mod answer;
mod blockade;
mod call;
mod classify;
mod client;
mod description;
mod environment;
mod explain;
mod gate;
mod inspect;
mod keys;
mod mask;
mod notice;
mod organizations;
mod pace;
mod probe;
mod reply;
mod request;
mod resolver;
mod text;
mod token;
mod wire;

pub use client::{ClientError, Proxy};
pub use environment::{Access, Secret};
pub use explain::{Explained, INCIDENT_OF_THE_STORE, explain};
pub use inspect::{Finding, Found, Half};
pub use organizations::{Blocked, Condition, Dynamics, Options};
pub use request::{Method, Request, request};
