//! OpenCX's side of a broker that goes down and returns.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Confirmation, Connection, ConnectionProperties};
use serde_json::Value;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::crm::organizations;
use crate::ledger::Ledger;
use crate::stage::Stage;
use crate::support::bus::{header, properties};
use crate::support::event::Event;

/// Timeout after which the broker is considered down.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(300);

/// Prefix of the routing key of an unknown event.
pub const UNBOUND: &str = "session.opened";

/// Publisher that survives any failure of the broker.
pub struct Publisher {
    url: String,
    exchange: String,
    line: Option<(Connection, Channel)>,
}

/// Dead letter.
pub struct Letter {
    /// Event id, read from the body.
    pub event_id: String,
    /// Value of `x-handoffd-reason`; the broker's own dead letters have none.
    pub reason: String,
}

impl Publisher {
    /// Publisher without a connection.
    pub fn new(stage: &Stage) -> Self {
        let [exchange, _] = stage.files.exchanges();
        Self { url: stage.broker.url().to_owned(), exchange, line: None }
    }

    /// Publishes until the broker has confirmed. Unconfirmed messages are published again, and may be duplicated.
    pub async fn publish(&mut self, event: &Event, repeated: &AtomicU64) {
        while !timeout(PATIENCE, self.attempt(event)).await.is_ok_and(|result| result.is_ok_and(|taken| taken)) {
            self.line = None;
            repeated.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn attempt(&mut self, event: &Event) -> lapin::Result<bool> {
        let (_, channel) = match self.line.take() {
            Some(line) => self.line.insert(line),
            None => self.line.insert(connect(&self.url).await?),
        };
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        // Events of unknown kinds use the routing key of a known kind, because no queue is bound for others.
        let key = Some(event.routing_key()).filter(|key| !key.starts_with(UNBOUND));
        let key = key.unwrap_or_else(|| "session.handoff.email".to_owned());
        let exchange = self.exchange.as_str().into();
        let sent =
            channel.basic_publish(exchange, key.as_str().into(), options, &event.body(), properties(event)).await?;
        Ok(matches!(sent.await?, Confirmation::Ack(None)))
    }
}

/// Receives outcomes until closed.
pub async fn collect(stage: Arc<Stage>, ledger: Arc<Ledger>, closing: CancellationToken) {
    while !closing.is_cancelled() {
        // A broker failure ends it; then it starts over.
        _ = closing.run_until_cancelled(listen(&stage, &ledger)).await;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn listen(stage: &Stage, ledger: &Ledger) -> lapin::Result<()> {
    let (_connection, channel) = connect(stage.broker.url()).await?;
    let queue = format!("{}.outcomes-seen", stage.files.name);
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
    let mut consumer = channel.basic_consume(queue.as_str().into(), "soak".into(), options, none).await?;
    while let Some(message) = consumer.next().await {
        let message = message?;
        ledger.heard(serde_json::from_slice(&message.data).unwrap_or(Value::Null));
        message.ack(BasicAckOptions::default()).await?;
    }
    Ok(())
}

/// Number of ready messages in the inbox, organizations' queues and the retry queues; `None` if the broker does not respond.
pub async fn unfinished(stage: &Stage) -> Option<u32> {
    let count = async {
        let (_connection, channel) = connect(stage.broker.url()).await?;
        let mut sum = 0;
        let own = organizations().iter().map(|id| stage.files.organization_queue(id));
        for queue in stage.files.queues().into_iter().chain(own) {
            if queue != stage.files.dead_letter_queue() {
                let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
                sum +=
                    channel.queue_declare(queue.as_str().into(), passive, FieldTable::default()).await?.message_count();
            }
        }
        lapin::Result::Ok(sum)
    };
    timeout(PATIENCE, count).await.ok()?.ok()
}

/// Takes all dead letters.
pub async fn dead_letters(stage: &Stage) -> Vec<Letter> {
    let (_connection, channel) = connect(stage.broker.url()).await.expect("the trouble is over");
    let queue = stage.files.dead_letter_queue();
    let mut letters = Vec::new();
    while let Some(message) =
        channel.basic_get(queue.as_str().into(), BasicGetOptions { no_ack: true }).await.expect("a queue")
    {
        let body: Value = serde_json::from_slice(&message.data).unwrap_or_default();
        letters.push(Letter {
            event_id: body["event_id"].as_str().unwrap_or_default().to_owned(),
            reason: header(&message.properties, "x-handoffd-reason").unwrap_or_else(|| "delivery_limit".to_owned()),
        });
    }
    letters
}

async fn connect(url: &str) -> lapin::Result<(Connection, Channel)> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok((connection, channel))
}
