//! Scans of the dead-letter queue on a real broker: nothing is lost or reordered.

use std::sync::Mutex;
use std::time::Duration;

use handoffd::rabbit::{RabbitDeadLetterQueue, RabbitOptions, Window};
use handoffd_engine::ports::bus::{DeadLetter, DeadLetterError, DeadLetterQueue, DeadLetters, Replay};
use lapin::BasicProperties;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};

use crate::rabbit::options;
use crate::support::broker::{Broker, Client, eventually};

/// Dead-letter queue and inbox as the worker declares them.
struct Rig {
    options: RabbitOptions,
    client: Client,
}

impl Rig {
    /// Creates a number of dead letters whose bodies are their numbers.
    async fn with(count: u32) -> Self {
        let rig = Self { options: options(Broker::shared()), client: Client::connect(Broker::shared()).await };
        let mut quorum = FieldTable::default();
        quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        for queue in [&rig.options.queue, &rig.options.dead_letter_queue] {
            rig.client.channel().queue_declare(queue.as_str().into(), durable, quorum.clone()).await.unwrap();
        }
        rig.bury(0..count).await;
        rig
    }

    async fn bury(&self, numbers: std::ops::Range<u32>) {
        let (channel, options) = (self.client.channel(), BasicPublishOptions::default());
        let mut confirms = Vec::new();
        for number in numbers {
            let properties = BasicProperties::default().with_delivery_mode(2);
            let queue = self.options.dead_letter_queue.as_str().into();
            let body = number.to_string();
            confirms.push(channel.basic_publish("".into(), queue, options, body.as_bytes(), properties).await.unwrap());
        }
        for confirm in confirms {
            assert!(confirm.await.unwrap().is_ack());
        }
    }

    async fn open(&self, window: u16) -> Box<dyn DeadLetters> {
        let queue =
            RabbitDeadLetterQueue::new(self.options.clone()).with_window(Window { first: window, most: window });
        queue.open(&|_| ()).await.unwrap()
    }

    /// Takes everything out of the dead-letter queue, in its order.
    async fn drain(&self, count: usize) -> Vec<u32> {
        eventually("every dead letter back in its queue", async || {
            self.client.depth(&self.options.dead_letter_queue).await == u32::try_from(count).ok()
        })
        .await;
        self.drain_queue(&self.options.dead_letter_queue).await
    }

    async fn drain_queue(&self, queue: &str) -> Vec<u32> {
        let mut found = Vec::new();
        while let Some(message) = self.client.try_take(queue).await {
            found.push(number(&message.data));
        }
        found
    }

    async fn finish(self) {
        for queue in [&self.options.queue, &self.options.dead_letter_queue] {
            self.client.delete_queue(queue).await;
        }
    }
}

fn number(body: &[u8]) -> u32 {
    std::str::from_utf8(body).unwrap().parse().unwrap()
}

/// Scans all of them, and releases each or not.
async fn look(letters: &mut dyn DeadLetters) -> Vec<u32> {
    let mut seen = Vec::new();
    loop {
        let window = letters.next().await.unwrap();
        if window.is_empty() {
            return seen;
        }
        seen.extend(window.iter().map(|letter: &DeadLetter| number(&letter.body)));
    }
}

#[tokio::test]
async fn a_scan_loses_nothing_and_keeps_the_order() {
    let rig = Rig::with(401).await;
    let all: Vec<u32> = (0..401).collect();
    for _ in 0..3 {
        // 41 windows: more than one channel has.
        let mut letters = rig.open(10).await;
        assert_eq!(letters.total(), 401);
        assert_eq!(look(&mut *letters).await, all);
        letters.close().await.unwrap();
    }
    assert_eq!(rig.drain(401).await, all);
    rig.finish().await;
}

#[tokio::test]
async fn a_scan_that_disconnects_loses_nothing_and_keeps_the_order() {
    let rig = Rig::with(310).await;
    let mut letters = rig.open(11).await;
    assert_eq!(look(&mut *letters).await.len(), 310);
    // The connection is dropped: 29 windows on one channel.
    drop(letters);
    assert_eq!(rig.drain(310).await, (0..310).collect::<Vec<u32>>());
    rig.finish().await;
}

/// The broker closes the channels of a connection in any order, so only each channel's own order is kept.
#[tokio::test]
async fn a_long_scan_that_disconnects_loses_and_duplicates_nothing() {
    let rig = Rig::with(401).await;
    let mut letters = rig.open(10).await;
    assert_eq!(look(&mut *letters).await, (0..401).collect::<Vec<u32>>());
    drop(letters);
    let mut left = rig.drain(401).await;
    left.sort_unstable();
    assert_eq!(left, (0..401).collect::<Vec<u32>>());
    rig.finish().await;
}

#[tokio::test]
async fn discarded_letters_are_removed_and_the_rest_stays_in_order() {
    let rig = Rig::with(3000).await;
    let mut letters = rig.open(256).await;
    loop {
        let window = letters.next().await.unwrap();
        if window.is_empty() {
            break;
        }
        for letter in window.into_iter().filter(|letter| !number(&letter.body).is_multiple_of(10)) {
            letter.discard().await.unwrap();
        }
    }
    letters.close().await.unwrap();
    assert_eq!(rig.drain(300).await, (0..300).map(|number| number * 10).collect::<Vec<u32>>());
    rig.finish().await;
}

