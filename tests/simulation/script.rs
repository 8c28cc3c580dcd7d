//! Publications of a run: handoffs and resolutions of a few sessions and customers, some duplicated, some malformed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use handoffd_engine::event::{Decoded, Envelope, EventKey, Limits, OrganizationId, Piece, decode};
use handoffd_engine::workflow::{QueueAssignment, Settings, samples};
use serde_json::{Value, json};
use uuid::Uuid;

use super::environment::{Environment, Profile};
use super::message::Message;
use super::scene::RunContext;

/// Message to publish.
pub struct Publication {
    pub at: Duration,
    pub message: Message,
    pub content: Content,
}

/// Content of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    Handoff {
        key: EventKey,
        session: String,
        live: bool,
        long: bool,
        email: Option<String>,
        curse: Option<Poison>,
    },
    Resolution {
        key: EventKey,
        session: String,
        closes: bool,
        named: bool,
    },
    Several {
        keys: Vec<EventKey>,
    },
    Invalid {
        key: Option<EventKey>,
    },
    /// Event of an organization that is not configured.
    Stranger {
        key: EventKey,
    },
}

impl Content {
    /// Returns the events that must have an outcome.
    pub fn keys(&self) -> Vec<EventKey> {
        match self {
            Self::Handoff { key, .. } | Self::Resolution { key, .. } | Self::Stranger { key } => vec![key.clone()],
            Self::Several { keys } => keys.clone(),
            Self::Invalid { key } => key.iter().cloned().collect(),
        }
    }
}

/// Permanent defect of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Poison {
    /// The first request ends the process.
    Kills,
    /// The worker panics at the first request.
    Panics,
}

impl Content {
    /// Returns the event and its curse, if it has one.
    pub fn cursed(&self) -> Option<(EventKey, Poison)> {
        match self {
            Self::Handoff { key, curse: Some(curse), .. } => Some((key.clone(), *curse)),
            _ => None,
        }
    }
}

fn curse(scene: &RunContext) -> Option<Poison> {
    match scene.random() {
        ..0.008 => Some(Poison::Kills),
        ..0.012 => Some(Poison::Panics),
        _ => None,
    }
}

/// Creates the organizations of a run and their environments.
pub fn organizations(
    scene: &RunContext,
) -> (BTreeMap<OrganizationId, Arc<Settings>>, BTreeMap<OrganizationId, Environment>) {
    let names = ["org_a", "org_b", "org_c"].into_iter().take(1 + scene.below(3)).map(OrganizationId::from);
    let of = |id: OrganizationId| {
        let profile = Profile {
            queue_undeclared: scene.happens(0.3),
            customer_required: scene.happens(0.3),
            close_by_action: scene.happens(0.3),
        };
        let environment = Environment { profile, ..Environment::default() };
        ((id.clone(), Arc::new(settings(scene, &id))), (id, environment))
    };
    names.map(of).unzip()
}

fn settings(scene: &RunContext, organization: &OrganizationId) -> Settings {
    Settings {
        organization_id: organization.clone(),
        default_queue_id: scene.happens(0.7).then(|| Uuid::from_u128(4)),
        queue_assignment: if scene.happens(0.2) { QueueAssignment::AddToQueue } else { QueueAssignment::Auto },
        ..samples::settings()
    }
}

/// Returns the times at which further organizations are added.
pub fn added(scene: &RunContext, organizations: &[OrganizationId]) -> BTreeMap<OrganizationId, Duration> {
    let last = organizations.last().filter(|_| organizations.len() > 1 && scene.happens(0.3));
    let at = Duration::from_secs(600).mul_f64(scene.random());
    last.map(|organization| (organization.clone(), at)).into_iter().collect()
}

/// Returns the publications in order of time.
pub fn publications(
    scene: &RunContext,
    organizations: &[OrganizationId],
    added: &BTreeMap<OrganizationId, Duration>,
) -> Vec<Publication> {
    let count = 3 + scene.below(10);
    let mut all: Vec<Publication> = Vec::new();
    for number in 0..count {
        let organization = &organizations[scene.below(organizations.len())];
        let from = added.get(organization).copied().unwrap_or_default();
        // Some of the first messages arrive while the queues are young, some sessions in a burst.
        let span = scene.pick(&[5, 900, 900]);
        let at = from + Duration::from_secs(span).mul_f64(scene.random().powi(2));
        let mut content = content(scene, organization, number);
        let message = message(scene, &content, number);
        if let Content::Several { keys } = &mut content {
            *keys = pieces(organization, &message);
        }
        let again = scene.happens(0.2).then(|| at + Duration::from_secs(1800).mul_f64(scene.random().powi(3)));
        all.extend(again.map(|at| Publication { at, message: reworded(scene, &message), content: content.clone() }));
        all.push(Publication { at, message, content });
    }
    all.sort_by_key(|publication| publication.at);
    all
}

