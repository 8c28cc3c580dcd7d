//! Dead letters on the operators' page, as a browser requests them: groups, pages, selections, files, the editor.

use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use crate::dead_letter_commands::desk::{Dead, entries, ids, letters};
use crate::support::broker::eventually;
use crate::support::event::handoff;
use crate::support::interface::Api;
use crate::support::rig::rig;

async fn page(api: &Api, path: &str) -> String {
    let answer = api.request(Method::GET, path).send().await.expect("an answer");
    let (status, text) = (answer.status(), answer.text().await.expect("a page"));
    assert_eq!(status, StatusCode::OK, "{text}");
    text
}

async fn submit(api: &Api, path: &str, pairs: &[(&str, &str)]) -> (StatusCode, String, Option<String>) {
    let form = Serializer::new(String::new()).extend_pairs(pairs).finish();
    let request = api.request(Method::POST, path).body(form);
    let answer = request.header("content-type", "application/x-www-form-urlencoded").send().await.expect("an answer");
    let place = answer.headers().get(header::LOCATION).map(|place| place.to_str().expect("text").to_owned());
    (answer.status(), answer.text().await.expect("a page"), place)
}

/// Waits for the end of a job whose course is at this place.
async fn course(api: &Api, place: &str, expected: &str) -> String {
    let mut shown = String::new();
    eventually(expected, async || {
        shown = page(api, place).await;
        shown.contains(expected)
    })
    .await;
    shown
}

#[tokio::test]
async fn foreign_and_unreadable_letters_are_a_group_that_can_be_discarded() {
    let rig = rig().start().await;
    let api = Api::of(&rig);
    let kept = Dead::new().bury(&rig).await;
    for body in ["{ not json", "\"neither\""] {
        rig.bus.put(&rig.files.dead_letter_queue(), body.as_bytes(), lapin::BasicProperties::default()).await;
    }
    let groups = api.get("/api/v1/dead-letters/groups").await;
    assert_eq!((groups["total"].as_u64(), groups["beyond"].as_u64()), (Some(3), Some(0)), "{groups}");
    let foreign = &groups["groups"][0];
    assert_eq!(
        (&foreign["count"], &foreign["reason"], &foreign["organization_id"]),
        (&json!(2), &Value::Null, &Value::Null)
    );
    let handle = foreign["group"].as_str().expect("a handle");
    assert!(page(&api, "/dead-letters").await.contains(&format!("act=discard&amp;group={handle}")));
    assert!(page(&api, &format!("/dead-letters?group={handle}")).await.contains("2 dead letters, newest first"));
    assert_eq!(entries(&rig, &["list", "--group", handle]).await.len(), 2);
    let discarded = api.post("/api/v1/dead-letters/discard", &json!({ "group": handle })).await;
    assert_eq!(discarded.as_array().expect("entries").len(), 2, "{discarded}");
    assert_eq!(ids(&entries(&rig, &["list"]).await), [kept.id()]);
}

