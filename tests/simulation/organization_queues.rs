//! Organizations' queues of the broker in memory. A queue created just before the broker is killed is lost with its
//! messages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::unfold;
use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::bus::{Consumption, Delivery};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

use super::broker::{Broker, State};
use super::destinations::Destination;
use super::flaw::Flaw;
use super::message::{Message, Place};
use super::scene::ProcessLife;

/// Age up to which a queue is lost if the broker is killed.
const LOST_UP_TO: Duration = Duration::from_secs(2);
/// `broker.new_queue_wait` of the runs.
const NEW_QUEUE_WAIT: Duration = Duration::from_secs(3);
/// Time after which a process that wakes knows that it was declared lost.
const AWARE: Duration = Duration::from_secs(3);
/// Longest time the broker takes to cancel a consumer.
const CANCEL: Duration = Duration::from_millis(10);

/// All queues and their consumers.
#[derive(Default)]
pub struct OrganizationQueues {
    queues: BTreeMap<OrganizationId, Queue>,
    consumers: BTreeMap<u64, Consumer>,
}

struct Queue {
    made: Duration,
    /// Time from which the adapter uses the queue, determined again for each connection.
    usable_from: Duration,
    ready: BTreeMap<u64, Message>,
}

struct Consumer {
    organization: OrganizationId,
    life: ProcessLife,
    prefetch: usize,
    to: UnboundedSender<Delivery>,
    since: Duration,
}

impl OrganizationQueues {
    /// Returns the number of messages not in flight.
    pub fn ready(&self) -> usize {
        self.queues.values().map(|queue| queue.ready.len()).sum()
    }

    /// Inserts a message at its position. Messages of a lost queue are dropped.
    pub fn insert(&mut self, organization: &OrganizationId, number: u64, message: Message) {
        if let Some(queue) = self.queues.get_mut(organization) {
            queue.ready.insert(number, message);
        }
    }

    /// Ends the consumers of one process.
    pub fn end_consumers_of(&mut self, process: u32) {
        self.consumers.retain(|_, consumer| consumer.life.id != process);
    }

    /// Returns the number of consumers of an organization's queue.
    pub fn consumers_of(&self, organization: &OrganizationId) -> usize {
        self.consumers.values().filter(|consumer| consumer.organization == *organization).count()
    }

    /// Ends all consumers. Their streams end after the messages already sent.
    pub fn end_consumers(&mut self) {
        self.consumers.clear();
    }
}

impl Broker {
    /// Creates the queues that exist before the first worker starts.
    pub fn have_queues(&self) {
        let organizations = self.configured.borrow().clone();
        self.look(|state| {
            for organization in organizations {
                let queue = Queue { made: Duration::ZERO, usable_from: Duration::ZERO, ready: BTreeMap::new() };
                state.organizations.queues.insert(organization, queue);
            }
        });
    }

    /// Declares the queues of all organizations. The inbox is not consumed while one of them is young.
    pub fn declare(&self) {
        let (organizations, now) = (self.configured.borrow().clone(), self.scene.elapsed());
        self.look(|state| {
            for organization in organizations {
                self.make(state, &organization);
            }
            let from = state.organizations.queues.values().map(|queue| queue.usable_from).max().unwrap_or_default();
            if from > now {
                state.organizations.queues.values_mut().for_each(|queue| queue.usable_from = from);
            }
            state.inbox_from = from.max(now);
        });
    }

    /// Configures an organization while the worker runs.
    pub fn add(self: &Arc<Self>, organization: &OrganizationId) {
        self.scene.log(|| format!("{organization} is added"));
        self.configured.send_modify(|known| known.push(organization.clone()));
        for follower in self.followers.lock().unwrap().iter() {
            follower.send_replace(self.configured.borrow().clone());
        }
        if !self.is_away() {
            self.look(|state| self.make(state, organization));
            self.wake();
        }
    }

    fn make(&self, state: &mut State, organization: &OrganizationId) {
        let now = self.scene.elapsed();
        let queue = state.organizations.queues.entry(organization.clone()).or_insert_with(|| {
            self.scene.log(|| format!("the queue of {organization} is made"));
            Queue { made: now, usable_from: now + NEW_QUEUE_WAIT, ready: BTreeMap::new() }
        });
        let is_old = queue.made.is_zero() || queue.made + NEW_QUEUE_WAIT <= now;
        queue.usable_from = if is_old { Duration::ZERO } else { queue.made + NEW_QUEUE_WAIT };
    }

    /// Kills the broker. Durable state survives; young queues do not.
    pub fn kill(self: &Arc<Self>) {
        let now = self.scene.elapsed();
        self.look(|state| {
            let is_young = |queue: &Queue| !queue.made.is_zero() && now < queue.made + LOST_UP_TO;
            state.organizations.queues.retain(|organization, queue| {
                let lost = is_young(queue);
                if lost {
                    self.scene.log(|| format!("the queue of {organization} is lost with {}", queue.ready.len()));
                }
                !lost
            });
        });
        self.disconnect("the broker was killed");
    }