fn content(scene: &RunContext, organization: &OrganizationId, number: usize) -> Content {
    let key = |id: String| EventKey { organization_id: organization.clone(), event_id: id.as_str().into() };
    let session = |scene: &RunContext| format!("ses_{}", scene.below(4));
    let id = format!("evt_{number}");
    match scene.random() {
        ..0.55 => Content::Handoff {
            key: key(id),
            session: session(scene),
            live: scene.happens(0.25),
            long: scene.happens(0.3),
            curse: curse(scene),
            email: scene.happens(0.8).then(|| scene.pick(&["ann@x.org", "Ann@X.org", "bob@x.org"]).to_owned()),
        },
        ..0.87 => Content::Resolution {
            key: key(id),
            session: session(scene),
            closes: scene.happens(0.85),
            named: scene.happens(0.2),
        },
        ..0.92 => Content::Several { keys: vec![key(id); 3] },
        ..0.94 => Content::Stranger { key: EventKey { organization_id: "org_z".into(), event_id: id.as_str().into() } },
        _ => Content::Invalid { key: scene.happens(0.5).then(|| key(id)) },
    }
}

fn message(scene: &RunContext, content: &Content, number: usize) -> Message {
    let body = match content {
        Content::Handoff { key, session, live, long, email, .. } => {
            let line = json!({"sender": "customer", "text": "…"});
            let data = json!({
                "session_id": session,
                "channel": if *live { "web" } else { "email" },
                "customer": {"email": email},
                "transcript": vec![line; if *long { 3 } else { 1 }],
            });
            native("session.handoff", key, &data)
        }
        Content::Resolution { key, session, closes, named } => {
            let meta = named.then(|| json!({"dynamics365_incident_id": Uuid::from_u128(0xdead)}));
            let status = if *closes { "resolved" } else { "not_resolved" };
            native("session.resolved", key, &json!({"session_id": session, "status": status, "meta": meta}))
        }
        Content::Several { keys } => {
            let item =
                |_| json!({"conversation_id": format!("ses_{}", scene.below(4)), "resolution_status": "resolved"});
            let data: Vec<_> = keys.iter().map(item).collect();
            json!({"event": "conversation.closed", "organization_id": keys[0].organization_id, "data": data})
        }
        Content::Stranger { key } => {
            native("session.resolved", key, &json!({"session_id": "ses_z", "status": "resolved"}))
        }
        Content::Invalid { key: Some(key) } => native("session.handoff", key, &json!({"channel": "email"})),
        Content::Invalid { key: None } => json!("no event"),
    };
    let envelope = Envelope {
        content_type: Some("application/json".to_owned()),
        message_id: Some(format!("evt_{number}")),
        headers: Vec::new(),
    };
    Message {
        envelope,
        body: body.to_string().into(),
        routing_key: "session.handoff.email".to_owned(),
        deliveries: 0,
        redelivered: false,
        arrived: Duration::ZERO,
    }
}

/// Rewords a duplicate in some cases: other bytes, same event.
fn reworded(scene: &RunContext, message: &Message) -> Message {
    let mut again = message.clone();
    if scene.happens(0.3) && message.body.starts_with(b"{\"event\":\"session.") {
        again.body = [message.body.as_ref(), b" "].concat().into();
    }
    again
}

/// Returns the keys of an array's conversations once each is a message of its own.
fn pieces(organization: &OrganizationId, message: &Message) -> Vec<EventKey> {
    let limits = Limits { max_event_bytes: 1 << 20 };
    let Ok(Decoded::Split(pieces)) = decode(&message.envelope, &message.body, &limits) else {
        panic!("not an array of several conversations");
    };
    let key =
        |piece: &Piece| EventKey { organization_id: organization.clone(), event_id: piece.message_id.as_str().into() };
    pieces.iter().map(key).collect()
}

fn native(event: &str, key: &EventKey, data: &Value) -> Value {
    json!({
        "event": event,
        "event_id": key.event_id,
        "organization_id": key.organization_id,
        "timestamp": "2026-11-22T10:00:00Z",
        "data": data,
    })
}
