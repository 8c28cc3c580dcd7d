//! Events of the benchmark: handoffs of customers that Dynamics does not have yet.

use serde_json::json;

/// Measured organization.
pub const ORGANIZATION: &str = "org_bench";
/// Troubled organization.
pub const TROUBLED: &str = "org_troubled";

/// Body of handoff number `n`: about a thousand bytes, four messages.
pub fn handoff(n: u64) -> Vec<u8> {
    by("email", ORGANIZATION, n)
}

/// Body of a handoff of any organization, on mixed channels: three incidents for two live work items.
pub fn mixed(organization: &str, n: u64) -> Vec<u8> {
    let channel = match n % 5 {
        0 => "email",
        1 => "web",
        2 => "phone",
        3 => "whatsapp",
        _ => "instagram",
    };
    by(channel, organization, n)
}

fn by(channel: &str, organization: &str, n: u64) -> Vec<u8> {
    let message =
        |sender: &str, text: &str| json!({ "timestamp": "2026-11-22T10:11:02Z", "sender": sender, "text": text });
    let body = json!({
        "event": "session.handoff",
        "event_id": format!("evt_{organization}_{n}"),
        "organization_id": organization,
        "timestamp": "2026-11-22T10:15:00Z",
        "data": {
            "session_id": format!("ses_{organization}_{n}"),
            "channel": channel,
            "summary": "Customer was charged twice for an order and asks for one of the charges back.",
            "classification": "Billing",
            "sentiment": "negative",
            "customer": { "name": format!("Customer Number{n}"), "email": format!("customer{n}@{organization}.example.com"), "phone": "+14155550100" },
            "transcript": [
                message("customer", "I was charged twice for my order, and nobody has answered my last two emails about it."),
                message("ai", "I am sorry to hear that. Let me check that for you. Could you tell me the order's number?"),
                message("customer", "It is 1182. I ordered it last Tuesday, and paid by card."),
                message("ai", "Thank you. I see two charges and hand you over to a colleague who can give one back."),
            ],
        },
    });
    body.to_string().into_bytes()
}
