//! Typical tasks of an operator in an incident.

use thirtyfour::Key;

use super::{PLUG_IN, Scene};
use crate::support::event::handoff;

#[tokio::test]
async fn why_a_session_has_no_case_and_how_it_gets_one() {
    let Some(scene) = Scene::set().await else { return };
    let (browser, id) = (&scene.browser, scene.refused.id());

    browser.go("/").await;
    browser.reads("Running normally").await;
    browser.reads(PLUG_IN).await;
    scene.keeps_to_itself().await;

    // By keyboard alone: `/` focuses the search.
    browser.types("/").await;
    browser.types(scene.refused.session().to_owned() + Key::Enter).await;
    browser.reads("Failed; moved to dead letters").await;
    browser.reads("0x80040265").await;
    browser.reads("A plug-in of the environment refused the record").await;
    scene.keeps_to_itself().await;

    browser.follow("View dead letter").await;
    browser.reads("1 dead letter").await;
    scene.keeps_to_itself().await;
    browser.follow(id).await;
    browser.reads("Contains text that the customer wrote.").await;
    scene.keeps_to_itself().await;
    browser.follow("Show customer text").await;
    browser.reads(scene.refused.0["data"]["summary"].as_str().expect("a summary")).await;

    scene.mend();
    browser.go("/dead-letters").await;
    browser.click("td.choose input").await;
    browser.press("Replay…").await;
    browser.reads("Replay 1 dead letter?").await;
    browser.reads("would be replayed").await;
    assert_eq!(scene.rig.bus.dead_letters().await, 1, "a dry run does nothing");
    browser.press("Replay 1 dead letter").await;
    browser.reads("1 dead letter replayed").await;
    // The result appears by itself.
    browser.reads("succeeded").await;
    assert!(browser.path().await.starts_with("/dead-letters/course"), "a reload does nothing twice");
    browser.follow(id).await;
    browser.reads("Succeeded").await;
    assert_eq!(scene.rig.crm.incidents().len(), 2);

    let output = scene.worker().command(&["outcomes", "show", scene.refused.session()]).await;
    assert!(String::from_utf8_lossy(&output.stdout).contains("status           succeeded"));
    browser.go("/dead-letters").await;
    browser.reads("No dead letters.").await;
    assert_eq!(browser.complaints().await, serde_json::json!([]));
}

#[tokio::test]
async fn an_organization_is_tested_paused_and_resumed_and_a_dead_letter_discarded() {
    let Some(scene) = Scene::set().await else { return };
    let browser = &scene.browser;
    scene.mend();

    browser.go("/organizations").await;
    browser.press("Test").await;
    browser.reads("Entra ID: tenant").await;
    browser.press("Pause").await;
    browser.reads("Paused by an operator").await;
    let event = handoff("email");
    scene.rig.bus.publish(&event).await;
    browser.go("/").await;
    browser.reads("paused by an operator; its events are on hold").await;
    browser.go("/organizations").await;
    browser.press("Resume").await;
    browser.reads("open").await;
    scene.rig.bus.outcome(event.id()).await;
    browser.go(&format!("/find?q={}", event.session())).await;
    browser.reads(&format!("1 event found for {}", event.session())).await;

    browser.go("/dead-letters").await;
    browser.follow("Discard…").await;
    browser.reads("This permanently deletes them.").await;
    browser.press("Discard 1 dead letter").await;
    browser.reads("1 dead letter discarded").await;
    scene.rig.bus.waiting(&scene.rig.files.dead_letter_queue(), 0).await;
}
