//! Fleet of workers that agree in PostgreSQL on who owns which organization.
//!
//! Each start of a process is a life of its own: a row of `handoffd_workers` that it renews. An organization's row in
//! `handoffd_owners` names the life that owns it, and the number of its term. Whatever is stored about an event goes
//! through a fence: it is written only if worker and term are those of the row, which is locked until the commit.
//!
//! Nobody leads. Each worker reads all rows with each renewal, computes the same assignment from them, and makes its own
//! moves: it gives back what another one is to have, and takes what it is to have and nobody owns. Only a worker that
//! has been live for a whole lease declares others lost, by the server's clock; and whoever takes an organization looks
//! first that its queue has no consumer left, for a limited time. A worker that can't reach the broker, while another one
//! can, gives up what it has; one whose lease ends returns its events to the broker. Nothing here waits for Dynamics, and nothing on the way of an event waits for another worker.

mod assignment;
mod balance;
mod cut_off;
mod heartbeat;
mod holdings;
mod host;
mod lapse;
mod lease;
mod listing;
mod member;
mod report_statements;
mod reporting;
mod self_stop;
mod shared_reports;
mod statements;
mod takeover;
mod view;

pub use heartbeat::join_fleet;
pub use host::{FleetHost, HostedOrganizations};
pub use listing::{FleetWorker, list_workers};
pub use member::{FleetOptions, PostgresFleet};
