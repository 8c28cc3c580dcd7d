//! Connection that opens itself again, for as long as the store is open.

use std::sync::Arc;
use std::time::Duration;

use backoff::ExponentialBackoffBuilder;
use backoff::backoff::Backoff as _;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::connect::Connector;
use super::errors::{FailureKind, ServerFailure};
use super::health::{StoreHealth, StorePart};
use super::schema::{self, Migration};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause between two attempts to connect, where nothing asks for a shorter one.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// Handle to a connection.
#[derive(Clone)]
pub(super) struct ServerLink(watch::Receiver<LinkState>, Arc<Notify>);

#[derive(Clone)]
enum LinkState {
    /// No attempt has ended yet.
    Connecting,
    /// Open connection, and how many have been opened until this one.
    Open(Arc<Client>, u64),
    Away(ServerFailure),
}

/// Use of a connection.
pub(super) struct LinkRole {
    /// Name for the log.
    pub name: &'static str,
    /// Part of the store's health that depends on it.
    pub part: Option<StorePart>,
    /// Check, or migration, of the schema before the connection is used.
    pub schema: Option<Migration>,
    /// Longest pause between two attempts to connect.
    pub longest_pause: Duration,
}

impl ServerLink {
    /// Starts the task that keeps the connection open until `closing`.
    pub(super) fn start(
        connector: Connector,
        role: LinkRole,
        health: Arc<StoreHealth>,
        closing: CancellationToken,
    ) -> Self {
        let (state, link) = watch::channel(LinkState::Connecting);
        let silent = Arc::new(Notify::new());
        let link = Self(link, silent.clone());
        tokio::spawn(async move {
            let kept = Keeper { connector, role, health, state, silent, reported: false, opened: 0 };
            closing.run_until_cancelled(kept.keep_open()).await;
        });
        link
    }

    /// Returns the open connection.
    pub(super) fn client(&self) -> Result<Arc<Client>, ServerFailure> {
        self.connection().map(|(client, _)| client)
    }

    /// Returns the open connection with its number, which differs from that of every earlier one.
    pub(super) fn connection(&self) -> Result<(Arc<Client>, u64), ServerFailure> {
        match &*self.0.borrow() {
            LinkState::Open(client, number) => Ok((client.clone(), *number)),
            LinkState::Away(failure) => Err(failure.clone()),
            LinkState::Connecting => Err(ServerFailure::new(FailureKind::Unavailable, "connecting to PostgreSQL")),
        }
    }

    /// Drops a connection that does not answer; the next one is opened at once.
    pub(super) fn give_up(&self) {
        self.1.notify_waiters();
    }

    /// Waits until the first attempt has ended, and returns its failure.
    pub(super) async fn first_attempt(&mut self) -> Result<(), ServerFailure> {
        // An error means that the store is closing.
        _ = self.0.wait_for(|state| !matches!(state, LinkState::Connecting)).await;
        self.client().map(drop)
    }

    /// Waits until the connection is open. Never returns once the store is closing.
    pub(super) async fn opened(&mut self) {
        if self.0.wait_for(|state| matches!(state, LinkState::Open(..))).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

struct Keeper {
    connector: Connector,
    role: LinkRole,
    health: Arc<StoreHealth>,
    state: watch::Sender<LinkState>,
    /// Notified when a reader gives the connection up.
    silent: Arc<Notify>,
    /// True if the log says that the server is away.
    reported: bool,
    /// Number of connections opened so far.
    opened: u64,
}

impl Keeper {
    async fn keep_open(mut self) {
        let mut pauses = ExponentialBackoffBuilder::new()
            .with_initial_interval(FIRST_PAUSE)
            .with_max_interval(self.role.longest_pause)
            .with_max_elapsed_time(None)
            .build();
        loop {
            let began = Instant::now();
            let failure = self.connection().await;
            self.away(failure);
            if began.elapsed() > LONGEST_PAUSE {
                pauses.reset();
            }
            sleep(pauses.next_backoff().unwrap_or(self.role.longest_pause)).await;
        }
    }

    /// Opens a connection, and returns the reason why it has ended or could not be opened.
    async fn connection(&mut self) -> ServerFailure {
        let (client, connection) = match self.connector.connect().await {
            Ok(connected) => connected,
            Err(failure) => return failure,
        };
        let client = Arc::new(client);
        let mut connection = std::pin::pin!(connection);
        let ended = |ended: Result<(), tokio_postgres::Error>| match ended {
            Ok(()) => ServerFailure::new(FailureKind::Unavailable, "the connection was closed"),
            Err(error) => error.into(),
        };
        let checked = tokio::select! {
            checked = schema::ready(&client, self.role.schema, &self.connector.place) => checked,
            end = &mut connection => return ended(end),
        };
        if let Err(failure) = checked {
            return failure;
        }
        self.up(&client);
        drop(client);
        tokio::select! {
            end = &mut connection => ended(end),
            () = self.silent.notified() => ServerFailure::new(FailureKind::Unavailable, "no answer"),
        }
    }

    fn up(&mut self, client: &Arc<Client>) {
        self.opened += 1;
        self.state.send_replace(LinkState::Open(client.clone(), self.opened));
        if let Some(part) = self.role.part {
            self.health.set(part, None);
        }
        if std::mem::take(&mut self.reported) {
            info!(connection = self.role.name, place = self.connector.place, "connected to PostgreSQL again");
        } else {
            debug!(connection = self.role.name, place = self.connector.place, "connected to PostgreSQL");
        }
    }

    fn away(&mut self, failure: ServerFailure) {
        if !std::mem::replace(&mut self.reported, true) {
            warn!(
                connection = self.role.name,
                place = self.connector.place,
                error = %failure,
                "PostgreSQL is away; connecting again until it is back"
            );
        }
        if let Some(part) = self.role.part {
            self.health.set(part, Some(failure.clone().unavailable()));
        }
        self.state.send_replace(LinkState::Away(failure));
    }
}
