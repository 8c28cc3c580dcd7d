//! Named connections, and channels on as many of them as needed.

use std::time::Duration;

use lapin::{Channel, Connection, ConnectionProperties};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::addresses::Reached;
use super::connect::connect;
use crate::rabbit::refusal;

/// Longest wait for a node that has greeted to open a connection; one that freezes meanwhile is replaced by another.
const OPEN_LIMIT: Duration = Duration::from_secs(5);
/// Longest wait for the answer to a close. A broker that hangs detects the end from missing heartbeats.
pub(in crate::rabbit) const GOODBYE: Duration = Duration::from_secs(4);
/// Longest time to open a channel, also on a busy broker. lapin (4.12.3) never completes a request, or an acknowledgement,
/// that comes in just as its connection dies.
const CHANNEL_LIMIT: Duration = Duration::from_secs(30);
/// RabbitMQ's own limit of channels on a connection (`channel_max`).
const CHANNEL_NUMBERS: u16 = 2047;

/// Channels for one purpose, on one connection and on further ones once it has no channel number left.
pub(in crate::rabbit) struct ConfirmPool {
    reached: Reached,
    does: &'static str,
    first: Connection,
    /// Further connections. Only the last one has channel numbers left.
    further: Mutex<Vec<Connection>>,
}

impl ConfirmPool {
    /// Opens the first connection, named for its purpose.
    pub(in crate::rabbit) async fn connect(reached: &Reached, does: &'static str) -> Result<Self, String> {
        let first = open(reached, does).await?;
        Ok(Self { reached: reached.clone(), does, first, further: Mutex::default() })
    }

    /// First connection; it stays open as long as `self`.
    pub(in crate::rabbit) fn first(&self) -> &Connection {
        &self.first
    }

    /// Opens a channel.
    pub(in crate::rabbit) async fn open(&self) -> lapin::Result<Channel> {
        let mut further = self.further.lock().await;
        loop {
            match open_channel(further.last().unwrap_or(&self.first)).await {
                // A soft error is an old one: each number has been closed over an error (`open_channel`).
                Err(error) if is_full(&error) || error.is_amqp_soft_error() => {
                    let connection = open(&self.reached, self.does).await;
                    further.push(connection.map_err(|why| lapin::Error::from(std::io::Error::other(why)))?);
                }
                opened => return opened,
            }
        }
    }

    /// Closes every connection in good order if the broker responds.
    pub(in crate::rabbit) async fn close(&self) {
        let further = self.further.lock().await;
        futures_util::future::join_all(further.iter().chain([&self.first]).map(hang_up)).await;
    }
}

/// Opens a channel on a connection.
///
/// lapin (4.12.3) never forgets that the broker closed a channel over an error (a missing queue, a missing permission),
/// and fails a new channel of the same number with the old error once the numbers wrap around. So the next number is
/// tried.
pub(in crate::rabbit) async fn open_channel(connection: &Connection) -> lapin::Result<Channel> {
    let opened = timeout(CHANNEL_LIMIT, async {
        let mut channel = connection.create_channel().await;
        for _ in 0..CHANNEL_NUMBERS {
            match &channel {
                Err(error) if error.is_amqp_soft_error() => channel = connection.create_channel().await,
                _ => break,
            }
        }
        channel
    });
    opened.await.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
}

/// Returns true if a connection has no channel number left.
fn is_full(error: &lapin::Error) -> bool {
    matches!(error.kind(), lapin::ErrorKind::ChannelsLimitReached)
}

/// Closes a connection in good order if the broker responds.
pub(in crate::rabbit) async fn hang_up(connection: &Connection) {
    if connection.status().connected() {
        // A connection that breaks meanwhile is closed too.
        let _ = timeout(GOODBYE, connection.close(200, "OK".into())).await;
    }
}

/// Opens a connection whose name shows an operator of the broker its purpose.
pub(in crate::rabbit) async fn open(reached: &Reached, does: &str) -> Result<Connection, String> {
    let name = format!("handoffd {} {does}", env!("CARGO_PKG_VERSION"));
    let properties = ConnectionProperties::default()
        .with_connection_name(name.into())
        .with_client_property("product".into(), "handoffd".into())
        .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into());
    let connected =
        timeout(OPEN_LIMIT, connect(reached.uri.clone(), reached.address, reached.tls.clone(), properties)).await;
    connected.map_err(|_| "no answer in time".to_owned())?.map_err(|error| refusal::in_words(&error))
}
