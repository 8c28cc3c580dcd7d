//! Invariants checked after every run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use handoffd_engine::event::EventKey;
use serde_json::Value;

use super::broker::{Broker, DELIVERY_LIMIT};
use super::environment::{Environment, Incident};
use super::message::Message;
use super::scene::TROUBLE_ENDS;
use super::script::{Content, Poison};
use super::world::World;

/// Limit on deaths of the process caused by one event (contract 5).
const MOST_DEATHS: u32 = 7;

/// Tolerance of ages: milliseconds are cut off in the header, and a confirm takes time.
const MOMENT: Duration = Duration::from_secs(60);

/// Outcome as announced.
pub struct Announced {
    pub at: Duration,
    pub failed: bool,
    body: Vec<u8>,
    json: Value,
}

impl Announced {
    pub fn is_of(&self, organization: &str, event: &str) -> bool {
        self.json["organization_id"] == organization && self.json["data"]["source_event_id"] == event
    }

    fn reason(&self) -> Option<&str> {
        self.json["data"]["reason"].as_str()
    }

    fn error(&self) -> Option<&str> {
        self.json["data"]["error"]["message"].as_str()
    }

    fn warns_of(&self, warning: &str) -> bool {
        self.json["data"]["warnings"].as_array().is_some_and(|all| all.iter().any(|one| one == warning))
    }
}

/// Returns all outcomes announced so far.
pub fn announcements(broker: &Broker) -> Vec<Announced> {
    let announced = broker.look(|state| state.notes.announced.clone());
    let read = |(at, announcement): (Duration, handoffd_engine::ports::bus::Announcement)| Announced {
        at,
        failed: announcement.routing_key.ends_with(".failed"),
        json: serde_json::from_slice(&announcement.body).expect("an outcome is JSON"),
        body: announcement.body,
    };
    announced.into_iter().map(read).collect()
}

/// Returns a description of every violated invariant.
pub fn all(world: &World) -> Vec<String> {
    let ends = FinalState::of(world);
    let mut broken = Vec::new();
    for publication in &world.publications {
        for key in publication.content.keys() {
            broken.extend(ended(world, &ends, &key).err());
        }
        broken.extend(carried(world, &ends, &publication.content).err());
        broken.extend(closed(world, &ends, &publication.content).err());
        broken.extend(awaited(world, &ends, &publication.content).err());
        broken.extend(found_out(world, &ends, &publication.content).err());
        broken.extend(waiting_costs_nothing(world, &ends, &publication.content).err());
    }
    broken.extend(nameless(world, &ends).err());
    broken.extend(destination_consistent(world));
    broken.extend(world.left_behind.iter().cloned());
    broken.extend(world.cloud.ledger.broken());
    broken.extend(world.broker.look(|state| state.notes.broken.clone()));
    broken.extend(in_order(world, &ends));
    broken.extend(organizations_isolated(world, &ends));
    broken.sort();
    broken.dedup();
    broken
}

/// Final state of the broker: outcomes and dead letters.
struct FinalState {
    announced: Vec<Announced>,
    dead: Vec<Message>,
}

impl FinalState {
    fn of(world: &World) -> Self {
        Self { announced: announcements(&world.broker), dead: world.broker.look(|state| state.dead.clone()) }
    }

    fn outcomes<'a>(&'a self, key: &'a EventKey) -> impl Iterator<Item = &'a Announced> {
        let (organization, event) = (key.organization_id.as_str(), key.event_id.as_str());
        self.announced.iter().filter(move |outcome| outcome.is_of(organization, event))
    }

    /// Returns the first answer: succeeded or skipped.
    fn answer<'a>(&'a self, key: &'a EventKey) -> Option<&'a Announced> {
        self.outcomes(key).find(|outcome| !outcome.failed)
    }

    /// Returns true if the broker itself gave the event up; no outcome is promised then.
    fn was_too_often_delivered(&self, key: &EventKey) -> bool {
        let of = |id: &str| key.event_id.as_str().starts_with(id);
        let too_often = self.dead.iter().filter(|letter| letter.deliveries > DELIVERY_LIMIT);
        too_often.filter_map(|letter| letter.envelope.message_id.as_deref()).any(of)
    }

    fn is_dead(&self, key: &EventKey) -> bool {
        self.dead.iter().any(|letter| {
            letter.envelope.header("x-handoffd-event-id") == Some(key.event_id.as_str())
                && letter.envelope.header("x-handoffd-organization-id") == Some(key.organization_id.as_str())
        })
    }
}