    /// Returns true if events may be published to the organization's queue now.
    pub fn is_usable(&self, organization: &OrganizationId) -> bool {
        let now = self.scene.elapsed();
        self.look(|state| {
            let queue = state.organizations.queues.get(organization);
            queue.is_some_and(|queue| queue.usable_from <= now || self.flaw == Some(Flaw::TrustsYoungQueues))
        })
    }

    /// Appends a copy to the organization's queue.
    pub fn move_to_organization(self: &Arc<Self>, organization: &OrganizationId, message: Message) {
        let after = self.scene.elapsed();
        self.scene.log(|| format!("{} is in the queue of {organization}", message.name()));
        self.look(|state| {
            state.notes.forwarded.entry(message.name().to_owned()).or_insert(after);
            let number = state.number();
            state.organizations.insert(organization, number, Message { redelivered: false, ..message });
        });
        self.deliver();
    }

    /// Consumes an organization's queue. Returns `None` while that is impossible.
    pub fn consume(
        self: &Arc<Self>,
        life: &ProcessLife,
        organization: &OrganizationId,
        prefetch: u16,
    ) -> Option<Consumption> {
        if self.is_away() || self.is_paused() || life.is_over() {
            return None;
        }
        let (to, receiver) = unbounded_channel();
        let since = self.scene.elapsed();
        let (id, ended) = self.look(|state| {
            let id = state.number();
            let (organization, prefetch) = (organization.clone(), usize::from(prefetch));
            let consumer = Consumer { organization: organization.clone(), life: life.clone(), prefetch, to, since };
            let exists = state.organizations.queues.contains_key(&organization);
            exists.then(|| {
                state.organizations.consumers.insert(id, consumer);
                (id, life.connection(&state.connection))
            })
        })?;
        self.scene.log(|| format!("consumes {organization} with a prefetch of {prefetch}"));
        self.deliver();
        let (cancel, closed) = (CancellationToken::new(), CancellationToken::new());
        // Messages given back return immediately, so nothing is missing once the consumer is gone.
        let state = (receiver, (self.clone(), closed.clone().drop_guard()), ended, cancel.clone(), false);
        let deliveries = unfold(state, move |(mut receiver, broker, ended, cancel, mut cancelled)| async move {
            loop {
                tokio::select! {
                    biased;
                    () = ended.cancelled() => return None,
                    delivery = receiver.recv() => return delivery.map(|it| (it, (receiver, broker, ended, cancel, cancelled))),
                    () = cancel.cancelled(), if !cancelled => {
                        broker.0.scene.sleep_up_to(CANCEL).await;
                        broker.0.look(|state| state.organizations.consumers.remove(&id));
                        cancelled = true;
                    }
                }
            }
        });
        Some(Consumption { deliveries: Box::pin(deliveries), cancel, closed })
    }
}

impl State {
    /// Checks that no other process has been consuming the queue of an organization that is taken over. One that wakes
    /// may begin before it knows that it has lost the organization, and ends then.
    pub fn check_abandoned(&mut self, organization: &OrganizationId, now: Duration) {
        let mut of_it = self.organizations.consumers.values().filter(|other| other.organization == *organization);
        if let Some(other) = of_it.find(|other| other.since + AWARE < now) {
            let text = format!("{organization}: taken over while process {} consumes its queue", other.life.id);
            self.notes.broken.insert(text);
        }
    }

    /// Delivers ready messages to the consumers, up to their prefetch.
    pub fn deliver_organizations(&mut self, broker: &Arc<Broker>) {
        let now = broker.scene.elapsed();
        let ids: Vec<u64> = self.organizations.consumers.keys().copied().collect();
        for id in ids {
            let mut unacked = self.flying.values().filter(|flying| flying.consumer == id).count();
            while let Some((consumer, next)) = self.next(id, unacked) {
                let Consumer { organization, life, to, .. } = consumer;
                let (organization, life, to) = (organization.clone(), life.clone(), to.clone());
                let destination = Destination::Organization(organization.clone());
                // A queue without a leader delivers nothing.
                if life.is_over()
                    || broker.windows.of(&destination, now).is_some_and(super::destinations::Window::is_leaderless)
                {
                    break;
                }
                let queue = self.organizations.queues.get_mut(&organization).expect("`next` found it");
                let message = queue.ready.remove(&next).expect("`next` found it");
                let redelivered = message.redelivered;
                let place = (Place::Organization(organization), id);
                let delivery = self.deliver_to(broker, life, place, (next, message), redelivered);
                unacked += 1;
                // If the receiver was dropped, the message stays unacked.
                _ = to.send(delivery);
            }
        }
    }

    fn next(&self, id: u64, unacked: usize) -> Option<(&Consumer, u64)> {
        let consumer = self.organizations.consumers.get(&id).filter(|consumer| unacked < consumer.prefetch)?;
        let queue = self.organizations.queues.get(&consumer.organization)?;
        queue.ready.first_key_value().map(|(number, _)| (consumer, *number))
    }
}
