//! All features are run with marked values, and every output is searched for them: customers' texts, secrets, tokens.

use std::fmt::Write;

use lapin::types::AMQPValue;
use lapin::{BasicProperties, message::Delivery};
use serde_json::json;
use unicode_normalization::UnicodeNormalization;

use crate::support::broker::eventually;
use crate::support::bus::{headers, properties};
use crate::support::collector::Collector;
use crate::support::event::{Event, handoff, resolved};
use crate::support::rig::{Rig, rig};
use crate::support::simulator::SECRET;
use crate::support::worker::http;

const HTTP_TOKEN: &str = "marked-http-token-5b1c";
const ACCESS_TOKEN: &str = "marked-access-token-77aa";
const BROKER_PASSWORD: &str = "marked-broker-password-c0de";
/// 32 bytes in base64: `marked-encryption-key-0123456789`.
const ENCRYPTION_KEY: &str = "bWFya2VkLWVuY3J5cHRpb24ta2V5LTAxMjM0NTY3ODk=";

/// Paths that operators and monitors may request; missing ones respond too.
const PATHS: &[&str] = &[
    "/",
    "/livez",
    "/readyz",
    "/metrics",
    "/api/v1/outcomes",
    "/api/v1/outcomes?limit=1",
    "/api/v1/dead-letters",
    "/api/v1/organizations",
    "/api/v1/queues",
    "/api/v1/events",
    "/api/v1/status",
    "/api/v1/audit",
    "/api/v1/workers",
    "/api/v1/version",
    "/api/v1/openapi.json",
    "/find",
    "/events",
    "/dead-letters",
    "/organizations",
    "/activity",
    "/light",
    "/nowhere",
];

/// Everything that was output, by source.
struct Told(Vec<(String, String)>);

impl Told {
    fn by(&mut self, place: &str, text: impl Into<String>) {
        self.0.push((place.to_owned(), text.into()));
    }

    async fn by_command(&mut self, rig: &Rig, words: &[&str]) {
        let output = rig.worker().command(words).await;
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!text.is_empty(), "{words:?} has no output: {}", output.status);
        self.by(&words.join(" "), text);
    }

    async fn by_http(&mut self, rig: &Rig, events: &[Event]) {
        let address = rig.worker().address().unwrap();
        let about = |event: &Event| {
            let (id, session) = (event.id(), event.session());
            let api = [format!("outcomes/org_acme/{id}"), format!("why/{id}"), format!("why/{session}")];
            let page = [format!("/event?organization=org_acme&id={id}"), format!("/find?id={session}")];
            api.map(|path| format!("/api/v1/{path}")).into_iter().chain(page)
        };
        for path in PATHS.iter().map(|path| (*path).to_owned()).chain(events.iter().flat_map(about)) {
            // A wrong token is answered too, but not often.
            let wrong = (path == "/" || path == "/nowhere").then_some("another");
            for token in [Some(HTTP_TOKEN), wrong].into_iter().flatten() {
                let answer = http().get(format!("http://{address}{path}")).bearer_auth(token).send().await.unwrap();
                let heads = format!("{:?}", answer.headers());
                self.by(&format!("GET {path}"), heads + answer.text().await.unwrap().as_str());
            }
        }
    }

    /// Saves an organization with a marked secret and requests it.
    async fn by_saving(&mut self, rig: &Rig) {
        let url = format!("http://{}/api/v1/organizations/org_marked", rig.worker().address().unwrap());
        let document = json!({
            "organization_id": "org_marked",
            "environment_url": rig.crm.url(),
            "tenant_id": "11111111-1111-1111-1111-111111111111",
            "client_id": "22222222-2222-2222-2222-222222222222",
            "client_secret": SECRET,
        });
        for body in [document.to_string(), format!("{{ \"client_secret\": \"{SECRET}\", "), json!([SECRET]).to_string()]
        {
            let saved = http().put(&url).bearer_auth(HTTP_TOKEN).header("content-type", "application/json").body(body);
            let answer = saved.send().await.unwrap();
            self.by("PUT of an organization", answer.text().await.unwrap());
        }
        let tested = http().post(format!("{url}/test")).bearer_auth(HTTP_TOKEN).send().await.unwrap();
        self.by("POST …/test", tested.text().await.unwrap());
        let shown = http().get(&url).bearer_auth(HTTP_TOKEN).send().await.unwrap();
        self.by("GET of an organization", shown.text().await.unwrap());
    }

    fn by_headers(&mut self, place: &str, delivery: &Delivery, event: &Event) {
        // The publisher's own headers are exempt; everything else is the worker's.
        let ours = |properties: &BasicProperties| {
            let table = properties.headers().clone().unwrap_or_default();
            table.inner().iter().fold(String::new(), |mut text, (name, value)| {
                match value {
                    AMQPValue::LongString(value) => writeln!(text, "{name}: {value}").unwrap(),
                    other => writeln!(text, "{name}: {other:?}").unwrap(),
                }
                text
            })
        };
        let text = ours(&delivery.properties);
        assert!(text.contains("x-handoffd-"), "{place} of {}: {text}", event.id());
        self.by(place, text);
    }

    /// Searches in any case, for the text as it is and as JSON, URLs, base64 and debug output write it.
    fn holds_none_of(&self, marked: &[String]) {
        for (place, text) in &self.0 {
            let text = text.to_lowercase();
            for mark in marked {
                for written in spellings(mark) {
                    let at = text.find(&written);
                    assert!(
                        at.is_none(),
                        "{place} holds {written:?}: …{}",
                        &text[at.unwrap_or(0)..].chars().take(200).collect::<String>()
                    );
                }
            }
        }
    }
}

