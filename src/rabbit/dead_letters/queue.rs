//! Scan of the dead-letter queue for an operator, window by window, that loses nothing and keeps the order.
//!
//! A window is one consumer with a prefetch of the window's size. A full window is cancelled. Its messages stay
//! unacked, so that the next consumer receives those behind them. A channel that ends, in whatever way, returns its
//! unacked messages: each consumer's in their order, and the consumers in the order of their tags as long as there are
//! no more than 32. So a channel has at most that many windows, and channels are closed one after the other. After a
//! kill, the broker ends the channels in any order.

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

use super::delivery_counts::{DeliveryCounts, log_hourly};
use super::letter::letter;
use super::session::DeadLetterSession;
use crate::rabbit::connection::confirm_pool::GOODBYE;
use crate::rabbit::options::RabbitOptions;

/// Time between two looks at what has arrived. Being woken for each message cost a quarter of the processor time of a
/// list (measured).
const PAUSE: Duration = Duration::from_millis(2);
/// Silence after which the queue is asked for remaining messages.
const QUIET: Duration = Duration::from_millis(100);
/// Number of such silences, while messages are ready, after which the broker counts as not delivering.
const MOST_SILENCES: u32 = 300;
/// Largest number of consumers whose messages return in the order of their tags, however the channel ends (measured,
/// 3.10.8).
const MOST_IN_ORDER: usize = 32;
/// Number of answers by the queue after which an ack is certain, see [`ScanChannel::is_unsure`].
const ANSWERS: usize = 2;
const WINDOWS_PER_CHANNEL: usize = MOST_IN_ORDER - ANSWERS;
/// Number of acks that the broker forwards at once (RabbitMQ's `quorum_commands_soft_limit`).
const SURE_AT_ONCE: u64 = 32;
/// Windows of a channel with acks. For each ack the broker traverses all unacked messages of the channel ahead of it,
/// so a channel must not hold many when many are acked among many that are not.
const WINDOWS_PER_ACKING_CHANNEL: usize = 4;
/// Largest size of a window, in bytes, estimated from the mean of the previous messages.
const WINDOW_BYTES: u64 = 8 << 20;
/// Size of a message besides its body, in bytes.
const MESSAGE_BYTES: u64 = 2 << 10;

/// Dead-letter queue of a broker.
pub struct RabbitDeadLetterQueue {
    options: RabbitOptions,
    window: Window,
}

/// Number of messages taken at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// First window, while the size of the messages is unknown.
    pub first: u16,
    /// Largest window.
    pub most: u16,
}

impl Default for Window {
    fn default() -> Self {
        Self { first: 256, most: 4096 }
    }
}

impl RabbitDeadLetterQueue {
    /// Dead-letter queue of the broker in these options.
    pub fn new(options: RabbitOptions) -> Self {
        Self { options, window: Window::default() }
    }

    /// Sets the size of the windows.
    #[must_use]
    pub fn with_window(mut self, window: Window) -> Self {
        self.window = window;
        self
    }
}

#[async_trait]
impl DeadLetterQueue for RabbitDeadLetterQueue {
    async fn open(&self, notice: Notice<'_>) -> Result<Box<dyn DeadLetters>, DeadLetterError> {
        let desk = Arc::new(DeadLetterSession::take(&self.options, notice).await?);
        let stats = desk.stable_stats().await?;
        if stats.consumers > 0 {
            notice(&format!(
                "warning: other consumers of {} hold dead letters ({} consumers); those are not included",
                desk.dead_letter_queue(),
                stats.consumers
            ));
        }
        let total = u64::from(stats.ready);
        let (window, seen, sections) = (self.window, SizeEstimate::default(), Vec::new());
        let counts = DeliveryCounts::default();
        let (reads_ahead, begun) = (false, None);
        Ok(Box::new(DeadLetterScan { desk, total, left: total, window, seen, counts, sections, reads_ahead, begun }))
    }

    async fn ready(&self) -> Result<u64, DeadLetterError> {
        let desk = DeadLetterSession::connect(&self.options).await?;
        let stats = desk.stats().await;
        desk.leave().await;
        Ok(stats?.ready.into())
    }
}

