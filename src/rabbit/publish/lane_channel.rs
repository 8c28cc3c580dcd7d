//! Channel of a lane, which is replaced after a refusal.
//!
//! A queue that has once refused a message (nack) may refuse all later ones of the same channel, whatever room it has by
//! then: RabbitMQ keeps the refusal for each channel (`rabbit_fifo_client`), and a queue whose length policy was removed
//! never takes it back (3.10.8, measured), while it accepts messages of any new channel. So a refused lane continues on a
//! new channel. There is never more than one, since messages of two channels may overtake each other: the lane waits
//! for the answers on the old one first, unless they don't come.

use std::sync::Arc;
use std::time::Duration;

use lapin::Channel;
use lapin::options::ConfirmSelectOptions;
use tokio::time::{Instant, timeout};

use crate::rabbit::connection::confirm_pool::{ConfirmPool, GOODBYE};

/// Shortest time between two channels of a lane: a queue that refuses everything must not cost a channel for each message.
const REPLACE_INTERVAL: Duration = Duration::from_secs(1);
/// Longest time for which a lane publishes nothing to have the old channel answered. A hanging queue behind the same
/// exchange may never answer; the lane then continues on the old channel, until nothing is in flight.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// Channel of a lane, opened when it is needed.
pub(super) struct LaneChannel {
    pool: Arc<ConfirmPool>,
    current: Option<Channel>,
    opened: Instant,
    /// Time from which the channel is to be replaced, after a refusal.
    replace_from: Option<Instant>,
}

impl LaneChannel {
    pub(super) fn new(pool: Arc<ConfirmPool>) -> Self {
        Self { pool, current: None, opened: Instant::now(), replace_from: None }
    }

    /// Returns true while the broker blocks publishers.
    pub(super) fn is_blocked(&self) -> bool {
        self.pool.first().status().blocked()
    }

    /// Channel, if one is open.
    pub(super) fn current(&self) -> Option<&Channel> {
        self.current.as_ref()
    }

    /// Drops the channel after an error on it; an error on an earlier one has no effect.
    pub(super) fn failed(&mut self, id: u16) {
        if self.current.take_if(|channel| channel.id() == id).is_some() {
            self.replace_from = None;
        }
    }

    /// Records that a message was refused on the channel.
    pub(super) fn refused(&mut self) {
        let from = (self.opened + REPLACE_INTERVAL).max(Instant::now());
        self.replace_from.get_or_insert(from);
    }

    /// Returns true if nothing is to be published until all messages in flight are answered.
    pub(super) fn is_draining(&self) -> bool {
        let now = Instant::now();
        self.replace_from.is_some_and(|from| from <= now && now < from + DRAIN_LIMIT)
    }

    /// Returns the channel, a new one if the present one is to be replaced and nothing is in flight on it.
    pub(super) async fn get(&mut self, is_idle: bool) -> lapin::Result<Channel> {
        if is_idle
            && self.replace_from.take_if(|from| *from <= Instant::now()).is_some()
            && let Some(refused) = self.current.take()
        {
            close(refused);
        }
        if let Some(channel) = &self.current {
            return Ok(channel.clone());
        }
        let channel = self.pool.open().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        (self.opened, self.replace_from) = (Instant::now(), None);
        Ok(self.current.insert(channel).clone())
    }
}

/// Closes a channel in the background, because the lane does not depend on it.
fn close(channel: Channel) {
    tokio::spawn(async move {
        // A failure means that the connection is broken anyway.
        _ = timeout(GOODBYE, channel.close(200, "OK".into())).await;
    });
}
