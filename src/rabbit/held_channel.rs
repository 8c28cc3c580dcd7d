//! The channel of an organization's consumer, kept as long as one of its messages is in flight.

use std::sync::Arc;
use std::time::Duration;

use lapin::Channel;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::channels::GOODBYE;
use super::line::{Line, TAKE_ACKS};

/// For what a closed channel leaves behind to be in its queue again; some milliseconds as a rule.
const RETURN_LIMIT: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Held by the consumer and by each of its messages; the last one closes the channel.
pub(super) struct HeldChannel {
    channel: Channel,
    line: Arc<Line>,
    queue: String,
    closed: CancellationToken,
}

impl HeldChannel {
    pub(super) fn new(channel: Channel, line: Arc<Line>, queue: String, closed: CancellationToken) -> Self {
        Self { channel, line, queue, closed }
    }
}

impl Drop for HeldChannel {
    fn drop(&mut self) {
        let (channel, line, queue) = (self.channel.clone(), self.line.clone(), std::mem::take(&mut self.queue));
        let closed = self.closed.clone().drop_guard();
        // Outside of a runtime nothing is consumed any more.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                close(&channel, &line, &queue).await;
                drop(closed);
            });
        }
    }
}

/// Closes the channel, and waits until the queue has what it leaves behind: a consumer that starts sooner would be sent what
/// lies behind that.
async fn close(channel: &Channel, line: &Line, queue: &str) {
    sleep(TAKE_ACKS).await;
    if line.has_ended() {
        return;
    }
    let before = line.look(queue).await;
    // Failing, the connection is broken anyway.
    _ = timeout(GOODBYE, channel.close(200, "OK".into())).await;
    let start = Instant::now();
    let mut last = before;
    while start.elapsed() < RETURN_LIMIT && !line.has_ended() {
        sleep(LOOK_EVERY).await;
        let now = line.look(queue).await;
        // Two answers that agree: it has come to rest.
        if now.is_some() && now == last {
            return;
        }
        last = now;
    }
}