/// Scan of the dead letters in progress.
struct DeadLetterScan {
    desk: Arc<DeadLetterSession>,
    total: u64,
    left: u64,
    window: Window,
    seen: SizeEstimate,
    counts: DeliveryCounts,
    sections: Vec<ScanChannel>,
    /// True if the next window is begun while the caller works on the last one.
    reads_ahead: bool,
    /// Window that was begun.
    begun: Option<BegunWindow>,
}

/// Window whose messages the broker sends.
struct BegunWindow {
    section: ScanChannel,
    consumer: Consumer,
    tag: String,
    size: u16,
}

/// Channel with the windows that were read on it.
struct ScanChannel {
    channel: Channel,
    windows: usize,
    delivered: u64,
    /// Number of messages delivered on the channel and not taken out.
    held: Arc<AtomicU64>,
    /// Number of acks before the second-to-last window; the queue has these.
    sure: u64,
    /// Number of acks before the last window.
    before: u64,
}

impl ScanChannel {
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

    /// Returns true if acks might be lost if the channel ended now. An ack has no answer. The broker forwards acks in the
    /// background, a few at a time, and those it holds back are lost when the channel ends (measured, 3.10.8). The
    /// queue answers the start or end of a consumer after everything forwarded before it, and acks that were held back
    /// are forwarded with the first answers. So an ack is certain two windows later.
    fn has_uncertain_acks(&self) -> bool {
        self.acked() > self.sure + SURE_AT_ONCE
    }

    /// Returns true if the channel must have no more windows, other than those that make its acks certain.
    fn is_long(&self) -> bool {
        self.windows >= if self.acked() > 0 { WINDOWS_PER_ACKING_CHANNEL } else { WINDOWS_PER_CHANNEL }
    }
}

#[derive(Default)]
struct SizeEstimate {
    letters: u64,
    bytes: u64,
}

#[async_trait]
impl DeadLetters for DeadLetterScan {
    fn total(&self) -> u64 {
        self.total
    }

    fn read_ahead(&mut self) {
        self.reads_ahead = true;
    }

    async fn next(&mut self) -> Result<Vec<DeadLetter>, DeadLetterError> {
        let begun = match self.begun.take() {
            Some(begun) => begun,
            None => match self.begin_next().await? {
                Some(begun) => begun,
                None => return Ok(Vec::new()),
            },
        };
        let size = begun.size;
        let (section, window) = self.finish(begun).await;
        let held = Arc::clone(&section.held);
        self.sections.push(section);
        let window = window?;
        // Fewer messages than expected: other consumers hold the rest, or it has been removed.
        self.left = if window.len() < usize::from(size) { 0 } else { self.left - u64::from(size) };
        self.seen.add(&window);
        if self.reads_ahead {
            self.begun = self.begin_next().await?;
        }
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
        if let Some(begun) = self.begun.take() {
            let (section, window) = self.finish(begun).await;
            self.sections.push(section);
            window?;
        }
        let mut sections = Vec::new();
        // Before any channel is closed, because the messages it returns would be taken again.
        for section in std::mem::take(&mut self.sections) {
            sections.push(self.flush_acks(section).await?);
        }
        for section in sections {
            let ready = self.desk.stats().await?.ready;
            let closed = timeout(GOODBYE, section.channel.close(200, "OK".into())).await;
            closed.map_err(|_| self.desk.broken("no answer in time"))?.map_err(|error| self.desk.failed(&error))?;
            // The messages of the next channel return behind these, and the next command sees all of them.
            self.await_return(u64::from(ready) + section.held.load(Ordering::Relaxed)).await?;
        }
        self.desk.leave().await;
        Ok(())
    }
}

impl DeadLetterScan {
    /// Size of the next window: a single message if the window only serves to make acks certain.
    fn size(&self) -> u16 {
        let left = u16::try_from(self.left).unwrap_or(u16::MAX);
        let ends = self.sections.last().is_some_and(|section| section.is_long() && section.has_uncertain_acks());
        left.min(if ends { 1 } else { self.seen.window(self.window) })
    }

    /// Returns the channel for the next window.
    async fn section(&mut self) -> Result<ScanChannel, DeadLetterError> {
        match self.sections.pop_if(|section| !section.is_long() || section.has_uncertain_acks()) {
            Some(section) => Ok(section),
            None => Ok(ScanChannel::new(self.desk.channel().await?)),
        }
    }

