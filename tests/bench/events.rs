//! The events: handoffs of customers that Dynamics does not know.

use serde_json::json;

/// The body of handoff number `n`: about a thousand bytes, four messages.
pub fn handoff(n: u64) -> Vec<u8> {
    let message =
        |sender: &str, text: &str| json!({ "timestamp": "2026-11-22T10:11:02Z", "sender": sender, "text": text });
    let body = json!({
        "event": "session.handoff",
        "event_id": format!("evt_bench_{n}"),
        "organization_id": "org_bench",
        "timestamp": "2026-11-22T10:15:00Z",
        "data": {
            "session_id": format!("ses_bench_{n}"),
            "channel": "email",
            "summary": "Customer was charged twice for an order and asks for one of the charges back.",
            "classification": "Billing",
            "sentiment": "negative",
            "customer": { "name": format!("Customer Number{n}"), "email": format!("customer{n}@example.com"), "phone": "+14155550100" },
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
