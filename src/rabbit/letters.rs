//! An operator's look through the dead-letter queue: window after window, nothing lost, nothing out of order.
//!
//! A window is one consumer whose prefetch is the window's size. Full, it is cancelled; its messages stay unacked, so
//! the next consumer gets those behind them. A channel that ends, however it ends, gives back what was not acked: each
//! consumer's in their order, and the consumers in the order of their tags as long as there are no more than 32 of
//! them. So a channel has that many windows at most, and channels are closed one after the other. Killed, the broker
//! ends the channels in any order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt};
use handoffd_engine::ports::bus::{DeadLetter, DeadLetterError, DeadLetterQueue, DeadLetters, Notice};
use lapin::message::Delivery;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use tokio::time::timeout;

use super::channels::GOODBYE;
use super::delivery_counts::{DeliveryCounts, log_hourly};
use super::desk::Desk;
use super::letter::letter;
use super::options::Options;

/// So long without a delivery, and it is worth asking whether there is anything left.
const QUIET: Duration = Duration::from_millis(100);
/// So many such silences while messages are ready, and the broker does not deliver.
const MOST_SILENCES: u32 = 300;
/// Consumers whose messages go back in the order of their tags, however the channel ends (measured, 3.10.8).
const MOST_IN_ORDER: usize = 32;
/// Answers of the queue after an ack until it is sure, see [`Section::is_unsure`].
const ANSWERS: usize = 2;
const WINDOWS_PER_CHANNEL: usize = MOST_IN_ORDER - ANSWERS;
/// Acks that the broker hands on at once (RabbitMQ's `quorum_commands_soft_limit`).
const SURE_AT_ONCE: u64 = 32;
/// For each ack the broker goes through all that the channel still holds in front of it: where many are acked among
/// many that are not, a channel must not hold many.
const WINDOWS_PER_ACKING_CHANNEL: usize = 4;
/// What a window may weigh, in bytes, judged by the mean of those before.
const WINDOW_BYTES: u64 = 8 << 20;
/// What a message weighs besides its body.
const MESSAGE_BYTES: u64 = 2 << 10;

/// The dead-letter queue of a broker.
pub struct RabbitDeadLetterQueue {
    options: Options,
    window: Window,
}

/// How many messages are taken at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// In the beginning, when nothing is known of their size.
    pub first: u16,
    /// At most.
    pub most: u16,
}

impl Default for Window {
    fn default() -> Self {
        Self { first: 256, most: 4096 }
    }
}

impl RabbitDeadLetterQueue {
    /// Of the broker that these options name.
    pub fn new(options: Options) -> Self {
        Self { options, window: Window::default() }
    }

    /// With windows of another size.
    #[must_use]
    pub fn with_window(mut self, window: Window) -> Self {
        self.window = window;
        self
    }
}

#[async_trait]
impl DeadLetterQueue for RabbitDeadLetterQueue {
    async fn open(&self, notice: Notice<'_>) -> Result<Box<dyn DeadLetters>, DeadLetterError> {
        let desk = Arc::new(Desk::take(&self.options, notice).await?);
        let there = desk.steady().await?;
        if there.consumers > 0 {
            notice(&format!(
                "warning: others take messages from {} ({} consumers): what they hold is not seen here",
                desk.dead_letter_queue(),
                there.consumers
            ));
        }
        let total = u64::from(there.ready);
        let (window, seen, sections) = (self.window, Seen::default(), Vec::new());
        let counts = DeliveryCounts::default();
        Ok(Box::new(Reading { desk, total, left: total, window, seen, counts, sections }))
    }
}

/// A look through the letters, under way.
struct Reading {
    desk: Arc<Desk>,
    total: u64,
    left: u64,
    window: Window,
    seen: Seen,
    counts: DeliveryCounts,
    sections: Vec<Section>,
}

/// A channel with the windows that were read on it.
struct Section {
    channel: Channel,
    windows: usize,
    delivered: u64,
    /// Delivered on it and not taken out.
    held: Arc<AtomicU64>,
    /// Acks that were there before the last window but one: the queue has these.
    sure: u64,
    /// Acks that were there before the last window.
    before: u64,
}

impl Section {
    fn new(channel: Channel) -> Self {
        Self { channel, windows: 0, delivered: 0, held: Arc::default(), sure: 0, before: 0 }
    }

    fn begin_window(&mut self) {
        self.windows += 1;
        (self.sure, self.before) = (self.before, self.acked());
    }

    fn add(&mut self, window: &[Delivery]) {
        self.delivered += window.len() as u64;
        self.held.fetch_add(window.len() as u64, Ordering::Relaxed);
    }

    fn acked(&self) -> u64 {
        self.delivered.saturating_sub(self.held.load(Ordering::Relaxed))
    }

    /// Whether acks might be lost if the channel ended now. An ack has no answer; the broker hands acks on in the
    /// background, few at a time, and those it holds back are lost when the channel ends (measured, 3.10.8). A
    /// consumer that comes or goes is answered by the queue, after all that was handed on before it; what was held back
    /// goes on with the first answers. So an ack is sure two windows later.
    fn is_unsure(&self) -> bool {
        self.acked() > self.sure + SURE_AT_ONCE
    }

    /// Whether it is to have no more windows but those that make its acks sure.
    fn is_long(&self) -> bool {
        self.windows >= if self.acked() > 0 { WINDOWS_PER_ACKING_CHANNEL } else { WINDOWS_PER_CHANNEL }
    }
}

#[derive(Default)]
struct Seen {
    letters: u64,
    bytes: u64,
}

#[async_trait]
impl DeadLetters for Reading {
    fn total(&self) -> u64 {
        self.total
    }

