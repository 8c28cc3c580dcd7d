//! Routing of copies to a queue, a retry queue or the dead letters.

use std::sync::Arc;

use tokio::time::sleep;

use super::broker::{Broker, DELAYS};
use super::destinations::Destination;
use super::message::Message;

impl Broker {
    /// Puts a copy into the retry queue of this rung.
    pub fn put_off(self: &Arc<Self>, message: Message, rung: usize) {
        let (name, after) = (message.name().to_owned(), self.scene.elapsed());
        self.scene.log(|| format!("{name} waits on rung {rung}: {:?}", message.envelope.headers));
        self.look(|state| {
            state.waiting += 1;
            state.notes.delayed.entry(name.clone()).or_default().push(after..after + DELAYS[rung]);
            state.notes.put_off.entry(name).or_insert(after);
        });
        let broker = self.clone();
        tokio::spawn(async move {
            sleep(DELAYS[rung]).await;
            broker.look(|state| state.waiting -= 1);
            broker.publish(message);
        });
    }

    pub fn dead_letter(&self, message: Message) {
        self.scene.log(|| format!("dead {}: {:?}", message.name(), message.envelope.headers));
        self.look(|state| state.dead.push(message));
    }

    /// Appends a message to a queue.
    pub fn put(self: &Arc<Self>, to: &Destination, message: Message) {
        match to {
            Destination::Inbox => self.publish(message),
            Destination::Organization(organization) => self.move_to_organization(organization, message),
            Destination::Retry(rung) => self.put_off(message, *rung),
            Destination::DeadLetters => self.dead_letter(message),
            Destination::Outcomes => {}
        }
    }
}
