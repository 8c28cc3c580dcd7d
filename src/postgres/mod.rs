//! In: changes and queries; the URL of a PostgreSQL server.
//! Out: a [`Store`](handoffd_engine::ports::store::Store) that reads and commits many events in one trip.
//! Also the fleet: which worker owns an organization, as rows of the same server say.
//! Absent: the meaning of records; the broker and Dynamics.

mod batch;
mod commit;
mod connect;
mod errors;
mod fleet;
mod health;
mod keys;
mod link;
mod listing;
mod open;
mod operators;
mod options;
mod pending;
mod read;
mod rows;
mod scanning;
mod schema;
mod statement;
mod store;
mod sweep;
mod tls;
mod transfer;

pub use fleet::{FleetHost, FleetOptions, FleetWorker, HostedOrganizations, PostgresFleet, join_fleet, list_workers};
pub use open::{migrate, open};
pub use options::{PostgresOptions, PostgresTls};
pub use store::PostgresStore;
pub use transfer::PostgresTransfer;