    /// Returns the channel once the queue has all its acks. Messages taken meanwhile are the next behind the windows, and
    /// return behind them.
    async fn flush_acks(&self, mut section: ScanChannel) -> Result<ScanChannel, DeadLetterError> {
        while section.has_uncertain_acks() {
            let (read, window) = self.finish(self.begin(section, 1).await?).await;
            window?;
            section = read;
        }
        Ok(section)
    }

    /// Begins the next window; `None` at the end.
    async fn begin_next(&mut self) -> Result<Option<BegunWindow>, DeadLetterError> {
        let size = self.size();
        if size == 0 {
            return Ok(None);
        }
        let section = self.section().await?;
        self.begin(section, size).await.map(Some)
    }

    /// Has the broker send up to `size` messages.
    async fn begin(&self, mut section: ScanChannel, size: u16) -> Result<BegunWindow, DeadLetterError> {
        let failed = |error: lapin::Error| self.desk.failed(&error);
        section.begin_window();
        section.channel.basic_qos(size, BasicQosOptions { global: false }).await.map_err(failed)?;
        // Sorted by their tags, the windows are in order.
        let tag = format!("handoffd-dead-letters-{:03}", section.windows);
        let (queue, none) = (self.desk.dead_letter_queue(), FieldTable::default());
        let consumer =
            section.channel.basic_consume(queue.into(), tag.as_str().into(), BasicConsumeOptions::default(), none);
        let consumer = consumer.await.map_err(failed)?;
        Ok(BegunWindow { section, consumer, tag, size })
    }

    /// Takes the messages of a window.
    async fn finish(&self, begun: BegunWindow) -> (ScanChannel, Result<Vec<Delivery>, DeadLetterError>) {
        let BegunWindow { mut section, consumer, tag, size } = begun;
        let window = self.read(&section.channel, consumer, (&tag, size)).await;
        let window = window.inspect(|window| section.add(window));
        (section, window)
    }

    async fn read(
        &self,
        channel: &Channel,
        mut consumer: Consumer,
        (tag, size): (&str, u16),
    ) -> Result<Vec<Delivery>, DeadLetterError> {
        let failed = |error: lapin::Error| self.desk.failed(&error);
        let mut window = Vec::with_capacity(size.into());
        let (mut heard, mut silences) = (Instant::now(), 0);
        while window.len() < size.into() {
            if self.take_delivered(&mut consumer, &mut window)? {
                heard = Instant::now();
            } else if heard.elapsed() < QUIET {
                tokio::time::sleep(PAUSE).await;
            } else if silences == MOST_SILENCES {
                return Err(self.desk.broken("the broker delivers no messages"));
            } else if self.desk.stats().await?.ready > 0 {
                (heard, silences) = (Instant::now(), silences + 1);
            } else {
                // Messages sent before the queue's answer arrive ahead of the next answer on this channel.
                channel.basic_qos(size, BasicQosOptions { global: false }).await.map_err(failed)?;
                if !self.take_delivered(&mut consumer, &mut window)? {
                    break;
                }
            }
        }
        // After the cancellation an ack frees no space in the prefetch.
        channel.basic_cancel(tag.into(), BasicCancelOptions::default()).await.map_err(failed)?;
        self.drain(consumer, &mut window).await?;
        Ok(window)
    }

    /// Takes the messages that have arrived; false if there are none.
    fn take_delivered(&self, consumer: &mut Consumer, window: &mut Vec<Delivery>) -> Result<bool, DeadLetterError> {
        let before = window.len();
        while let Some(message) = consumer.next().now_or_never() {
            window.push(self.delivered(message)?);
        }
        Ok(window.len() > before)
    }

    /// Receives the messages sent before the cancellation.
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
        while u64::from(self.desk.stats().await?.ready) < count && start.elapsed() < GOODBYE {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

impl SizeEstimate {
    fn add(&mut self, window: &[Delivery]) {
        self.letters += window.len() as u64;
        self.bytes += window.iter().map(|delivery| delivery.data.len() as u64 + MESSAGE_BYTES).sum::<u64>();
    }

    /// Size of the next window.
    fn window(&self, limits: Window) -> u16 {
        let Some(mean) = self.bytes.checked_div(self.letters) else { return limits.first };
        u16::try_from(WINDOW_BYTES / mean.max(1)).unwrap_or(u16::MAX).clamp(1, limits.most)
    }
}
