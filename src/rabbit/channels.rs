//! Connections by name, and channels on as many of them as are needed.

use std::time::Duration;

use lapin::{Channel, Connection, ConnectionProperties};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::addresses::Reached;
use super::connect::connect;
use super::refusal;

/// For a node that has greeted to open a connection; one that freezes meanwhile is replaced by another.
const OPEN_LIMIT: Duration = Duration::from_secs(5);
/// For the broker to answer a good-bye. One that hangs finds out by itself, from missing heartbeats.
pub(super) const GOODBYE: Duration = Duration::from_secs(4);
/// RabbitMQ's own limit of channels on a connection (`channel_max`).
const CHANNEL_NUMBERS: u16 = 2047;

/// Channels for one purpose: on one connection, and on further ones once it has no number left.
pub(super) struct Channels {
    reached: Reached,
    does: &'static str,
    first: Connection,
    /// Each with as many channels as the broker allows; only the last one has room.
    further: Mutex<Vec<Connection>>,
}

impl Channels {
    /// Opens the first connection, under a name that says what it does.
    pub(super) async fn connect(reached: &Reached, does: &'static str) -> Result<Self, String> {
        let first = open(reached, does).await?;
        Ok(Self { reached: reached.clone(), does, first, further: Mutex::default() })
    }

    /// The connection that lives as long as this.
    pub(super) fn first(&self) -> &Connection {
        &self.first
    }

    /// One more channel.
    pub(super) async fn open(&self) -> lapin::Result<Channel> {
        let mut further = self.further.lock().await;
        loop {
            match open_channel(further.last().unwrap_or(&self.first)).await {
                Err(error) if is_full(&error) => {
                    let connection = open(&self.reached, self.does).await;
                    further.push(connection.map_err(|why| lapin::Error::from(std::io::Error::other(why)))?);
                }
                opened => return opened,
            }
        }
    }

    /// Says good-bye to the broker, if it listens.
    pub(super) async fn hang_up(&self) {
        let further = self.further.lock().await;
        futures_util::future::join_all(further.iter().chain([&self.first]).map(hang_up)).await;
    }
}

/// One more channel on a connection.
///
/// lapin (4.12.3) never forgets that the broker closed a channel of some number over an error (a queue that is missing, a
/// permission that is not given), and fails a new one of that number with the old error, once it has come round. So the next is
/// tried.
pub(super) async fn open_channel(connection: &Connection) -> lapin::Result<Channel> {
    let mut channel = connection.create_channel().await;
    for _ in 0..CHANNEL_NUMBERS {
        match &channel {
            Err(error) if error.is_amqp_soft_error() => channel = connection.create_channel().await,
            _ => break,
        }
    }
    channel
}

/// True when a connection has no channel left.
fn is_full(error: &lapin::Error) -> bool {
    matches!(error.kind(), lapin::ErrorKind::ChannelsLimitReached)
}

/// Closes one connection in good order, if the broker listens.
pub(super) async fn hang_up(connection: &Connection) {
    if connection.status().connected() {
        // One that breaks meanwhile is closed too.
        let _ = timeout(GOODBYE, connection.close(200, "OK".into())).await;
    }
}

/// One connection, under a name that shows an operator at the broker what it is.
pub(super) async fn open(reached: &Reached, does: &str) -> Result<Connection, String> {
    let name = format!("handoffd {} {does}", env!("CARGO_PKG_VERSION"));
    let properties = ConnectionProperties::default()
        .with_connection_name(name.into())
        .with_client_property("product".into(), "handoffd".into())
        .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into());
    let connected =
        timeout(OPEN_LIMIT, connect(reached.uri.clone(), reached.address, reached.tls.clone(), properties)).await;
    connected.map_err(|_| "it does not answer in time".to_owned())?.map_err(|error| refusal::in_words(&error))
}
