//! Engineered minimum: what the worker's durability costs at least, over the same libraries. Each event moves to a second
//! queue, takes the three requests of the bare loop, one synced write shared with its neighbours, and a confirmed
//! outcome before its ack. It has no retries, no order, no memory of what is done.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::bare::Dynamics;

/// Messages in hand per queue that give the highest rate.
pub const PREFETCH: u16 = 256;

/// Runs `minimum AMQP_URL QUEUE SIMULATOR_URL EXCHANGE FILE IN_HAND`.
pub fn main(arguments: &[String]) {
    let [amqp_url, queue, base, outcomes, file, in_hand] = arguments else {
        panic!("minimum AMQP_URL QUEUE SIMULATOR_URL EXCHANGE FILE IN_HAND")
    };
    let journal = Journal::open(file);
    let runtime = handoffd::app::runtime().expect("the worker's kind of runtime");
    let in_hand = in_hand.parse().expect("a number of messages");
    runtime.block_on(run(amqp_url, (queue, in_hand), base, outcomes, journal));
}

async fn run(amqp_url: &str, (queue, in_hand): (&str, u16), base: &str, outcomes: &str, journal: Journal) {
    let second = format!("{queue}.second");
    let connection = Connection::connect(amqp_url, ConnectionProperties::default()).await.expect("a connection");
    let publisher = connection.create_channel().await.expect("a channel");
    publisher.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    let mut quorum = FieldTable::default();
    quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    publisher.queue_declare(second.as_str().into(), options, quorum).await.expect("a second queue");
    let mut arrivals = consumer(&connection, queue, PREFETCH).await;
    let mut moved = consumer(&connection, &second, in_hand).await;
    let worker = Arc::new(Minimum {
        dynamics: Dynamics::connect(base).await,
        journal,
        publisher,
        second,
        outcomes: outcomes.to_owned(),
    });
    loop {
        tokio::select! {
            Some(delivery) = arrivals.next() => {
                let worker = worker.clone();
                tokio::spawn(async move { worker.pass_on(delivery.expect("a delivery")).await });
            }
            Some(delivery) = moved.next() => {
                let worker = worker.clone();
                tokio::spawn(async move { worker.carry(delivery.expect("a delivery")).await });
            }
            else => break,
        }
    }
}

async fn consumer(connection: &Connection, queue: &str, in_hand: u16) -> Consumer {
    let channel = connection.create_channel().await.expect("a channel");
    channel.basic_qos(in_hand, BasicQosOptions::default()).await.expect("a prefetch");
    let options = BasicConsumeOptions::default();
    channel.basic_consume(queue.into(), "minimum".into(), options, FieldTable::default()).await.expect("a consumer")
}

struct Minimum {
    dynamics: Dynamics,
    journal: Journal,
    publisher: Channel,
    second: String,
    outcomes: String,
}

impl Minimum {
    async fn pass_on(&self, delivery: Delivery) {
        self.publish("", &self.second, &delivery.data).await;
        delivery.ack(BasicAckOptions::default()).await.expect("an ack");
    }

    async fn carry(&self, delivery: Delivery) {
        let incident = self.dynamics.carry(&delivery.data).await;
        let record = json!({ "incident_id": incident, "status": "succeeded" }).to_string();
        self.journal.write(record.clone()).await;
        self.publish(&self.outcomes, "handoff.succeeded", record.as_bytes()).await;
        delivery.ack(BasicAckOptions::default()).await.expect("an ack");
    }

    async fn publish(&self, exchange: &str, key: &str, body: &[u8]) {
        let properties = BasicProperties::default().with_delivery_mode(2);
        let options = BasicPublishOptions::default();
        let sent = self.publisher.basic_publish(exchange.into(), key.into(), options, body, properties).await;
        sent.expect("a publish").await.expect("a confirm");
    }
}

/// File of records. Writes that wait at the same time share one `fdatasync`.
struct Journal(mpsc::UnboundedSender<(String, oneshot::Sender<()>)>);

impl Journal {
    fn open(path: &str) -> Self {
        let mut file = File::create(path).expect("a journal");
        let (sender, mut waiting) = mpsc::unbounded_channel::<(String, oneshot::Sender<()>)>();
        std::thread::spawn(move || {
            let mut batch = Vec::new();
            while waiting.blocking_recv_many(&mut batch, usize::MAX >> 1) > 0 {
                for (record, _) in &batch {
                    writeln!(file, "{record}").expect("a write");
                }
                file.sync_data().expect("a sync");
                batch.drain(..).for_each(|(_, done)| _ = done.send(()));
            }
        });
        Self(sender)
    }

    async fn write(&self, record: String) {
        let (done, synced) = oneshot::channel();
        self.0.send((record, done)).expect("the journal's thread");
        synced.await.expect("a sync");
    }
}
