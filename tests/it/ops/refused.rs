//! Requests that are refused: bodies of another form, and searches beyond the line.

use serde_json::json;

use super::rig::{Rig, problem};

#[tokio::test]
async fn reports_of_commands_are_objects() {
    let rig = Rig::start(Vec::new()).await;
    for (path, body) in [
        ("/api/v1/audit", json!(["pause", "org_acme", 1])),
        ("/api/v1/events/discarded", json!([[]])),
        ("/api/v1/events/discarded", json!({ "events": [["org_acme", "evt_1"]] })),
    ] {
        let sent = rig.client.post(rig.url(path)).header("content-type", "application/json").body(body.to_string());
        assert!(problem(sent.send().await.expect("an answer"), 400).await.contains("expected a JSON object"), "{path}");
    }
    rig.stop().await;
}