/// Invariants 1 and 6: an event has exactly one outcome, and it is announced.
fn ended(world: &World, ends: &FinalState, key: &EventKey) -> Result<(), String> {
    let outcomes: Vec<_> = ends.outcomes(key).collect();
    ensure(!outcomes.is_empty() || ends.was_too_often_delivered(key), || format!("{key:?}: no outcome"))?;
    let answers: Vec<_> = outcomes.iter().filter(|outcome| !outcome.failed).collect();
    let Some(first) = answers.first() else {
        let dead = ends.is_dead(key) || ends.was_too_often_delivered(key);
        return ensure(dead, || format!("{key:?}: failed without a dead letter"));
    };
    if world.lost {
        return Ok(());
    }
    ensure(answers.iter().all(|one| one.body == first.body), || format!("{key:?}: answers differ"))?;
    let failed_later = outcomes.iter().any(|outcome| outcome.failed && outcome.at > first.at);
    ensure(!failed_later, || format!("{key:?}: failed after it was answered"))?;
    let asked = world.cloud.asked(key, |asked| *asked);
    ensure(asked.at <= first.at, || format!("{key:?}: a request after it was answered"))?;
    // A death of the process is an attempt, because this event may have caused it. An unavailable store is none, except once
    // when it fails after the attempt was recorded.
    let store = if world.scene.kept_everything() { 0 } else { 1 + world.scene.hiccups() };
    let most = 1 + asked.spent + store + world.scene.panics() + world.broker.look(|state| state.notes.disconnections);
    let attempts = first.json["data"]["attempts"].as_u64().unwrap_or_default();
    ensure((1..=most.into()).contains(&attempts), || format!("{key:?}: {attempts} attempts, expected 1 to {most}"))
}

/// Invariant 2: a handoff that succeeded exists in Dynamics once and completely.
fn carried(world: &World, ends: &FinalState, content: &Content) -> Result<(), String> {
    let Content::Handoff { key, live, long, email, .. } = content else { return Ok(()) };
    let Some(answer) = ends.answer(key) else { return Ok(()) };
    world.cloud.environment(&key.organization_id, |environment| {
        let work_items = environment.work_items.values().filter(|event| **event == key.event_id).count();
        ensure(work_items == usize::from(*live), || format!("{key:?}: {work_items} work items"))?;
        let meta = &answer.json["data"]["session_meta"];
        let incidents: Vec<_> = of_event(environment, key).collect();
        match incidents.as_slice() {
            [] if *live => Ok(()),
            [] => {
                let deleted = environment.deleted.iter().any(|id| meta["dynamics365_incident_id"] == id.to_string());
                ensure(deleted, || format!("{key:?}: no incident"))
            }
            [incident] if !live => {
                let queue = world.cloud.organizations[&key.organization_id].default_queue_id;
                let whole = incident.notes == u32::from(*long) && incident.queue_items == u32::from(queue.is_some());
                let whole = whole || answer.warns_of("not_queued");
                ensure(whole, || format!("{key:?}: incomplete: {incident:?}"))?;
                let linked = email.is_none() || incident.customer.is_some() || answer.warns_of("contact_unlinked");
                ensure(linked, || format!("{key:?}: not linked to its contact: {incident:?}"))
            }
            several => Err(format!("{key:?}: {} incidents", several.len())),
        }
    })
}

/// A resolution published after its handoff was answered closes the case.
fn closed(world: &World, ends: &FinalState, content: &Content) -> Result<(), String> {
    let Content::Resolution { key, session, closes: true, .. } = content else { return Ok(()) };
    let copies = world.publications.iter().filter(|publication| publication.content == *content);
    let at = copies.map(|copy| copy.at).min().unwrap_or_default();
    let Some(answer) = ends.answer(key).filter(|_| !world.lost) else { return Ok(()) };
    for publication in &world.publications {
        let Content::Handoff { key: handoff, session: opened, live: false, .. } = &publication.content else {
            continue;
        };
        let same = handoff.organization_id == key.organization_id && opened == session;
        if !same || ends.answer(handoff).is_none_or(|outcome| outcome.at >= at) {
            continue;
        }
        ensure(answer.reason() != Some("no_incident"), || format!("{key:?}: no_incident after {handoff:?}"))?;
        world.cloud.environment(&key.organization_id, |environment| {
            let open = of_event(environment, handoff).find(|incident| incident.closed_by.is_empty());
            ensure(open.is_none() || is_left_to_a_rep(ends, key, session), || {
                format!("{key:?}: left open the case of {handoff:?}")
            })
        })?;
    }
    Ok(())
}

