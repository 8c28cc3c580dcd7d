//! Sample events, in the order in which they are published, and their required results.
//!
//! The events themselves are in `tests/demo/events`, one file each.

use serde_json::{Value, json};

/// Events that are published together; the next round waits for their outcomes.
pub struct Round {
    /// Subject of the round.
    pub title: &'static str,
    /// Faults of Dynamics in this round: environment and script (`docs/SIMULATOR.md`).
    pub faults: fn() -> Vec<(&'static str, Value)>,
    /// Events of the round.
    pub samples: &'static [Sample],
}

/// Sample event and its required result.
#[derive(Clone, Copy)]
pub struct Sample {
    /// File name in `tests/demo/events`, without `.json`.
    pub name: &'static str,
    /// Required records in Dynamics.
    pub holds: Holds,
    /// Full name of the contact that its case is linked to.
    pub customer: Option<&'static str>,
    /// Number of requests to Dynamics, without token requests.
    pub requests: usize,
    /// Number of attempts.
    pub attempts: u64,
    /// Warning of its outcome.
    pub warning: Option<&'static str>,
    /// Reason for being skipped or dead-lettered.
    pub reason: Option<&'static str>,
}

/// Records in Dynamics that an event requires.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// A case of its own.
    Case,
    /// A live work item of its own.
    WorkItem,
    /// The cases of these samples, closed.
    Closed(&'static [&'static str]),
    /// No new records, because it is a duplicate: the same outcome is published again.
    Before,
    /// No new records; the event is skipped.
    Skipped,
    /// No records; the event is a dead letter.
    DeadLetter,
}

/// Every round.
pub const ROUNDS: &[Round] = &[
    Round {
        title: "handoffs on every channel",
        faults: Vec::new,
        samples: &[
            // Contact lookup, contact creation, case.
            case("email", 3).of("Ann O'Brien"),
            case("phone-anonymous", 1),
            case("phone-voice", 3).of("Cai"),
            case("web-voice", 1),
            case("slack-cloudevent", 3).of("bo@example.com"),
            case("instagram", 1),
            case("messenger", 1),
            case("api", 1),
            case("unheard-of-channel", 1),
            // Case, and a note with the uncut transcript.
            case("long-transcript", 2),
            case("email-too-long", 1).warns("contact_unlinked"),
            work_item("web", 1),
            work_item("sms", 1),
            work_item("whatsapp", 1),
            // The requirements of a stock environment are learned once: no queue lookup, a customer for each case.
            case("stock-first-case", 5).of("Anonymous").warns("placeholder_customer"),
        ],
    },
    Round {
        title: "returning customers; an environment as installed",
        faults: Vec::new,
        samples: &[
            case("returning-customer", 1).of("Ann O'Brien"),
            case("second-handoff", 1).of("Ann O'Brien"),
            case("stock-new-customer", 4).of("Ida Ray"),
            case("stock-anonymous", 2).of("Anonymous").warns("placeholder_customer"),
            work_item("stock-web", 1),
        ],
    },
    Round {
        title: "Dynamics faults: one 503, one lost response, one 429 with Retry-After",
        faults: trouble,
        samples: &[
            case("transient-fault", 2).tried(2),
            // Sent again, answered "duplicate key", read back: one case.
            case("lost-answer", 3).tried(2),
            work_item("throttled", 2),
        ],
    },
    Round {
        title: "events that can't be processed",
        faults: refusal,
        samples: &[
            dead("not-json", "invalid_event", 0),
            dead("no-session", "invalid_event", 0),
            dead("unsupported-event", "unsupported_event", 0),
            dead("unknown-organization", "unknown_organization", 0),
            dead("rejected", "rejected_by_dynamics", 1),
        ],
    },
    Round { title: "duplicate events", faults: Vec::new, samples: &[before("email"), before("same-id-other-body")] },
    Round {
        title: "resolutions",
        faults: Vec::new,
        samples: &[
            closed("resolved", &["email", "second-handoff"], 2),
            closed("webhook-closed", &["slack-cloudevent"], 1),
            // Its refusal of the PATCH is remembered.
            closed("stock-resolved", &["stock-first-case"], 2),
            skipped("not-resolved", "not_resolved", 0),
            skipped("resolved-live-work-item", "live_work_item", 0),
            skipped("resolved-by-meta", "incident_not_found", 1),
            // Waits for its handoff first: worker.resolution_wait.
            skipped("resolved-unknown-session", "no_incident", 0),
        ],
    },
    Round {
        title: "resolutions of closed cases",
        faults: Vec::new,
        samples: &[
            skipped("resolved-again", "already_closed", 0),
            closed("stock-resolved-next", &["stock-new-customer"], 1),
        ],
    },
];

/// Exact numbers of rows at the end, by environment and table.
pub const ROWS: &[(&str, &str, usize)] = &[
    // Three emails new to Dynamics.
    ("acme", "contacts", 3),
    // The uncut transcript.
    ("acme", "annotations", 1),
    // One new customer, one placeholder.
    ("globex", "contacts", 2),
    ("globex", "annotations", 0),
];

fn trouble() -> Vec<(&'static str, Value)> {
    vec![
        ("acme", json!({"operation": "incidents.create", "containing": "busy just now", "fault": {"status": 503}})),
        ("acme", json!({"operation": "incidents.create", "containing": "is lost", "fault": "reset_after_commit"})),
        (
            "globex",
            json!({"operation": "*.create", "containing": "throttles", "fault": {"status": 429, "retry_after": 1}}),
        ),
    ]
}

fn refusal() -> Vec<(&'static str, Value)> {
    let message = "The plug-in Acme.CaseGuard refuses cases without a product.";
    let fault = json!({"status": 400, "code": "0x80040265", "message": message});
    vec![("acme", json!({"operation": "incidents.create", "containing": "A plug-in", "times": null, "fault": fault}))]
}

impl Sample {
    const fn new(name: &'static str, holds: Holds, requests: usize) -> Self {
        Self { name, holds, customer: None, requests, attempts: 1, warning: None, reason: None }
    }

    const fn warns(self, warning: &'static str) -> Self {
        Self { warning: Some(warning), ..self }
    }

    const fn of(self, customer: &'static str) -> Self {
        Self { customer: Some(customer), ..self }
    }

    const fn tried(self, attempts: u64) -> Self {
        Self { attempts, ..self }
    }

    /// Required status of its outcome.
    pub fn status(&self) -> &'static str {
        match self.holds {
            Holds::Case | Holds::WorkItem | Holds::Closed(_) | Holds::Before => "succeeded",
            Holds::Skipped => "skipped",
            Holds::DeadLetter => "failed",
        }
    }
}

const fn case(name: &'static str, requests: usize) -> Sample {
    Sample::new(name, Holds::Case, requests)
}

const fn work_item(name: &'static str, requests: usize) -> Sample {
    Sample::new(name, Holds::WorkItem, requests)
}

const fn closed(name: &'static str, cases: &'static [&'static str], requests: usize) -> Sample {
    Sample::new(name, Holds::Closed(cases), requests)
}

const fn before(name: &'static str) -> Sample {
    Sample::new(name, Holds::Before, 0)
}

const fn skipped(name: &'static str, reason: &'static str, requests: usize) -> Sample {
    Sample { reason: Some(reason), ..Sample::new(name, Holds::Skipped, requests) }
}

const fn dead(name: &'static str, reason: &'static str, requests: usize) -> Sample {
    Sample { reason: Some(reason), ..Sample::new(name, Holds::DeadLetter, requests) }
}
