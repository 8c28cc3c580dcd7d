//! In: changes and queries; the URL of a PostgreSQL server.
//! Out: a [`Store`](handoffd_engine::ports::store::Store) that reads and commits many events in one trip.
//! Absent: the meaning of records; which worker owns an organization.

mod batch;
mod commit;
mod connect;
mod errors;
mod health;
mod keys;
mod link;
mod listing;
mod open;
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

pub use open::{migrate, open};
pub use options::{PostgresOptions, PostgresTls};
pub use store::PostgresStore;