/// Windows of several channels are thinned out, the rest is not even seen, and more messages arrive.
#[tokio::test]
async fn a_scan_that_ends_early_shows_nothing_twice_and_keeps_the_order() {
    let rig = Rig::with(2000).await;
    let mut letters = rig.open(100).await;
    let mut seen = Vec::new();
    while seen.len() < 1400 {
        let window = letters.next().await.unwrap();
        seen.extend(window.iter().map(|letter| number(&letter.body)));
        for letter in window.into_iter().filter(|letter| !number(&letter.body).is_multiple_of(10)) {
            letter.discard().await.unwrap();
        }
    }
    rig.bury(2000..2010).await;
    letters.close().await.unwrap();
    let unseen = u32::try_from(seen.len()).unwrap();
    assert_eq!(seen, (0..unseen).collect::<Vec<u32>>());
    let left: Vec<u32> = (0..2010).filter(|number| number % 10 == 0 || *number >= unseen).collect();
    assert_eq!(rig.drain(left.len()).await, left);
    rig.finish().await;
}

/// The broker passes acks on to the queue in the background.
#[tokio::test]
async fn acks_just_before_the_end_take_effect() {
    let rig = Rig::with(1000).await;
    let mut letters = rig.open(400).await;
    let window = letters.next().await.unwrap();
    let discarded = futures_util::future::join_all(window.into_iter().map(DeadLetter::discard)).await;
    letters.close().await.unwrap();
    assert!(discarded.into_iter().all(|done| done.is_ok()));
    assert_eq!(rig.drain(600).await, (400..1000).collect::<Vec<u32>>());
    rig.finish().await;
}

#[tokio::test]
async fn letters_that_arrive_meanwhile_are_untouched_and_come_last() {
    let rig = Rig::with(30).await;
    let mut letters = rig.open(10).await;
    assert_eq!(letters.next().await.unwrap().len(), 10);
    rig.bury(30..40).await;
    assert_eq!(look(&mut *letters).await, (10..30).collect::<Vec<u32>>());
    letters.close().await.unwrap();
    assert_eq!(rig.drain(40).await, (0..40).collect::<Vec<u32>>());
    rig.finish().await;
}

#[tokio::test]
async fn a_replayed_letter_moves_to_the_work_queue() {
    let rig = Rig::with(100).await;
    let mut letters = rig.open(30).await;
    loop {
        let window = letters.next().await.unwrap();
        if window.is_empty() {
            break;
        }
        for letter in window {
            let headers = vec![("x-handoffd-replays", "1".to_owned())];
            letter.replay(Replay { headers, ..Replay::default() }).await.unwrap();
        }
    }
    letters.close().await.unwrap();
    assert_eq!(rig.drain(0).await, [0; 0]);
    assert_eq!(rig.drain_queue(&rig.options.queue).await, (0..100).collect::<Vec<u32>>());
    rig.finish().await;
}

#[tokio::test]
async fn one_operator_waits_for_the_other_and_then_sees_everything() {
    let rig = Rig::with(50).await;
    let mut first = rig.open(20).await;
    assert_eq!(first.next().await.unwrap().len(), 20);
    let notices = Mutex::new(Vec::new());
    let notice = |text: &str| notices.lock().unwrap().push(text.to_owned());
    let queue = RabbitDeadLetterQueue::new(rig.options.clone());
    let waiting = queue.open(&notice);
    let closing = async {
        eventually("the second to wait", async || !notices.lock().unwrap().is_empty()).await;
        first.close().await.unwrap();
    };
    let (second, ()) = tokio::join!(waiting, closing);
    let mut second = second.unwrap();
    assert!(notices.lock().unwrap()[0].contains("waiting"), "{notices:?}");
    assert_eq!(look(&mut *second).await, (0..50).collect::<Vec<u32>>());
    second.close().await.unwrap();
    rig.finish().await;
}

#[tokio::test]
async fn another_consumer_of_dead_letters_is_named() {
    let rig = Rig::with(10).await;
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
    let queue = rig.options.dead_letter_queue.as_str();
    let stranger = rig.client.channel().basic_consume(queue.into(), "stranger".into(), options, none).await.unwrap();
    eventually("the stranger to hold all", async || rig.client.depth(queue).await == Some(0)).await;
    let notices = Mutex::new(Vec::new());
    let notice = |text: &str| notices.lock().unwrap().push(text.to_owned());
    let mut letters = RabbitDeadLetterQueue::new(rig.options.clone()).open(&notice).await.unwrap();
    assert!(notices.lock().unwrap()[0].contains("1 consumers"), "{notices:?}");
    assert_eq!(look(&mut *letters).await, [0; 0]);
    letters.close().await.unwrap();
    drop(stranger);
    rig.finish().await;
}

#[tokio::test]
async fn failures_name_the_broker_and_the_operation() {
    let mut options = options(Broker::shared());
    let error = open_fails(&options).await;
    assert!(matches!(error, DeadLetterError::Missing { .. }), "{error}");
    assert!(error.to_string().contains(&options.dead_letter_queue), "{error}");
    options.urls = vec!["amqp://guest:wrong-secret@127.0.0.1:1/%2f".into()];
    let error = open_fails(&options).await;
    assert!(matches!(error, DeadLetterError::Away { .. }), "{error}");
    assert!(error.to_string().contains("127.0.0.1:1/") && !error.to_string().contains("secret"), "{error}");
    options.urls = vec![Broker::shared().replace("guest:guest", "guest:wrong-secret").into()];
    let error = open_fails(&options).await.to_string();
    assert!(error.contains("user or password") && !error.contains("wrong-secret"), "{error}");
}

async fn open_fails(options: &RabbitOptions) -> DeadLetterError {
    let queue = RabbitDeadLetterQueue::new(options.clone());
    let opened = tokio::time::timeout(Duration::from_secs(60), queue.open(&|_| ())).await;
    opened.expect("an answer").err().expect("an error")
}
