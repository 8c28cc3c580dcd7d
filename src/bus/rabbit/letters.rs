//! An operator's look through the dead-letter queue: window after window, nothing lost, nothing out of order.
//!
//! A window is one consumer whose prefetch is the window's size. Full, it is cancelled; its messages stay unacked, so
//! the next consumer gets those behind them. A channel that ends, however it ends, gives back what was not acked: each
//! consumer's in their order, and the consumers in the order of their tags as long as there are no more than 32 of
//! them. So a channel has that many windows at most, and channels are closed one after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use tokio::time::timeout;

use super::desk::Desk;
use super::letter::letter;
use super::options::Options;
use crate::bus::{Letter, LetterBox, Letters, LettersError, Notice};

/// For the broker to answer a good-bye.
const GOODBYE: Duration = Duration::from_secs(4);
/// So long without a delivery, and it is worth asking whether there is anything left.
const QUIET: Duration = Duration::from_secs(1);
/// So many such silences while messages are ready, and the broker does not deliver.
const MOST_SILENCES: u32 = 30;
/// Consumers whose messages go back in the order of their tags, however the channel ends (measured, 3.10.8).
const WINDOWS_PER_CHANNEL: usize = MOST_IN_ORDER - END_MARKS.len();
const MOST_IN_ORDER: usize = 32;
/// Tags of the consumers that wait for the acks; behind those of all windows.
const END_MARKS: [&str; 2] = ["handoffd-dead-letters-998", "handoffd-dead-letters-999"];
/// For each ack the broker goes through all that the channel still holds in front of it: where many are acked among
/// many that are not, a channel must not hold many.
const WINDOWS_PER_ACKING_CHANNEL: usize = 4;
/// What a window may weigh, in bytes, judged by the mean of those before.
const WINDOW_BYTES: u64 = 8 << 20;
/// What a message weighs besides its body.
const MESSAGE_BYTES: u64 = 2 << 10;

/// The dead-letter queue of a broker.
pub struct DeadLetterQueue {
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

impl DeadLetterQueue {
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
impl LetterBox for DeadLetterQueue {
    async fn open(&self, notice: Notice<'_>) -> Result<Box<dyn Letters>, LettersError> {
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
        Ok(Box::new(Reading { desk, total, left: total, window, seen, sections }))
    }
}

/// A look through the letters, under way.
struct Reading {
    desk: Arc<Desk>,
    total: u64,
    left: u64,
    window: Window,
    seen: Seen,
    sections: Vec<Section>,
}

/// A channel with the windows that were read on it.
struct Section {
    channel: Channel,
    windows: usize,
    delivered: u64,
    /// Delivered on it and not taken out.
    held: Arc<AtomicU64>,
}

impl Section {
    fn is_acking(&self) -> bool {
        self.held.load(Ordering::Relaxed) < self.delivered
    }

    fn is_full(&self) -> bool {
        self.windows >= if self.is_acking() { WINDOWS_PER_ACKING_CHANNEL } else { WINDOWS_PER_CHANNEL }
    }
}

#[derive(Default)]
struct Seen {
    letters: u64,
    bytes: u64,
}

#[async_trait]
impl Letters for Reading {
    fn total(&self) -> u64 {
        self.total
    }

    async fn next(&mut self) -> Result<Vec<Letter>, LettersError> {
        let size = self.seen.window(self.window).min(u16::try_from(self.left).unwrap_or(u16::MAX));
        if size == 0 {
            return Ok(Vec::new());
        }
        let (channel, held, number) = self.section().await?;
        let window = self.read(&channel, size, number).await?;
        let count = window.len() as u64;
        held.fetch_add(count, Ordering::Relaxed);
        if let Some(section) = self.sections.last_mut() {
            section.delivered += count;
        }
        // Fewer than were there: somebody else has taken the rest, or it has gone.
        self.left = if window.len() < usize::from(size) { 0 } else { self.left - u64::from(size) };
        self.seen.add(&window);
        Ok(window.into_iter().map(|delivery| letter(delivery, &self.desk, &held)).collect())
    }

    async fn close(&mut self) -> Result<(), LettersError> {
        for section in std::mem::take(&mut self.sections) {
            let ready = self.desk.there().await?.ready;
            if section.is_acking() {
                self.await_acks(&section.channel).await?;
            }
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
    /// The channel to read the next window on, what is held on it, and which window of it that is.
    async fn section(&mut self) -> Result<(Channel, Arc<AtomicU64>, usize), LettersError> {
        if self.sections.last().is_none_or(Section::is_full) {
            let channel = self.desk.channel().await?;
            self.sections.push(Section { channel, windows: 0, delivered: 0, held: Arc::default() });
        }
        let last = self.sections.len() - 1;
        let section = &mut self.sections[last];
        section.windows += 1;
        Ok((section.channel.clone(), Arc::clone(&section.held), section.windows))
    }

    /// Takes so many messages, or what there is.
    async fn read(&self, channel: &Channel, size: u16, number: usize) -> Result<Vec<Delivery>, LettersError> {
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
                Err(_) if self.desk.there().await?.ready == 0 => break,
                Err(_) if silences == MOST_SILENCES => return Err(self.desk.broken("it delivers nothing")),
                Err(_) => silences += 1,
            }
        }
        // From here on what is acked makes no room for more.
        channel.basic_cancel(tag.as_str().into(), BasicCancelOptions::default()).await.map_err(failed)?;
        self.drain(consumer, &mut window).await?;
        Ok(window)
    }

    /// What was on its way when the consumer was cancelled.
    async fn drain(&self, mut consumer: Consumer, window: &mut Vec<Delivery>) -> Result<(), LettersError> {
        while let Some(message) = consumer.next().await {
            window.push(self.delivered(Some(message))?);
        }
        Ok(())
    }

    fn delivered(&self, message: Option<lapin::Result<Delivery>>) -> Result<Delivery, LettersError> {
        match message {
            Some(Ok(delivery)) => Ok(delivery),
            Some(Err(error)) => Err(self.desk.failed(&error)),
            // The queue was deleted, or moved to another node.
            None => Err(self.desk.broken("the broker cancelled the consumer")),
        }
    }

    /// Returns when the queue has all acks. An ack has no answer, the broker hands acks on in the background (no more than
    /// 32 at a time, RabbitMQ's `quorum_commands_soft_limit`), and those it holds back are lost when the channel closes
    /// (measured, 3.10.8). A consumer that comes or goes is answered by the queue, after all that was handed on before it;
    /// what was held back goes on with the first answers. A message that such a consumer gets is the next behind the
    /// windows', and goes back behind them.
    async fn await_acks(&self, channel: &Channel) -> Result<(), LettersError> {
        let failed = |error: lapin::Error| self.desk.failed(&error);
        channel.basic_qos(1, BasicQosOptions { global: false }).await.map_err(failed)?;
        for tag in END_MARKS {
            let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
            let consumer = channel.basic_consume(self.desk.dead_letter_queue().into(), tag.into(), options, none);
            let _unread = consumer.await.map_err(failed)?;
            channel.basic_cancel(tag.into(), BasicCancelOptions::default()).await.map_err(failed)?;
        }
        Ok(())
    }

    async fn await_return(&self, count: u64) -> Result<(), LettersError> {
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
