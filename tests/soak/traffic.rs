//! OpenCX's events: returning customers, resolutions, copies, and occasional invalid messages.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::crm::{REFUSED, organizations};
use crate::ledger::{Expected, Ledger};
use crate::stage::Stage;
use crate::support::event::{Event, anonymous, handoff, resolved};
use crate::wire::{Publisher, UNBOUND};

/// Number of recent events from which a returning customer, a conversation to resolve or an event to copy is chosen.
const REMEMBERED: usize = 200;

/// Source of events.
pub struct Traffic {
    dice: SmallRng,
    pause: Duration,
    /// Recent handoffs.
    handoffs: Vec<Event>,
    /// Recent events of all kinds.
    all: Vec<Event>,
}

impl Traffic {
    /// Source with an average number of events per second.
    pub fn new(seed: u64, rate: f64) -> Self {
        let pause = Duration::from_secs_f64(1.0 / rate.max(0.1));
        Self { dice: SmallRng::seed_from_u64(seed), pause, handoffs: Vec::new(), all: Vec::new() }
    }

    /// Publishes until the run is over, each event until the broker has confirmed it.
    pub async fn flow(mut self, stage: Arc<Stage>, ledger: Arc<Ledger>, over: CancellationToken) {
        let mut publisher = Publisher::new(&stage);
        let mut tick = tokio::time::interval(self.pause);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !over.is_cancelled() {
            tick.tick().await;
            let (event, expected) = self.next();
            ledger.published(&event, expected);
            publisher.publish(&event, &stage.counts.repeated).await;
        }
    }

    /// Next event and its required result; `None` for a copy.
    fn next(&mut self) -> (Event, Option<Expected>) {
        let organization = organizations().choose(&mut self.dice).expect("there are some");
        let of = |event: Event| event.with("/organization_id", organization.as_str());
        let (event, expected) = match self.dice.random_range(0..100) {
            0..40 => (of(handoff(self.channel())), Expected::Incident),
            40..50 => (self.returning(), Expected::Incident),
            50..55 => (of(anonymous("phone")), Expected::Incident),
            55..60 => (of(long()), Expected::IncidentWithNote),
            60..72 => (of(handoff(["web", "sms", "whatsapp"].choose(&mut self.dice).expect("three"))), Expected::Chat),
            72..84 => (self.resolution(), Expected::Resolution),
            84..94 => match self.all.choose(&mut self.dice) {
                Some(event) => return (event.clone(), None),
                None => (of(handoff("email")), Expected::Incident),
            },
            94..96 => (of(refused()), Expected::DeadLetter("rejected_by_dynamics")),
            96..98 => {
                (handoff("email").with("/organization_id", "org_nobody"), Expected::DeadLetter("unknown_organization"))
            }
            98 => (of(handoff("email").without("/data/session_id")), Expected::DeadLetter("invalid_event")),
            _ => (of(handoff("email").with("/event", UNBOUND)), Expected::DeadLetter("unsupported_event")),
        };
        // The order of a session: a resolution closes only what was handed off before it.
        let event = event.with("/timestamp", jiff::Timestamp::now().to_string());
        self.remember(&event, expected);
        (event, Some(expected))
    }

    fn channel(&mut self) -> &'static str {
        ["email", "slack", "phone", "instagram", "api"].choose(&mut self.dice).expect("five")
    }

    /// Handoff of an earlier customer, in a new conversation or the same one, with the email in any case.
    fn returning(&mut self) -> Event {
        let Some(before) = self.handoffs.choose(&mut self.dice).cloned() else { return handoff("email") };
        let again = if self.dice.random_bool(0.5) { before.next() } else { before.next_session() };
        let email = if self.dice.random_bool(0.3) { again.email().to_uppercase() } else { again.email().to_owned() };
        let mark = uuid::Uuid::new_v4().simple().to_string();
        again.with("/data/customer/email", email).with("/data/summary", format!("Came back about {mark}."))
    }

    fn resolution(&mut self) -> Event {
        match self.handoffs.choose(&mut self.dice) {
            Some(before) => resolved(before.session()).with("/organization_id", before.0["organization_id"].clone()),
            None => resolved("ses_nobody"),
        }
    }

    fn remember(&mut self, event: &Event, expected: Expected) {
        if matches!(expected, Expected::Incident) && event.0["data"]["customer"]["email"].is_string() {
            self.handoffs.push(event.clone());
        }
        self.all.push(event.clone());
        for list in [&mut self.handoffs, &mut self.all] {
            if list.len() > REMEMBERED {
                list.remove(0);
            }
        }
    }
}

fn long() -> Event {
    let text = "0123456789 ".repeat(300);
    handoff("email").with("/data/transcript", json!([{ "sender": "customer", "text": text }]))
}

fn refused() -> Event {
    let mark = uuid::Uuid::new_v4().simple().to_string();
    handoff("email").with("/data/summary", format!("It is {REFUSED}, see {mark}."))
}
