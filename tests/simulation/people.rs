//! Activity of people during a run: reps reopen and delete cases and change contacts; an operator replays dead letters.

use std::sync::Arc;
use std::time::Duration;

use handoffd_engine::event::{EventKey, IncidentId, OrganizationId};
use handoffd_engine::ports::bus::headers::{EVENT_ID, OF_A_DEATH, ORGANIZATION_ID, REPLAYED_AT};
use handoffd_engine::workflow::Receipt;
use tokio::time::sleep;

use super::broker::Broker;
use super::checks::announcements;
use super::destination::Destinations;
use super::message::Message;

/// Reps wait this long after an outcome, so that all requests for the case have arrived.
const RESPITE: Duration = Duration::from_secs(600);

/// Acts as a rep within seconds of a step: reopens the case just closed, or moves the case just queued. Answers are lost and
/// workers die meanwhile, so the worker must not blindly repeat steps that may have taken effect.
pub async fn at_once(cloud: Arc<Destinations>, organization: OrganizationId, receipt: Receipt) {
    let scene = &cloud.scene;
    // The worker's clock determines if a case was touched since.
    if !scene.clock_is_right() || !scene.happens(0.2) {
        return;
    }
    scene.sleep_up_to(Duration::from_secs(3)).await;
    let (Receipt::IncidentClosed(incident) | Receipt::IncidentPosted { id: incident, .. }) = receipt else { return };
    cloud.environment(&organization, |environment| {
        let Some(row) = environment.incidents.get_mut(&incident) else { return };
        if matches!(receipt, Receipt::IncidentClosed(_)) && !row.open && !row.reopened {
            scene.log(|| format!("a rep reopens case {incident} at once"));
            row.reopen(scene.elapsed());
        } else if row.open && row.queue_items > 0 {
            scene.log(|| format!("a rep moves case {incident} to another queue"));
            (row.moved, row.modified) = (true, scene.elapsed());
        }
    });
}

/// Acts as reps every few minutes for an hour.
pub async fn reps(broker: Arc<Broker>, cloud: Arc<Destinations>) {
    let contacts = cloud.scene.below(6);
    for _ in 0..15 {
        sleep(Duration::from_secs(240)).await;
        touch_contacts(&cloud, contacts);
        touch_cases(&broker, &cloud);
    }
}

/// Deletes contacts in some runs and changes their emails in others.
fn touch_contacts(cloud: &Destinations, kind: usize) {
    let scene = &cloud.scene;
    for environment in cloud.environments.lock().unwrap().values_mut() {
        if environment.contacts.is_empty() || !scene.happens(0.1) {
            continue;
        }
        let index = scene.below(environment.contacts.len());
        match kind {
            0 => {
                let (id, _) = environment.contacts.remove(index);
                scene.log(|| format!("a rep deletes contact {id}"));
            }
            1 if !environment.contacts[index].1.is_empty() => {
                let (id, email) = &mut environment.contacts[index];
                scene.log(|| format!("a rep gives contact {id} another email"));
                *email = format!("{id}@changed.org");
            }
            _ => {}
        }
    }
}

fn touch_cases(broker: &Broker, cloud: &Destinations) {
    let scene = &cloud.scene;
    let announced = announcements(broker);
    let settled = |organization: &str, event: &str| {
        let of = announced.iter().filter(|outcome| outcome.is_of(organization, event) && !outcome.failed);
        of.map(|outcome| outcome.at).min().is_some_and(|at| at + RESPITE < scene.elapsed())
    };
    for (organization, environment) in cloud.environments.lock().unwrap().iter_mut() {
        let mut deleted: Vec<IncidentId> = Vec::new();
        for (id, incident) in &mut environment.incidents {
            if !settled(organization.as_str(), incident.event.as_str()) {
                continue;
            }
            if scene.happens(0.01) {
                scene.log(|| format!("a rep deletes case {id}"));
                deleted.push(*id);
            }
            let closer = incident.closed_by.last().filter(|_| !incident.open && !incident.reopened);
            if closer.is_some_and(|event| settled(organization.as_str(), event.as_str())) && scene.happens(0.3) {
                scene.log(|| format!("a rep reopens case {id}"));
                incident.reopen(scene.elapsed());
            }
        }
        environment.incidents.retain(|id, _| !deleted.contains(id));
        environment.deleted.extend(deleted);
    }
}

/// Replays dead letters in some runs, whatever their reason, except those of events that end the process.
pub async fn operator(broker: Arc<Broker>, cloud: Arc<Destinations>) {
    let scene = &cloud.scene;
    // Replayed events are recognized by the clock.
    if !scene.happens(0.3) || !scene.clock_is_right() {
        return;
    }
    for _ in 0..15 {
        scene.sleep_up_to(Duration::from_secs(400)).await;
        let letters = broker.look(|state| state.dead.clone());
        let replayable: Vec<_> = letters.into_iter().filter_map(|letter| Some((key(&letter)?, letter))).collect();
        let replayable: Vec<_> = replayable.iter().filter(|(key, _)| !cloud.cursed.contains_key(key)).collect();
        if replayable.is_empty() {
            continue;
        }
        let (key, letter) = replayable[scene.below(replayable.len())];
        scene.log(|| format!("an operator replays {key:?}"));
        let mut message = letter.clone();
        message.envelope.headers.retain(|(name, _)| !OF_A_DEATH.contains(&name.as_str()));
        message.envelope.headers.retain(|(name, _)| name != REPLAYED_AT);
        message.envelope.headers.push((REPLAYED_AT.to_owned(), scene.now().to_string()));
        cloud.ledger.replayed(key);
        broker.publish(message);
    }
}

fn key(letter: &Message) -> Option<EventKey> {
    let header = |name| letter.envelope.header(name);
    let (organization, event) = (header(ORGANIZATION_ID)?, header(EVENT_ID)?);
    Some(EventKey { organization_id: organization.into(), event_id: event.into() })
}
