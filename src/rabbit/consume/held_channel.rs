//! Channel of an organization's consumer, kept while one of its messages is in flight.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use lapin::Channel;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::rabbit::connection::confirm_pool::GOODBYE;
use crate::rabbit::link::{Link, TAKE_ACKS};
use crate::rabbit::shared::lock;

/// Longest wait for the messages of a closed channel to return to their queue; usually some milliseconds.
const RETURN_LIMIT: Duration = Duration::from_secs(2);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Channel shared by the consumer and each of its messages; the last of them closes it. It is made before the consumer,
/// because lapin keeps a consumer whose start nobody awaits any more, with messages that would never be settled.
pub(in crate::rabbit) struct HeldChannel {
    channel: Channel,
    link: Arc<Link>,
    queue: String,
    closed: CancellationToken,
}

/// Channels of the organizations' queues that still hold messages.
#[derive(Default)]
pub(in crate::rabbit) struct HeldChannels(Mutex<HashMap<String, Weak<HeldChannel>>>);

impl HeldChannels {
    /// Returns the channel that holds messages of this queue, so that the next consumer of the queue shares it. The end of
    /// a connection would return the messages of two channels in any order, those behind perhaps first (RabbitMQ 3.10).
    pub(super) fn of(&self, queue: &str) -> Option<Arc<HeldChannel>> {
        lock(&self.0).get(queue).and_then(Weak::upgrade).filter(|held| held.channel.status().connected())
    }

    /// Opens a channel for a queue.
    pub(super) async fn open(&self, link: &Arc<Link>, queue: &str) -> lapin::Result<Arc<HeldChannel>> {
        let held = Arc::new(HeldChannel::new(link.consuming_channel().await?, link.clone(), queue.to_owned()));
        lock(&self.0).insert(queue.to_owned(), Arc::downgrade(&held));
        Ok(held)
    }
}

impl HeldChannel {
    fn new(channel: Channel, link: Arc<Link>, queue: String) -> Self {
        Self { channel, link, queue, closed: CancellationToken::new() }
    }

    pub(super) fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Returns the token that is cancelled once the channel is closed and its messages are back in the queue.
    pub(super) fn closed(&self) -> CancellationToken {
        self.closed.clone()
    }
}

impl Drop for HeldChannel {
    fn drop(&mut self) {
        let (channel, link, queue) = (self.channel.clone(), self.link.clone(), std::mem::take(&mut self.queue));
        let closed = self.closed.clone().drop_guard();
        // Outside of a runtime nothing is consumed any more.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                close(&channel, &link, &queue).await;
                drop(closed);
            });
        }
    }
}

/// Closes the channel, and waits until its unsettled messages are back in the queue. A consumer started sooner would
/// receive the messages behind them first.
async fn close(channel: &Channel, link: &Link, queue: &str) {
    sleep(TAKE_ACKS).await;
    if link.has_ended() {
        return;
    }
    let before = link.look(queue).await;
    // A failure means that the connection is broken anyway.
    _ = timeout(GOODBYE, channel.close(200, "OK".into())).await;
    let start = Instant::now();
    let mut last = before;
    while start.elapsed() < RETURN_LIMIT && !link.has_ended() {
        sleep(LOOK_INTERVAL).await;
        let now = link.look(queue).await;
        // Two equal answers mean that the queue has settled.
        if now.is_some() && now == last {
            return;
        }
        last = now;
    }
}
