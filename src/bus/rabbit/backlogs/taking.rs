//! Takes from one backlog, on a channel of its own, until it has been empty for long.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{BasicCancelOptions, QueueDeleteOptions};
use lapin::{Channel, Consumer};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::Backlogs;
use super::slot::{ANSWER_LIMIT, Slot, Stand};
use crate::bus::rabbit::consumer::{delivery, subscribe};
use crate::bus::rabbit::line::Line;
use crate::bus::rabbit::look::Look;
use crate::bus::rabbit::refusal;
use crate::bus::rabbit::settle::Way;
use crate::bus::{Backlog, Delivery};

/// In hand, or on the way to it, from one backlog: enough for Dynamics' 52 at once and what is between two of their steps.
const PREFETCH: u16 = 128;
/// A backlog that has been empty for so long is deleted.
const EMPTY_FOR: Duration = Duration::from_secs(10);
/// Before a consumer that the broker has ended (after 30 minutes with a message in hand, say) is replaced.
const AGAIN: Duration = Duration::from_secs(1);
/// For what the broker has sent before it ended the consumer.
const LATE: Duration = Duration::from_secs(1);

/// For all of the broker's answers while a backlog is looked at and deleted: nobody can put anything into it meanwhile.
const RETIRE_LIMIT: Duration = Duration::from_secs(10);

/// Someone who takes from a backlog.
pub(super) struct Taking {
    backlogs: Arc<Backlogs>,
    slot: Arc<Slot>,
    line: Arc<Line>,
    /// Somebody else takes from it from now on.
    replaced: CancellationToken,
    to: mpsc::Sender<Delivery>,
}

/// Kept by each message in hand: once nobody keeps its channel that is closed, and what came by it would come again.
pub(in crate::bus::rabbit) struct Hold {
    _channel: Channel,
    unacked: Arc<AtomicUsize>,
}

struct Subscription {
    channel: Channel,
    consumer: Consumer,
    /// Messages that came by it and were not acked, in hand or not.
    unacked: Arc<AtomicUsize>,
}

/// Why it ended.
enum End {
    /// The line is gone, or nobody takes deliveries any more.
    Over,
    /// Nothing came for long.
    Quiet,
    /// The broker ended the consumer.
    Broken(String),
}

/// Whether it has come to rest.
enum Retired {
    /// It is not empty.
    Not,
    /// Something came while its consumer was ended.
    Interrupted,
    /// There is nothing more to do.
    Done,
}

