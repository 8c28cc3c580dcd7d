//! Bus on top of the broker in memory. Every call may fail before or after its effect.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::bus::{Announced, Announcement, Bus, BusError, Consumption, Delivery};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::broker::Broker;
use super::destinations::Destination;
use super::publish::CONFIRM_LIMIT;
use super::scene::ProcessLife;

/// Capacity of the channel from the inbox to the worker.
const BETWEEN: usize = 512;

/// Share of consumers that start late.
const SLOW_START: f64 = 0.25;
const SLOWEST_START: Duration = Duration::from_secs(5);

/// Bus as seen by one process.
pub struct FakeBus {
    pub broker: Arc<Broker>,
    pub life: ProcessLife,
}

#[async_trait]
impl Bus for FakeBus {
    async fn inbox(&self) -> mpsc::Receiver<Delivery> {
        let mut deliveries = self.broker.consume_inbox(self.life.clone());
        let (to, receiver) = mpsc::channel(BETWEEN);
        tokio::spawn(async move {
            while let Some(delivery) = deliveries.recv().await {
                if to.send(delivery).await.is_err() {
                    return;
                }
            }
        });
        receiver
    }

    fn organizations(&self) -> watch::Receiver<Vec<OrganizationId>> {
        let sender = watch::Sender::new(self.broker.configured.borrow().clone());
        let receiver = sender.subscribe();
        self.broker.followers.lock().unwrap().push(sender);
        receiver
    }

    async fn consume(&self, organization: &OrganizationId, prefetch: u16) -> Consumption {
        loop {
            self.life.pass("consuming").await;
            // Just after a restart the broker answers seconds later, and much may end meanwhile.
            if self.broker.scene.fails(SLOW_START) {
                self.broker.scene.sleep_up_to(SLOWEST_START).await;
            }
            let mut changed = pin!(self.broker.changes.notified());
            changed.as_mut().enable();
            if let Some(consumption) = self.broker.consume(&self.life, organization, prefetch) {
                return consumption;
            }
            changed.await;
        }
    }

    async fn announce(&self, announcement: Announcement) -> Result<Announced, BusError> {
        let (broker, limit) = (&self.broker, Instant::now() + CONFIRM_LIMIT);
        loop {
            self.life.pass("an announcement").await;
            let announcement = announcement.clone();
            let effect = Box::new(move |broker: &Arc<Broker>| {
                broker.scene.log(|| format!("announced {}", String::from_utf8_lossy(&announcement.body)));
                let after = broker.scene.elapsed();
                broker.look(|state| state.notes.announced.push((after, announcement)));
            });
            let sent = broker.send(&self.life, &Destination::Outcomes, effect);
            let forbidden = sent.is_forbidden();
            match broker.confirmed(&self.life, sent, limit).await {
                Ok(()) => break,
                // Waits, as the adapter does, until the exchange may be tried again.
                Err(BusError::Refused { .. }) if forbidden => {}
                Err(problem) => return Err(problem),
            }
        }
        Ok(if broker.scene.happens(0.1) { Announced::Unrouted } else { Announced::Routed })
    }

    async fn stop(&self) {
        self.broker.stop_consuming_inbox(&self.life);
    }

    async fn close(&self) {}

    fn unready(&self) -> Vec<String> {
        Vec::new()
    }
}
