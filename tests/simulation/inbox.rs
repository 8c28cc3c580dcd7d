//! Consumers of the inbox, one of each process.

use std::sync::Arc;
use std::time::Duration;

use handoffd_engine::ports::bus::Delivery;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::broker::{Broker, State};
use super::message::{Place, UnsettledMessage};
use super::scene::ProcessLife;

pub struct InboxConsumer {
    pub life: ProcessLife,
    to: UnboundedSender<Delivery>,
    /// True until a message arrives that was never delivered before; messages are delivered one at a time until then.
    careful: bool,
    pub since: Duration,
}

impl Broker {
    pub fn consume_inbox(self: &Arc<Self>, life: ProcessLife) -> UnboundedReceiver<Delivery> {
        let (to, receiver) = unbounded_channel();
        let since = self.scene.elapsed();
        if !life.is_stopped() {
            self.look(|state| {
                state.consumers.retain(|consumer| !consumer.life.is_over());
                state.consumers.push(InboxConsumer { life, to, careful: true, since });
            });
        }
        self.deliver();
        receiver
    }

    /// Ends the stream of a process's inbox.
    pub fn stop_consuming_inbox(&self, life: &ProcessLife) {
        life.stop();
        self.look(|state| state.consumers.retain(|consumer| consumer.life.id != life.id));
    }
}

impl State {
    pub fn deliver_inbox(&mut self, broker: &Arc<Broker>) {
        if broker.scene.elapsed() < self.inbox_from {
            return;
        }
        for nth in 0..self.consumers.len() {
            self.deliver_inbox_to(nth, broker);
        }
        // The next message goes to another one.
        if self.consumers.len() > 1 {
            self.consumers.rotate_left(1);
        }
    }

    fn deliver_inbox_to(&mut self, nth: usize, broker: &Arc<Broker>) {
        loop {
            let Some(consumer) = self.consumers.get_mut(nth).filter(|consumer| !consumer.life.is_over()) else {
                return;
            };
            let process = consumer.life.id;
            // A suspended process does not connect again.
            if consumer.life.is_frozen() && consumer.life.is_cut() {
                return;
            }
            let is_its = |flying: &&UnsettledMessage| flying.place == Place::Inbox && flying.process == process;
            let flying = self.flying.values().filter(is_its).count();
            let prefetch = if consumer.careful { 1 } else { broker.prefetch };
            if flying >= prefetch {
                return;
            }
            let Some((number, message)) = self.ready.pop_first() else {
                consumer.careful &= flying > 0;
                return;
            };
            consumer.careful &= message.deliveries > 0;
            let (life, to) = (consumer.life.clone(), consumer.to.clone());
            let redelivered = message.deliveries > 0;
            let delivery = self.deliver_to(broker, life, (Place::Inbox, 0), (number, message), redelivered);
            // A process that died may still receive the message; it is returned when the connection ends.
            _ = to.send(delivery);
        }
    }
}