impl Hold {
    /// The broker has taken the ack.
    pub(in crate::bus::rabbit) fn acked(&self) {
        self.unacked.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Taking {
    /// Begins to take, and tells so.
    pub(super) async fn begin(
        backlogs: Arc<Backlogs>,
        slot: Arc<Slot>,
        line: Arc<Line>,
        replaced: CancellationToken,
        waiting: u64,
    ) -> lapin::Result<()> {
        let (to, deliveries) = mpsc::channel(1);
        let taking = Self { backlogs, slot, line, replaced, to };
        let subscription = taking.subscribe().await?;
        let organization = taking.slot.organization.clone();
        // Nobody listens any more: then nobody takes either, and the task ends by itself.
        let _ = taking.backlogs.news.send(Backlog { organization, waiting, deliveries });
        tokio::spawn(taking.run(subscription));
        Ok(())
    }

    async fn subscribe(&self) -> lapin::Result<Subscription> {
        let channel = self.line.channel().await?;
        let consumer = subscribe(&channel, &self.slot.queue, self.prefetch()).await?;
        Ok(Subscription { channel, consumer, unacked: Arc::default() })
    }

    fn prefetch(&self) -> u16 {
        self.backlogs.options.prefetch.clamp(1, PREFETCH)
    }

    async fn run(self, mut subscription: Subscription) {
        loop {
            match self.forward(&mut subscription).await {
                End::Over => break,
                End::Quiet => match timeout(RETIRE_LIMIT, self.retire(&mut subscription)).await {
                    Ok(Retired::Not) => continue,
                    Ok(Retired::Done) => return,
                    Ok(Retired::Interrupted) | Err(_) => {}
                },
                End::Broken(why) => {
                    debug!(queue = %self.slot.queue, reason = %why, "takes from a backlog no more: tries again");
                }
            }
            match self.subscribe_again().await {
                Some(next) => subscription = next,
                None => break,
            }
        }
        let mut stand = self.slot.stand.write().await;
        if !self.replaced.is_cancelled() && stand.on(&self.line).is_some() {
            *stand = Stand::Closed;
        }
    }

    /// Asked anew where the broker leaves it unanswered; nothing when the queue is gone, or the line.
    async fn subscribe_again(&self) -> Option<Subscription> {
        loop {
            tokio::select! {
                () = sleep(AGAIN) => {}
                () = self.over() => return None,
            }
            if let Ok(answer) = timeout(ANSWER_LIMIT, self.subscribe()).await {
                return answer.ok();
            }
        }
    }

    async fn forward(&self, subscription: &mut Subscription) -> End {
        let way = Way {
            line: self.line.clone(),
            options: self.backlogs.options.clone(),
            backlogs: self.backlogs.clone(),
            deaths: self.backlogs.deaths.clone(),
        };
        loop {
            let message = tokio::select! {
                message = timeout(EMPTY_FOR, subscription.consumer.next()) => message,
                () = self.over() => return End::Over,
            };
            let message = match message {
                Ok(Some(Ok(message))) => message,
                Ok(Some(Err(error))) => return End::Broken(refusal::in_words(&error)),
                Ok(None) => return End::Broken("the broker cancelled the consumer".to_owned()),
                Err(_) => return End::Quiet,
            };
            subscription.unacked.fetch_add(1, Ordering::Relaxed);
            let hold = Hold { _channel: subscription.channel.clone(), unacked: subscription.unacked.clone() };
            let sending = async {
                self.backlogs.awake().await;
                self.to.send(delivery(message, &way, Some(hold))).await
            };
            tokio::select! {
                sent = sending => if sent.is_err() { return End::Over },
                () = self.over() => return End::Over,
            }
        }
    }

    async fn over(&self) {
        tokio::select! {
            () = self.line.ended() => {}
            () = self.backlogs.stop.cancelled() => {}
            () = self.replaced.cancelled() => {}
        }
    }

    /// Ends it when it is empty, and deletes the queue when nobody else can be about to put something into it.
    ///
    /// Quorum queues know no `if-empty` and `if-unused` (RabbitMQ answers NOT_IMPLEMENTED and closes the connection), and
    /// a queue that expires when unused may do so with messages in it. So it is looked at step by step: none of our own
    /// is under way (the stand is written), nothing is ready, nothing in hand, nothing came while the consumer ended, and
    /// no other worker is there that could know the queue.
    async fn retire(&self, subscription: &mut Subscription) -> Retired {
        let queue = self.slot.queue.as_str();
        let mut stand = self.slot.stand.write().await;
        if self.replaced.is_cancelled() {
            return Retired::Done;
        }
        let unacked = subscription.unacked.load(Ordering::Relaxed);
        match self.line.look_apart(queue).await {
            // Deleted, and perhaps made again, without a word to us.
            None | Some(Look { consumers: 0, .. }) => return Retired::Interrupted,
            // The broker would have sent them, if it still knew us.
            Some(look) if look.ready > 0 && unacked < usize::from(self.prefetch()) => return Retired::Interrupted,
            Some(look) if look.ready > 0 || unacked > 0 => return Retired::Not,
            Some(_) => {}
        }
        let tag = subscription.consumer.tag();
        // Failing, the channel is broken and the consumer gone.
        let _ = subscription.channel.basic_cancel(tag, BasicCancelOptions::default()).await;
        let late = timeout(LATE, subscription.consumer.next()).await;
        if !matches!(late, Ok(None)) {
            // It comes again with the next consumer, as this channel is replaced.
            return Retired::Interrupted;
        }
        *stand = Stand::Closed;
        if self.backlogs.may_declare() && self.is_nobodys().await {
            self.delete().await;
        }
        Retired::Done
    }

    async fn is_nobodys(&self) -> bool {
        let work = self.line.look_apart(&self.backlogs.options.queue).await;
        let own = self.line.look_apart(&self.slot.queue).await;
        work.is_some_and(|work| work.consumers <= 1) && own.is_some_and(|own| own.ready == 0 && own.consumers == 0)
    }

    async fn delete(&self) {
        let Ok(channel) = self.line.channel().await else { return };
        let queue = self.slot.queue.as_str();
        if channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.is_ok() {
            info!(organization_id = %self.slot.organization, %queue, "deleted a backlog that was empty");
        }
    }
}