#[tokio::test]
async fn letters_are_listed_newest_first_in_pages_that_keep_the_selection() {
    let rig = rig().start().await;
    let api = Api::of(&rig);
    let time = |n: usize| format!("2026-11-22T10:{:02}:{:02}Z", n / 60, n % 60);
    let events: Vec<_> = (0..105).map(|_| handoff("email").without("/data/transcript")).collect();
    for (n, event) in events.iter().enumerate() {
        Dead::of(event.clone()).at(&time(n)).bury(&rig).await;
    }
    let first = page(&api, "/dead-letters").await;
    assert!(first.contains("105 dead letters, newest first") && first.contains("1 to 100 of 105"), "{first}");
    let place = |id: &str| first.find(&format!(">{id}<")).unwrap_or_else(|| panic!("{id} is not in {first}"));
    assert!(place(events[104].id()) < place(events[103].id()), "newest first");
    assert!(!first.contains(events[4].id()));
    let second = page(&api, "/dead-letters?page=2").await;
    assert!(
        second.contains(events[4].id()) && !second.contains(events[5].id()) && second.contains("101 to 105 of 105")
    );

    // One selected on each page.
    let all = entries(&rig, &["list"]).await;
    let [old, new] = [letters(&all)[0].to_owned(), letters(&all)[104].to_owned()];
    let kept = page(&api, &format!("/dead-letters?picking=yes&page=2&pick={new}")).await;
    assert!(kept.contains(&format!(r#"<input type="hidden" name="pick" value="{new}">"#)), "{kept}");
    let asked = format!("/dead-letters/confirm?picking=yes&organization=org_acme&act=discard&pick={new}&pick={old}");
    let confirm = page(&api, &asked).await;
    assert!(confirm.contains("Discard 2 dead letters?"), "{confirm}");
    let none = "/dead-letters/confirm?picking=yes&organization=org_acme&act=discard";
    let refused = api.request(Method::GET, none).send().await.expect("an answer");
    assert_eq!(refused.status(), 400, "a filter is no selection");
    let form = [("act", "discard"), ("letter", &new), ("letter", &old)];
    let (status, _, place) = submit(&api, "/dead-letters/act", &form).await;
    let place = place.unwrap_or_else(|| panic!("{status}"));
    course(&api, &place, "2 dead letters discarded").await;
    assert_eq!(rig.bus.dead_letters().await, 103);
    let listed = page(&api, "/dead-letters").await;
    assert!(listed.contains("Recent replays and discards") && listed.contains(&place), "{listed}");
    for wrong in ["page=0", "page=x", "page=1001", "format=xml"] {
        let path = if wrong.starts_with("page") { "/dead-letters" } else { "/dead-letters/export" };
        let answer = api.request(Method::GET, &format!("{path}?{wrong}")).send().await.expect("an answer");
        assert_eq!(answer.status(), 400, "{wrong}");
    }
}

#[tokio::test]
async fn letters_are_exported_as_json_and_csv() {
    let rig = rig().start().await;
    let api = Api::of(&rig);
    let event = Dead::new().bury(&rig).await;
    Dead::of(handoff("web").with("/organization_id", "org_other")).bury(&rig).await;
    let file = async |query: &str| {
        let answer =
            api.request(Method::GET, &format!("/dead-letters/export?{query}")).send().await.expect("an answer");
        let place = answer.headers()["content-disposition"].to_str().expect("text").to_owned();
        (place, answer.text().await.expect("a file"))
    };
    let (place, exported) = file("format=csv&organization=org_acme").await;
    assert_eq!(place, "attachment; filename=\"dead-letters.csv\"");
    let lines: Vec<&str> = exported.split_terminator("\r\n").collect();
    assert_eq!(lines[0], "letter_id,event_id,organization_id,session_id,reason,error,dead_at");
    assert_eq!(lines.len(), 2, "{exported}");
    let rest = format!(",{},org_acme,{},rejected_by_dynamics,", event.id(), event.session());
    assert!(lines[1].starts_with("dl_") && lines[1].contains(&rest), "{exported}");
    let (place, exported) = file("format=json").await;
    assert_eq!(place, "attachment; filename=\"dead-letters.json\"");
    let exported: Value = serde_json::from_str(&exported).expect("JSON");
    assert_eq!(exported.as_array().expect("entries"), &entries(&rig, &["list"]).await);
    assert!(!exported.to_string().contains(event.email()));
}

#[tokio::test]
async fn a_letter_is_edited_checked_and_replayed() {
    let rig = rig().start().await;
    let api = Api::of(&rig);
    let event = handoff("email").with("/data/channel", 7);
    Dead::of(event.clone()).reason("invalid_event").bury(&rig).await;
    let letter = letters(&entries(&rig, &["list"]).await)[0].to_owned();
    let shown = page(&api, &format!("/dead-letters/edit?letter={letter}")).await;
    assert!(shown.contains("<textarea") && shown.contains(event.session()), "{shown}");
    let edited = event.clone().with("/data/channel", "email").0.to_string();
    for (body, act, expected) in [
        ("{ not json", "replay", "Not replayed: "),
        (&*event.0.to_string(), "replay", "Not replayed: "),
        (&*event.clone().with("/data/channel", "").0.to_string(), "replay", "data.channel"),
        (&*edited, "check", "The edited event is valid. Nothing was changed yet."),
    ] {
        let (status, shown, _) =
            submit(&api, "/dead-letters/edit", &[("letter", &letter), ("body", body), ("act", act)]).await;
        assert_eq!(status, StatusCode::OK);
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    assert_eq!(rig.bus.dead_letters().await, 1, "nothing was changed");
    let form = [("letter", &*letter), ("body", &*edited), ("act", "replay")];
    let (status, shown, place) = submit(&api, "/dead-letters/edit", &form).await;
    let place = place.unwrap_or_else(|| panic!("{status}: {shown}"));
    assert_eq!(rig.bus.outcome(event.id()).await.routing_key, "dynamics365.handoff.succeeded");
    let course = course(&api, &place, "succeeded").await;
    assert!(course.contains(r#"<dt>Succeeded</dt><dd><span class="value">1</span>"#), "{course}");
    let recorded = api.get("/api/v1/audit").await;
    let recorded = recorded["entries"].as_array().expect("a list");
    let actions: Vec<_> = recorded.iter().map(|it| it["action"].clone()).collect();
    assert_eq!(actions, ["replay", "read_text"], "{recorded:?}");
    let gone =
        api.request(Method::GET, &format!("/dead-letters/edit?letter={letter}")).send().await.expect("an answer");
    assert_eq!(gone.status(), 404);
}
