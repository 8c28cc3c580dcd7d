//! A single attempt to connect.

use std::time::Duration;

use handoffd_engine::ports::store::StoreError;
use secrecy::ExposeSecret;
use tokio::time::timeout;
use tokio_postgres::config::{ChannelBinding, Host, SslMode, TargetSessionAttrs};
use tokio_postgres::{Client, Config, Connection, Socket};

use super::errors::{FailureKind, ServerFailure};
use super::options::{PostgresOptions, PostgresTls};
use super::tls::{PostgresTlsStream, TlsConnector};

/// Longest time for one attempt, every host included.
const LONGEST: Duration = Duration::from_secs(15);
/// Longest time for one address, unless the URL has `connect_timeout`.
const LONGEST_EACH: Duration = Duration::from_secs(5);
/// Time after which sent data without an acknowledgement ends a connection, unless the URL has `tcp_user_timeout`.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// Idle time after which the peer is probed, unless the URL has `keepalives_idle`.
const IDLE: Duration = Duration::from_secs(30);
/// `keepalives_idle` of a URL that does not set it (tokio-postgres 0.7).
const UNSET_IDLE: Duration = Duration::from_secs(2 * 60 * 60);

/// Opens connections to the server.
#[derive(Clone)]
pub(super) struct Connector {
    config: Config,
    tls: TlsConnector,
    /// Hosts and database, for messages.
    pub place: String,
}

impl Connector {
    /// Reads the URL and the roots.
    ///
    /// # Errors
    /// If the URL or the file of roots is invalid. The URL is not quoted.
    pub(super) fn new(options: &PostgresOptions) -> Result<Self, StoreError> {
        let invalid = |problem: String| StoreError::Open { path: "store.url".to_owned(), problem };
        let mut config: Config = options
            .url
            .expose_secret()
            .parse()
            .map_err(|error: tokio_postgres::Error| invalid(ServerFailure::from(error).to_string()))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(invalid("it has no host".to_owned()));
        }
        // A server that only reads is a standby; its successor is another host of the URL, or the same one later.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        // The server's certificate proves its identity; binding the password to it fails with some certificates.
        config.channel_binding(ChannelBinding::Disable);
        config.ssl_mode(if options.tls == PostgresTls::Disabled || only_sockets(&config) {
            SslMode::Disable
        } else {
            SslMode::Require
        });
        config.connect_timeout(config.get_connect_timeout().copied().unwrap_or(LONGEST_EACH));
        config.tcp_user_timeout(config.get_tcp_user_timeout().copied().unwrap_or(UNACKNOWLEDGED));
        if config.get_keepalives_idle() == UNSET_IDLE {
            config.keepalives_idle(IDLE);
        }
        if config.get_application_name().is_none() {
            config.application_name("handoffd");
        }
        let tls = TlsConnector::new(options.tls, options.ca_file.as_deref()).map_err(invalid)?;
        Ok(Self { place: place(&config), config, tls })
    }

    /// Connects to the first host that accepts writes.
    pub(super) async fn connect(&self) -> Result<(Client, Connection<Socket, PostgresTlsStream>), ServerFailure> {
        match timeout(LONGEST, self.config.connect(self.tls.clone())).await {
            Ok(connected) => Ok(connected?),
            Err(_) => Err(ServerFailure::new(FailureKind::Unavailable, format!("no answer within {LONGEST:?}"))),
        }
    }
}

fn only_sockets(config: &Config) -> bool {
    config.get_hostaddrs().is_empty() && config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)))
}

fn place(config: &Config) -> String {
    let ports = config.get_ports();
    let port = |nth: usize| ports.get(nth).or_else(|| ports.first()).copied().unwrap_or(5432);
    let host = |(nth, host): (usize, &Host)| match host {
        Host::Tcp(name) if name.contains(':') => format!("[{name}]:{}", port(nth)),
        Host::Tcp(name) => format!("{name}:{}", port(nth)),
        Host::Unix(folder) => folder.display().to_string(),
    };
    let hosts: Vec<String> = config.get_hosts().iter().enumerate().map(host).collect();
    let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("{}/{database}", hosts.join(","))
}
