//! Broker's side of one process among several: the end of its connection, and its wake-up.

use std::sync::Arc;

use handoffd_engine::event::OrganizationId;

use super::broker::Broker;
use super::message::{UnsettledMessage, reverse};
use super::scene::ProcessLife;

impl Broker {
    /// Ends the connection of one process. Its messages in flight are redelivered to others.
    pub fn cut(self: &Arc<Self>, life: &ProcessLife, why: &'static str) {
        let shuffled = self.shuffles && self.scene.happens(0.5);
        self.scene.log(|| format!("process {}: {why}", life.id));
        let now = self.scene.elapsed();
        self.look(|state| {
            state.notes.disconnections += 1;
            state.disturbed = now;
            state.organizations.end_consumers_of(life.id);
            let of_it = |flying: &UnsettledMessage| flying.process == life.id;
            let tags: Vec<u64> = state.flying.iter().filter(|(_, it)| of_it(it)).map(|(tag, _)| *tag).collect();
            let mut back: Vec<_> = tags.iter().filter_map(|tag| state.flying.remove(tag)).collect();
            if shuffled {
                reverse(&mut back);
            }
            for flying in back {
                state.check_hold(&flying);
                state.take_back(flying, true);
            }
        });
        life.cut();
        self.deliver();
    }

    /// Returns the number of consumers of an organization's queue.
    pub fn consumers(&self, organization: &OrganizationId) -> usize {
        self.look(|state| state.organizations.consumers_of(organization))
    }

    /// Lets a process go on.
    pub fn wake_process(self: &Arc<Self>, life: &ProcessLife) {
        life.wake();
        let now = self.scene.elapsed();
        self.look(|state| state.disturbed = now);
        self.wake();
    }
}
