//! Events as OpenCX publishes them, each with its own ids and customer.

use serde_json::{Value, json};
use uuid::Uuid;

/// Event to publish.
#[derive(Clone, Debug)]
pub struct Event(pub Value);

/// Organization of every event, unless it is changed.
pub const ORGANIZATION: &str = "org_acme";

/// Second organization.
pub const ANOTHER_ORGANIZATION: &str = "org_globex";

/// Handoff on this channel, of a new customer.
pub fn handoff(channel: &str) -> Event {
    let mark = Uuid::new_v4().simple().to_string();
    Event(json!({
        "event": "session.handoff",
        "event_id": format!("evt_{mark}"),
        "organization_id": ORGANIZATION,
        "timestamp": "2026-11-22T10:15:00Z",
        "data": {
            "session_id": format!("ses_{mark}"),
            "channel": channel,
            "summary": format!("Was charged twice for order {mark}."),
            "classification": "Billing",
            "sentiment": "negative",
            "customer": {
                "name": format!("Ann{} O'Brien{}", &mark[..8], &mark[8..16]),
                "email": format!("ann.o'brien+{mark}@example.com"),
                "phone": format!("+1415{}", u32::from_str_radix(&mark[..7], 16).unwrap()),
            },
            "transcript": [
                {
                    "timestamp": "2026-11-22T10:11:02Z",
                    "sender": "customer",
                    "name": format!("Ann{}", &mark[..8]),
                    "text": format!("I was charged twice, see {}.", &mark[..12]),
                },
                { "timestamp": "2026-11-22T10:11:05Z", "sender": "ai", "text": format!("Let me check {}.", &mark[..12]) },
            ],
        },
    }))
}

/// Handoff of a customer without any data.
pub fn anonymous(channel: &str) -> Event {
    handoff(channel).without("/data/customer")
}

/// Resolution of this session.
pub fn resolved(session: &str) -> Event {
    Event(json!({
        "event": "session.resolved",
        "event_id": format!("evt_{}", Uuid::new_v4().simple()),
        "organization_id": ORGANIZATION,
        "timestamp": "2026-11-22T11:02:00Z",
        "data": { "session_id": session },
    }))
}

impl Event {
    /// Copy with another value at this JSON pointer (`/data/customer/email`).
    pub fn with(mut self, place: &str, value: impl Into<Value>) -> Self {
        let (parent, name) = place.rsplit_once('/').unwrap();
        self.0.pointer_mut(parent).unwrap()[name] = value.into();
        self
    }

    /// Copy without the value at this JSON pointer.
    pub fn without(mut self, place: &str) -> Self {
        let (parent, name) = place.rsplit_once('/').unwrap();
        self.0.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
        self
    }

    /// Copy under another event id: another event of this session and customer.
    pub fn next(&self) -> Self {
        self.clone().with("/event_id", format!("evt_{}", Uuid::new_v4().simple()))
    }

    /// Another event in another session of this customer.
    pub fn next_session(&self) -> Self {
        self.next().with("/data/session_id", format!("ses_{}", Uuid::new_v4().simple()))
    }

    /// Event id.
    pub fn id(&self) -> &str {
        self.0["event_id"].as_str().unwrap()
    }

    /// Session id.
    pub fn session(&self) -> &str {
        self.0["data"]["session_id"].as_str().unwrap()
    }

    /// Email of the customer.
    pub fn email(&self) -> &str {
        self.0["data"]["customer"]["email"].as_str().unwrap()
    }

    /// Routing key that OpenCX would use.
    pub fn routing_key(&self) -> String {
        let channel = self.0["data"]["channel"].as_str().unwrap_or("unknown").trim().to_lowercase();
        format!("{}.{channel}", self.0["event"].as_str().unwrap_or("session.handoff"))
    }

    /// Body as bytes.
    pub fn body(&self) -> Vec<u8> {
        serde_json::to_vec(&self.0).unwrap()
    }
}

/// Every customer text in this JSON, in any dialect.
pub fn customer_texts(value: &Value) -> Vec<String> {
    const PERSONAL: [&str; 6] = ["name", "email", "phone", "summary", "text", "subject"];
    let mut found = Vec::new();
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    // Shorter texts occur in logs by chance.
                    Value::String(text) if PERSONAL.contains(&name.as_str()) && text.len() >= 8 => {
                        found.push(text.clone());
                    }
                    other => found.extend(customer_texts(other)),
                }
            }
        }
        Value::Array(items) => found.extend(items.iter().flat_map(customer_texts)),
        _ => {}
    }
    found
}
