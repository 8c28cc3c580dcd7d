//! Options of the store.

use std::path::PathBuf;

use secrecy::SecretString;

/// Options of the store.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// URL as libpq reads it, without `sslmode`. It may name several hosts, and may hold a password.
    pub url: SecretString,
    /// Encryption of the connections.
    pub tls: PostgresTls,
    /// PEM file of roots in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// True if tables are created and migrated when the store is opened. Otherwise their version is only checked.
    pub migrate: bool,
}

/// Encryption of the connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PostgresTls {
    /// The certificate is valid and names the host.
    VerifyFull,
    /// The certificate is valid, for whatever host.
    VerifyCa,
    /// None.
    Disabled,
}
