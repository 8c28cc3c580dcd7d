//! Client of Dynamics 365's Web API.
//!
//! In: a step of the workflow.
//! Out: its receipt or its fault.
//! Absent: the choice of the next step and the schedule of retries.

mod access;
mod answer;
mod assertion;
mod circuit_breaker;
mod call;
mod certificate;
mod classify;
mod client;
mod credential;
mod description;
mod environment;
mod explain;
mod handover;
mod limiter;
mod organization_check;
mod keys;
mod mask;
mod notice;
mod off_thread;
mod organizations;
mod aimd;
mod probe;
mod reply;
mod request;
mod request_tally;
mod resolver;
mod token;
mod wire;
mod withheld;

pub use access::{Access, Credentials};
pub use assertion::is_token;
pub use certificate::{CertificateError, ClientCertificate};
pub use circuit_breaker::Cause;
pub use client::{ClientError, Proxy};
pub use credential::ClientCredential;
pub use explain::{Explained, PLACEHOLDER_INCIDENT, explain};
pub use limiter::LimiterStatus;
pub use organization_check::{CheckProgress, CheckResult, Finding, SetupHalf};
pub use organizations::{Dynamics, DynamicsOptions};
pub use request::{JsonBody, Method, Request, request};
pub use withheld::Withheld;