fn spellings(mark: &str) -> Vec<String> {
    use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
    let json = serde_json::to_string(mark).unwrap();
    let form: String = url::form_urlencoded::byte_serialize(mark.as_bytes()).collect();
    let [percent, utf16, entities] =
        [percent, utf16, entity].map(|escape| mark.chars().map(escape).collect::<String>());
    let composed: String = mark.nfc().collect();
    let bytes = format!("{:?}", mark.as_bytes());
    let mut all: Vec<String> =
        [mark, json.trim_matches('"'), &form, &percent, &utf16, &entities, &composed, &bytes[1..bytes.len() - 1]]
            .iter()
            .map(|it| it.to_lowercase())
            .collect();
    // The position of the text within an encoded value is unknown: only its own encoding is searched for.
    all.push(STANDARD_NO_PAD.encode(mark).to_lowercase());
    all.dedup();
    all
}

fn utf16(character: char) -> String {
    let escaped: Vec<String> =
        character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect();
    escaped.concat()
}

fn entity(character: char) -> String {
    format!("&#x{:x};", u32::from(character))
}

fn percent(character: char) -> String {
    percent_encoding::utf8_percent_encode(&character.to_string(), percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Handoffs with texts in Chinese, in Arabic and with combining marks.
fn foreign_events() -> Vec<Event> {
    let events = (0..3).map(|_| {
        let said = json!([
            { "sender": "customer", "name": "Jose\u{301} Nun\u{303}ez", "text": "Se me cobro\u{301} dos veces, sen\u{303}or" },
            { "sender": "agent", "name": "محمد", "text": "我的订单被重复扣款了" },
        ]);
        let event = handoff("email").with("/data/customer/name", "王小明").with("/data/transcript", said);
        event.with("/data/summary", "تم خصم المبلغ مرتين")
    });
    events.collect()
}

/// Successes of every kind, a retry, refusals that quote the customer and the secrets, messages that are not events,
/// and duplicates.
async fn everything(rig: &Rig) -> Vec<Event> {
    let token = json!({ "access_token": ACCESS_TOKEN, "expires_in": 3600 }).to_string();
    rig.crm.fault(&json!({ "operation": "token", "fault": { "status": 200, "body": token } }));
    let (mail, chat) = (handoff("email"), handoff("web"));
    rig.hand_off(&mail).await;
    rig.hand_off(&chat).await;
    rig.process(&resolved(mail.session())).await;
    rig.bus.publish(&mail.clone().with("/data/summary", "Another marked summary of the same key")).await;
    rig.bus.outcomes(mail.id(), 2).await;

    let refused = handoff("email");
    let customer = &refused.0["data"]["customer"];
    let quote = format!(
        "Cannot save {} <{}>, {}: {} (Authorization: Bearer {ACCESS_TOKEN})",
        customer["name"].as_str().unwrap(),
        refused.email(),
        customer["phone"].as_str().unwrap(),
        refused.0["data"]["summary"].as_str().unwrap(),
    );
    // The first refusal may be temporary, the later ones are permanent.
    rig.crm.fault(&json!({ "operation": "incidents.create", "times": 1, "fault": { "status": 503, "body": format!("<html>{quote}</html>") } }));
    rig.crm.refuse("incidents.create", 1, 400, "0x80040265", &quote);
    rig.process(&refused).await;
    let foreign = foreign_events();
    for (event, escape) in foreign.iter().zip([utf16, entity, percent]) {
        let data = &event.0["data"];
        let said = ["name", "text"].map(|key| [&data["transcript"][0][key], &data["transcript"][1][key]]);
        let quoted = [[&data["customer"]["name"], &data["summary"]], said[0], said[1]].concat();
        let escaped: Vec<String> =
            quoted.into_iter().map(|text| text.as_str().unwrap().chars().map(escape).collect()).collect();
        rig.crm.refuse("incidents.create", 1, 400, "0x80040265", &format!("Refused: {}", escaped.join(" and ")));
        rig.process(event).await;
    }
    let wrong = handoff("email")
        .with("/data/transcript", json!([{ "sender": "customer", "text": 5, "name": "Marked Transcript Name" }]));
    rig.process(&wrong).await;
    let strange = handoff("email").with("/event", "session.marked");
    rig.bus.publish_as("session.handoff.email", &strange.body(), properties(&strange)).await;
    rig.bus.outcome(strange.id()).await;
    let torn = format!(
        "{{ \"data\": {{ \"customer\": {{ \"name\": \"{}\"",
        chat.0["data"]["customer"]["name"].as_str().unwrap()
    );
    rig.bus.publish_as("session.handoff.email", torn.as_bytes(), BasicProperties::default()).await;
    rig.bus.waiting(&rig.files.dead_letter_queue(), 7).await;

    rig.crm.environment().revoke_tokens();
    let quoted =
        json!({ "error": "invalid_client", "error_description": format!("AADSTS7000215: client_secret={SECRET}") });
    rig.crm.fault(&json!({ "operation": "token", "fault": { "status": 401, "body": quoted.to_string() } }));
    let held = handoff("email");
    let context = headers(&[("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]);
    rig.bus.publish_as(&held.routing_key(), &held.body(), properties(&held).with_headers(context)).await;
    rig.bus.outcome(held.id()).await;
    [vec![mail, chat, refused], foreign, vec![wrong, strange, held]].concat()
}

#[tokio::test]
async fn no_output_contains_a_customers_text_or_a_secret() {
    let collector = Collector::start().await;
    let mut rig = rig()
        .set("tracing", "otlp_endpoint", collector.endpoint.as_str())
        .set("http", "token", HTTP_TOKEN)
        .set("organizations", "encryption_key", ENCRYPTION_KEY)
        .set("retry", "in_process", 1)
        // Everything, of every library.
        .set("log", "level", "trace")
        .lay_out()
        .await;
    rig.start_worker("worker").ready().await;
    let mut events = everything(&rig).await;
    let mut outputs = Told(Vec::new());
    outputs.by_saving(&rig).await;
    outputs.by_http(&rig, &events).await;
    for words in [
        &["outcomes", "list"][..],
        &["outcomes", "list", "--json"],
        &["outcomes", "show", events[2].id()],
        &["outcomes", "show", events[2].id(), "--json"],
        &["dead-letters", "list"],
        &["dead-letters", "list", "--json"],
        &["dead-letters", "replay", "--all", "--dry-run"],
        &["config", "show"],
        &["config", "check"],
        &["org", "list"],
        &["org", "test", "org_acme"],
        &["health", "--ready"],
        &["status"],
        &["status", "--json"],
        &["workers", "list"],
        &["why", events[2].id()],
        &["why", events[3].id(), "--json"],
    ] {
        outputs.by_command(&rig, words).await;
    }
    rig.stop_workers().await;

    // The same again as text, at the level with the most output of libraries.
    rig.files.set("log", "format", "text");
    rig.files.set("log", "level", "trace,handoffd=trace");
    rig.start_worker("worker").ready().await;
    rig.crm.refuse("incidents.create", 100, 503, "", "Not now.");
    let late = handoff("email");
    rig.bus.publish(&late).await;
    rig.awaits("transient").await;
    rig.stop_workers().await;
    eventually("its copy in a retry queue", async || rig.bus.unfinished().await > 0).await;
    let copy = rig.bus.take(&rig.files.work_queue()).await;
    outputs.by_headers("a copy that comes back from a retry queue", &copy, &late);
    for event in &events[2..8] {
        outputs.by_headers("a dead letter", &rig.bus.dead_letter().await, event);
    }
    events.push(late);

    rig.files.set("broker", "url", wrong_password(rig.files.get("broker", "url").as_str().unwrap()));
    let refused = rig.start_worker("refused");
    eventually("a broker that refuses", async || refused.log().contains("refuses the user or password")).await;
    outputs.by_command(&rig, &["config", "show"]).await;
    outputs.by_command(&rig, &["dead-letters", "list"]).await;
    rig.stop_workers().await;

    outputs.by("the outcomes", rig.bus.seen());
    outputs.by("the traces", collector.seen());
    outputs.by("the logs", rig.logs());
    let mut marked = rig.bus.private_texts();
    marked.push("Marked Transcript Name".to_owned());
    marked.extend([SECRET, HTTP_TOKEN, ACCESS_TOKEN, BROKER_PASSWORD, ENCRYPTION_KEY].map(str::to_owned));
    assert!(marked.len() > 30 && outputs.0.len() > 40, "{} marks, {} places", marked.len(), outputs.0.len());
    outputs.holds_none_of(&marked);
}

fn wrong_password(url: &str) -> String {
    let mut url: url::Url = url.parse().unwrap();
    url.set_password(Some(BROKER_PASSWORD)).unwrap();
    url.into()
}

mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "a log holds")]
    fn a_mark_is_found_in_any_spelling() {
        let outputs =
            Told(vec![("a log".to_owned(), "GET ?$filter=emailaddress1 eq 'ANN%2Bvip%40example%2Ecom'".to_owned())]);
        outputs.holds_none_of(&["ann+vip@example.com".to_owned()]);
    }
}
