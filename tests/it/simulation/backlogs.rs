//! The backlogs of the broker in memory: taken from apart from the work queue, and back in front when a connection ends.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use handoffd::bus::{Backlog, Delivery};
use handoffd::event::OrganizationId;
use tokio::sync::mpsc::{Sender, UnboundedSender, channel};
use tokio::time::sleep;

use super::broker::{Broker, Message};
use super::bus::InHand;
use super::scene::Life;

/// What waits in a backlog for longer goes back to work.
const TTL: Duration = Duration::from_secs(600);
/// In hand, or on the way, from one backlog.
const PREFETCH: usize = 3;

/// All backlogs.
#[derive(Default)]
pub struct Backlogs {
    queues: BTreeMap<OrganizationId, Queue>,
    taker: Option<(Life, UnboundedSender<Backlog>)>,
    /// Their tags are odd, those of the work queue even.
    numbers: u64,
}

#[derive(Default)]
struct Queue {
    ready: VecDeque<(u64, Message)>,
    in_hand: BTreeMap<u64, Message>,
    to: Option<Sender<Delivery>>,
}

impl Backlogs {
    /// Messages that are in one of them, in hand or not.
    pub fn count(&self) -> usize {
        self.queues.values().map(|queue| queue.ready.len() + queue.in_hand.len()).sum()
    }

    /// Messages that nobody has in hand.
    pub fn ready(&self, organization: &OrganizationId) -> u64 {
        self.queues.get(organization).map_or(0, |queue| queue.ready.len() as u64)
    }

    /// Whether this one is in hand, from any of them.
    pub fn holds(&self, tag: u64) -> bool {
        self.queues.values().any(|queue| queue.in_hand.contains_key(&tag))
    }

    /// It is done.
    pub fn ack(&mut self, tag: u64) {
        self.queues.values_mut().for_each(|queue| drop(queue.in_hand.remove(&tag)));
    }

    /// The connection is gone.
    pub fn disconnect(&mut self) {
        for queue in self.queues.values_mut() {
            queue.to = None;
            for (tag, mut message) in std::mem::take(&mut queue.in_hand).into_iter().rev() {
                message.deliveries += 1;
                queue.ready.push_front((tag, message));
            }
        }
    }
}

impl Broker {
    /// A process takes from the backlogs.
    pub fn take_from_backlogs(self: &Arc<Self>, life: Life, news: UnboundedSender<Backlog>) {
        self.look(|queues| queues.backlogs.taker = Some((life, news)));
        self.deliver_from_backlogs();
    }

    /// A copy goes to the end of a backlog.
    pub fn park(self: &Arc<Self>, organization: &OrganizationId, message: Message) {
        let number = self.look(|queues| {
            let backlogs = &mut queues.backlogs;
            backlogs.numbers += 1;
            let number = 2 * backlogs.numbers + 1;
            backlogs.queues.entry(organization.clone()).or_default().ready.push_back((number, message));
            number
        });
        self.deliver_from_backlogs();
        let (broker, organization) = (self.clone(), organization.clone());
        tokio::spawn(async move {
            sleep(TTL).await;
            let expired = broker.look(|queues| {
                let ready = &mut queues.backlogs.queues.get_mut(&organization)?.ready;
                let index = ready.iter().position(|(known, _)| *known == number)?;
                ready.remove(index)
            });
            if let Some((_, message)) = expired {
                broker.publish(message);
            }
        });
    }

    /// Brings what is ready to whoever takes it; it comes out one after the other, as it is taken.
    pub fn deliver_from_backlogs(self: &Arc<Self>) {
        if self.is_away() {
            return;
        }
        self.look(|queues| {
            let backlogs = &mut queues.backlogs;
            let Some((life, news)) = backlogs.taker.clone().filter(|(life, _)| !life.is_over()) else { return };
            for (organization, queue) in &mut backlogs.queues {
                if queue.to.is_none() && !queue.ready.is_empty() {
                    let (to, deliveries) = channel(PREFETCH);
                    let (organization, waiting) = (organization.clone(), queue.ready.len() as u64);
                    queue.to = Some(to);
                    let _ = news.send(Backlog { organization, waiting, deliveries });
                }
                let Some(to) = &queue.to else { continue };
                while queue.in_hand.len() < PREFETCH {
                    let Some((tag, message)) = queue.ready.pop_front() else { break };
                    self.watch_over(tag);
                    queue.in_hand.insert(tag, message.clone());
                    let settle = InHand { broker: self.clone(), life: life.clone(), tag, message: message.clone() };
                    let Message { envelope, body, routing_key, deliveries } = message;
                    let delivery = Delivery::new(envelope, body, routing_key, deliveries, Box::new(settle));
                    // Nobody takes it any more: it is back with the next connection.
                    let _ = to.try_send(delivery);
                }
            }
        });
    }
}