/// Returns true if a resolution of the session found that a rep has worked on the case since the closing was first attempted.
fn is_left_to_a_rep(ends: &FinalState, of: &EventKey, session: &str) -> bool {
    ends.announced.iter().any(|outcome| {
        let same = outcome.json["organization_id"] == of.organization_id.as_str()
            && outcome.json["data"]["session_id"] == session;
        same && outcome.warns_of("close_unconfirmed")
    })
}

/// A resolution published while its handoff is unfinished waits for it, whether the handoff is in its organization's queue,
/// in flight or in a retry queue.
fn awaited(world: &World, ends: &FinalState, content: &Content) -> Result<(), String> {
    let Content::Resolution { key, session, closes: true, .. } = content else { return Ok(()) };
    let is_told = !world.lost && world.scene.kept_everything() && !world.broker.shuffles;
    if !is_told || ends.answer(key).is_none() {
        return Ok(());
    }
    let copies = world.publications.iter().filter(|publication| publication.content == *content);
    let at = copies.map(|copy| copy.at).min().unwrap_or_default();
    for publication in &world.publications {
        let Content::Handoff { key: handoff, session: opened, .. } = &publication.content else { continue };
        if handoff.organization_id != key.organization_id || opened != session {
            continue;
        }
        let moved = world.broker.look(|state| state.notes.forwarded.get(handoff.event_id.as_str()).copied());
        let under_way = moved.is_some_and(|moved| moved < at) && ends.outcomes(handoff).all(|one| one.at > at);
        if !under_way {
            continue;
        }
        // Compares decisions, not announcements: an outcome that the broker refuses is announced late.
        let decided = |key| world.cloud.ledger.decided(key);
        let waited_for = decided(handoff).is_none_or(|(first, _)| decided(key).is_some_and(|(_, last)| first <= last));
        ensure(waited_for, || format!("{key:?}: answered before {handoff:?}"))?;
    }
    Ok(())
}

/// The events of a session that met no faults are answered in the order in which they were published.
fn in_order(world: &World, ends: &FinalState) -> Vec<String> {
    let (disconnections, put_off) =
        world.broker.look(|state| (state.notes.disconnections, state.notes.put_off.clone()));
    // Two routers may pass a session's events on in another order.
    if disconnections > 0 || world.scene.panics() > 0 || world.owners.is_some() {
        return Vec::new();
    }
    let mut sessions: BTreeMap<_, Vec<(Duration, &EventKey)>> = BTreeMap::new();
    for publication in &world.publications {
        if let Content::Handoff { key, session, .. } | Content::Resolution { key, session, .. } = &publication.content {
            sessions.entry((&key.organization_id, session)).or_default().push((publication.at, key));
        }
    }
    let mut broken = Vec::new();
    for (session, mut events) in sessions {
        if events.iter().any(|(_, key)| put_off.contains_key(key.event_id.as_str())) {
            continue;
        }
        events.sort();
        let mut last = Duration::ZERO;
        let mut seen = BTreeSet::new();
        for (_, key) in events.into_iter().filter(|(_, key)| seen.insert(*key)) {
            let at = ends.outcomes(key).map(|outcome| outcome.at).min().unwrap_or(last);
            if at < last {
                broken.push(format!("{session:?}: {key:?} was answered before an earlier event"));
            }
            last = last.max(at);
        }
    }
    broken
}

/// No event is given up for having waited: waiting spends neither attempts nor age.
fn waiting_costs_nothing(world: &World, ends: &FinalState, content: &Content) -> Result<(), String> {
    for key in content.keys() {
        for outcome in ends.outcomes(&key).filter(|outcome| outcome.reason() == Some("retries_exhausted")) {
            if outcome.error().is_some_and(|error| error.contains("the worker died")) || world.scene.panics() > 0 {
                continue;
            }
            let asked = world.cloud.asked(&key, |asked| *asked);
            if content.cursed().is_some() || !matches!(content, Content::Handoff { .. }) {
                continue;
            }
            let failed = asked.failed.filter(|failed| *failed <= outcome.at);
            let Some(failed) = failed else { return Err(format!("{key:?}: given up without a failure")) };
            let delayed = world.broker.look(|state| state.notes.delayed.get(key.event_id.as_str()).cloned());
            let delayed = delayed.unwrap_or_default();
            let aged = world.cloud.spans.aged(&key.organization_id, failed..outcome.at, &delayed);
            ensure(aged + MOMENT >= world.rules.policy.max_age, || {
                format!("{key:?}: given up at an age of at most {aged:?}")
            })?;
        }
    }
    Ok(())
}