    async fn next(&mut self) -> Result<Vec<DeadLetter>, DeadLetterError> {
        let size = self.size();
        if size == 0 {
            return Ok(Vec::new());
        }
        let mut section = self.section().await?;
        section.begin_window();
        let read = self.read(&section.channel, size, section.windows).await;
        let held = Arc::clone(&section.held);
        let window = read.inspect(|window| section.add(window));
        self.sections.push(section);
        let window = window?;
        // Fewer than were there: somebody else has taken the rest, or it has gone.
        self.left = if window.len() < usize::from(size) { 0 } else { self.left - u64::from(size) };
        self.seen.add(&window);
        for delivery in &window {
            self.counts.add(&delivery.properties);
        }
        Ok(window.into_iter().map(|delivery| letter(delivery, &self.desk, &held)).collect())
    }

    fn warning(&self) -> Option<String> {
        self.counts.warning(self.desk.dead_letter_queue())
    }

    async fn close(&mut self) -> Result<(), DeadLetterError> {
        if let Some(warning) = self.warning() {
            log_hourly(&warning);
        }
        let mut sections = std::mem::take(&mut self.sections);
        // Before any of them is closed: what that gives back would be taken again.
        for section in &mut sections {
            self.make_sure(section).await?;
        }
        for section in sections {
            let ready = self.desk.there().await?.ready;
            let closed = timeout(GOODBYE, section.channel.close(200, "OK".into())).await;
            closed.map_err(|_| self.desk.broken("it does not answer"))?.map_err(|error| self.desk.failed(&error))?;
            // The next channel's come behind these, and the next operator sees all.
            self.await_return(u64::from(ready) + section.held.load(Ordering::Relaxed)).await?;
        }
        self.desk.leave().await;
        Ok(())
    }
}

impl Reading {
    /// How many messages the next window has: one alone where a window is only to make acks sure.
    fn size(&self) -> u16 {
        let left = u16::try_from(self.left).unwrap_or(u16::MAX);
        let ends = self.sections.last().is_some_and(|section| section.is_long() && section.is_unsure());
        left.min(if ends { 1 } else { self.seen.window(self.window) })
    }

    /// Where to read the next window.
    async fn section(&mut self) -> Result<Section, DeadLetterError> {
        match self.sections.pop_if(|section| !section.is_long() || section.is_unsure()) {
            Some(section) => Ok(section),
            None => Ok(Section::new(self.desk.channel().await?)),
        }
    }

    /// Returns when the queue has all acks. What is taken meanwhile is the next behind the windows, and goes back behind them.
    async fn make_sure(&self, section: &mut Section) -> Result<(), DeadLetterError> {
        while section.is_unsure() {
            section.begin_window();
            let window = self.read(&section.channel, 1, section.windows).await?;
            section.add(&window);
        }
        Ok(())
    }

    /// Takes so many messages, or what there is.
    async fn read(&self, channel: &Channel, size: u16, number: usize) -> Result<Vec<Delivery>, DeadLetterError> {
        let failed = |error: lapin::Error| self.desk.failed(&error);
        channel.basic_qos(size, BasicQosOptions { global: false }).await.map_err(failed)?;
        // Sorted by their tags, the windows are in their order.
        let tag = format!("handoffd-dead-letters-{number:03}");
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        let consumer = channel.basic_consume(self.desk.dead_letter_queue().into(), tag.as_str().into(), options, none);
        let mut consumer = consumer.await.map_err(failed)?;
        let mut window = Vec::with_capacity(size.into());
        let mut silences = 0;
        while window.len() < size.into() {
            match timeout(QUIET, consumer.next()).await {
                Ok(message) => window.push(self.delivered(message)?),
                Err(_) if silences == MOST_SILENCES => return Err(self.desk.broken("it delivers nothing")),
                Err(_) if self.desk.there().await?.ready > 0 => silences += 1,
                // What was on its way when the queue said so comes ahead of the next answer on its channel.
                Err(_) => {
                    channel.basic_qos(size, BasicQosOptions { global: false }).await.map_err(failed)?;
                    let Some(message) = consumer.next().now_or_never() else { break };
                    window.push(self.delivered(message)?);
                }
            }
        }
        // From here on what is acked makes no room for more.
        channel.basic_cancel(tag.as_str().into(), BasicCancelOptions::default()).await.map_err(failed)?;
        self.drain(consumer, &mut window).await?;
        Ok(window)
    }

    /// What was on its way when the consumer was cancelled.
    async fn drain(&self, mut consumer: Consumer, window: &mut Vec<Delivery>) -> Result<(), DeadLetterError> {
        while let Some(message) = consumer.next().await {
            window.push(self.delivered(Some(message))?);
        }
        Ok(())
    }

    fn delivered(&self, message: Option<lapin::Result<Delivery>>) -> Result<Delivery, DeadLetterError> {
        match message {
            Some(Ok(delivery)) => Ok(delivery),
            Some(Err(error)) => Err(self.desk.failed(&error)),
            // The queue was deleted, or moved to another node.
            None => Err(self.desk.broken("the broker cancelled the consumer")),
        }
    }

    async fn await_return(&self, count: u64) -> Result<(), DeadLetterError> {
        let start = Instant::now();
        while u64::from(self.desk.there().await?.ready) < count && start.elapsed() < GOODBYE {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

impl Seen {
    fn add(&mut self, window: &[Delivery]) {
        self.letters += window.len() as u64;
        self.bytes += window.iter().map(|delivery| delivery.data.len() as u64 + MESSAGE_BYTES).sum::<u64>();
    }

    /// How large the next window may be.
    fn window(&self, limits: Window) -> u16 {
        let Some(mean) = self.bytes.checked_div(self.letters) else { return limits.first };
        u16::try_from(WINDOW_BYTES / mean.max(1)).unwrap_or(u16::MAX).clamp(1, limits.most)
    }
}
