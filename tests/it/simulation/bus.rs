//! The bus over the broker in memory: every call may fail, before its effect or after it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use handoffd::bus::{Announced, Announcement, Backlog, Bus, BusError, Delivery, Parked, Part, Settle, Settled};
use handoffd::event::OrganizationId;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, unbounded_channel};

use super::broker::{Broker, Message};
use super::scene::Life;

/// How long a confirm takes, at most.
const CONFIRM: Duration = Duration::from_millis(20);
/// How long it is waited after a refusal before a copy is offered again, at most.
const REFUSAL: Duration = Duration::from_secs(2);
/// How likely a publish is refused.
const REFUSED: f64 = 0.01;

/// The bus as one process sees it.
pub struct FakeBus {
    pub broker: Arc<Broker>,
    pub life: Life,
}

/// A message in hand.
pub struct InHand {
    pub broker: Arc<Broker>,
    pub life: Life,
    pub tag: u64,
    pub message: Message,
}

#[async_trait]
impl Bus for FakeBus {
    async fn deliveries(&self) -> Receiver<Delivery> {
        self.broker.consume(self.life.clone())
    }

    async fn backlogs(&self) -> UnboundedReceiver<Backlog> {
        let (news, receiver) = unbounded_channel();
        self.broker.take_from_backlogs(self.life.clone(), news);
        receiver
    }

    async fn waiting(&self, organization: &OrganizationId) -> Option<u64> {
        self.life.pass("a count").await;
        (!self.broker.is_away()).then(|| self.broker.look(|queues| queues.backlogs.ready(organization)))
    }

    async fn announce(&self, announcement: Announcement) -> Result<Announced, BusError> {
        let broker = &self.broker;
        publish(broker, &self.life, "outcomes", || {
            broker.scene.tell(|| format!("announced {}", String::from_utf8_lossy(&announcement.body)));
            let after = broker.scene.elapsed();
            broker.look(|queues| queues.announced.push((after, announcement.clone())));
        })
        .await?;
        Ok(if broker.scene.happens(0.1) { Announced::Unrouted } else { Announced::Routed })
    }

    async fn stop(&self) {}

    async fn close(&self) {}

    fn unready(&self) -> Vec<String> {
        Vec::new()
    }
}

#[async_trait]
impl Settle for InHand {
    async fn ack(self: Box<Self>) -> Result<Settled, BusError> {
        self.life.pass("ack").await;
        let settled = self.done();
        self.life.pass("after an ack").await;
        Ok(settled)
    }

    async fn later(self: Box<Self>, rung: usize, headers: Vec<(&'static str, String)>) -> Result<Settled, BusError> {
        let copy = self.copy(headers);
        self.move_to("a retry queue", || {
            self.broker.scene.tell(|| format!("later {} rung {rung}", name(&copy)));
            self.broker.put_off(copy.clone(), rung);
        })
        .await
    }

    async fn park(
        self: Box<Self>,
        organization: &OrganizationId,
        otherwise: usize,
        headers: Vec<(&'static str, String)>,
    ) -> Result<Parked, BusError> {
        let is_refused = self.broker.scene.happens(0.1);
        let copy = self.copy(headers);
        if is_refused {
            let effect = || {
                self.broker.scene.tell(|| format!("no backlog for {}: rung {otherwise}", name(&copy)));
                self.broker.hold_back(copy.clone(), otherwise);
            };
            let settled = self.move_to("a retry queue", effect).await?;
            return Ok(if settled == Settled::Taken { Parked::Later } else { Parked::Lost });
        }
        let effect = || {
            self.broker.scene.tell(|| format!("parked {}", name(&copy)));
            self.broker.park(organization, copy.clone());
        };
        let settled = self.move_to("a backlog", effect).await?;
        Ok(if settled == Settled::Taken { Parked::Behind } else { Parked::Lost })
    }

    async fn dead(self: Box<Self>, headers: Vec<(&'static str, String)>) -> Result<Settled, BusError> {
        let copy = self.copy(headers);
        self.move_to("the dead letters", || {
            self.broker.scene.tell(|| format!("dead {}", name(&copy)));
            self.broker.look(|queues| queues.dead.push(copy.clone()));
        })
        .await
    }

    async fn split(self: Box<Self>, parts: Vec<Part>) -> Result<Settled, BusError> {
        for part in parts {
            let mut copy = self.copy(Vec::new());
            copy.envelope.message_id = Some(part.message_id);
            copy.body = part.body.into();
            self.put("the work queue", || self.broker.publish(copy.clone())).await?;
        }
        Ok(self.done())
    }
}

impl InHand {
    fn copy(&self, headers: Vec<(&'static str, String)>) -> Message {
        let mut copy = Message { deliveries: 0, ..self.message.clone() };
        for (name, value) in headers {
            copy.envelope.headers.retain(|(known, _)| known != name);
            copy.envelope.headers.push((name.to_owned(), value));
        }
        copy
    }

    async fn move_to(&self, to: &'static str, effect: impl Fn()) -> Result<Settled, BusError> {
        match self.put(to, effect).await {
            Err(BusError::Away) => Ok(Settled::Lost),
            Err(problem) => Err(problem),
            Ok(()) => {
                self.life.pass("ack of a source").await;
                let settled = self.done();
                self.life.pass("after the ack of a source").await;
                Ok(settled)
            }
        }
    }

    async fn put(&self, to: &'static str, effect: impl Fn()) -> Result<(), BusError> {
        if !self.broker.holds(self.tag) {
            return Err(BusError::Away);
        }
        loop {
            match publish(&self.broker, &self.life, to, &effect).await {
                // As the adapter does.
                Err(BusError::Refused { .. }) => self.broker.scene.dawdle(REFUSAL).await,
                answer => return answer,
            }
        }
    }

    /// An ack is not confirmed: it may be on its way when the connection breaks.
    fn done(&self) -> Settled {
        if !self.broker.holds(self.tag) {
            return Settled::Lost;
        }
        if self.broker.breaks() {
            self.broker.disconnect("an ack was lost");
            return if self.broker.scene.happens(0.5) { Settled::Taken } else { Settled::Lost };
        }
        self.broker.scene.tell(|| format!("acked {}", name(&self.message)));
        self.broker.ack(self.tag);
        Settled::Taken
    }
}

async fn publish(broker: &Arc<Broker>, life: &Life, to: &'static str, effect: impl Fn()) -> Result<(), BusError> {
    life.pass(to).await;
    broker.scene.dawdle(CONFIRM).await;
    life.go_on().await;
    if broker.is_away() {
        return Err(BusError::Away);
    }
    if broker.scene.fails(REFUSED) {
        broker.scene.tell(|| format!("REFUSED: a publish to {to}"));
        return Err(BusError::Refused { to: to.to_owned(), problem: "the dice".to_owned() });
    }
    if broker.breaks() {
        broker.disconnect("before a publish");
        return Err(broken(to));
    }
    effect();
    life.pass(to).await;
    if broker.breaks() {
        broker.disconnect("before a confirm");
        return Err(broken(to));
    }
    broker.scene.dawdle(CONFIRM).await;
    life.go_on().await;
    Ok(())
}

fn broken(to: &str) -> BusError {
    BusError::Broken { to: to.to_owned(), source: Arc::new(io::Error::from(io::ErrorKind::ConnectionReset)) }
}

fn name(message: &Message) -> &str {
    message.envelope.message_id.as_deref().unwrap_or("-")
}