/// An event that ends the process or makes it panic is dead-lettered for that reason, and no other event is.
fn found_out(world: &World, ends: &FinalState, content: &Content) -> Result<(), String> {
    for key in content.keys() {
        let given_up_for =
            |words: &str| ends.outcomes(&key).filter_map(Announced::error).any(|text| text.contains(words));
        let (deadly, panics) = (given_up_for("the worker died"), given_up_for("the worker panicked"));
        let curse = content.cursed().map(|(_, curse)| curse);
        let kills = curse == Some(Poison::Kills);
        // A death that the store could not record is not counted, and a record that the store could not return is not considered.
        // A panic in between is another end of an attempt and clears the suspicion.
        let is_counted = !world.lost && world.scene.kept_everything();
        ensure(kills || !deadly || !is_counted, || format!("{key:?}: given up for deaths it did not cause"))?;
        ensure(kills || !ends.was_too_often_delivered(&key), || format!("{key:?}: delivered too often"))?;
        ensure(curse != Some(Poison::Panics) || panics, || format!("{key:?}: not given up although it panics"))?;
        let deaths = world.cloud.asked(&key, |asked| asked.kills.1);
        ensure(deaths <= MOST_DEATHS || !is_counted, || format!("{key:?}: ended the process {deaths} times"))?;
        ensure(curse.is_none() || ends.answer(&key).is_none(), || format!("{key:?}: answered although it is cursed"))?;
    }
    Ok(())
}

/// A message that names no event becomes a dead letter, and nothing else.
fn nameless(world: &World, ends: &FinalState) -> Result<(), String> {
    let bodies = world.publications.iter().filter(|publication| publication.content.keys().is_empty());
    let published = bodies.count();
    let lacks = |letter: &Message, name| letter.envelope.header(name).is_none();
    let is_nameless =
        |letter: &&Message| lacks(letter, "x-handoffd-event-id") || lacks(letter, "x-handoffd-organization-id");
    let dead = ends.dead.iter().filter(is_nameless).count();
    ensure(dead >= published, || format!("{published} messages without an event, {dead} dead letters without an event"))
}

/// State of Dynamics, regardless of the outcomes: one contact per email, no case closed twice, no reopened case closed
/// again.
fn destination_consistent(world: &World) -> Vec<String> {
    let mut broken = Vec::new();
    for (organization, environment) in world.cloud.environments.lock().unwrap().iter() {
        let mut emails = BTreeSet::new();
        for (id, email) in &environment.contacts {
            if !emails.insert(email) {
                broken.push(format!("{organization}: a second contact {id} of {email:?}"));
            }
        }
        for (id, incident) in &environment.incidents {
            let often = incident.closed_by.len() > 1 || incident.closed_again > 0;
            if incident.pulled_back > 0 {
                broken.push(format!("{organization}: {id} was pulled from the queue that a rep chose"));
            }
            if often && !world.lost {
                broken.push(format!("{organization}: {id} was closed again: {incident:?}"));
            }
        }
    }
    broken
}

/// Invariant 5: an organization's events end soon after its own faults end, regardless of the faults of others.
fn organizations_isolated(world: &World, ends: &FinalState) -> Vec<String> {
    let keys = world.publications.iter().flat_map(|publication| publication.content.keys());
    let late =
        |key: &EventKey| TROUBLE_ENDS.max(world.cloud.spans.end(&key.organization_id)) + Duration::from_secs(4 * 3600);
    let delayed = keys.filter(|key| ends.outcomes(key).next().is_some_and(|outcome| outcome.at > late(key)));
    delayed.map(|key| format!("{key:?}: late outcome")).collect()
}

fn of_event<'a>(environment: &'a Environment, key: &'a EventKey) -> impl Iterator<Item = &'a Incident> {
    environment.incidents.values().filter(|incident| incident.event == key.event_id)
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
