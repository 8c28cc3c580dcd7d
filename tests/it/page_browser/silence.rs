//! A page shows the verdict of now, and that it hears nothing when its worker does not answer.

use serde_json::json;

use super::Scene;
use super::looks::assert_fits;
use crate::support::broker::{eventually, signal};
use crate::support::browser::PHONE;

/// Text of the light in the header, and title of the page.
async fn head(scene: &Scene) -> (String, String) {
    let head = scene.browser.run("return [document.getElementById('light').textContent, document.title]").await;
    let text = |at: usize| head[at].as_str().unwrap_or_default().to_owned();
    (text(0), text(1))
}

/// Waits until light and title show a verdict.
pub async fn shows(scene: &Scene, words: &str) {
    eventually(words, async || {
        let (light, title) = head(scene).await;
        light.starts_with(words) && title.starts_with(words)
    })
    .await;
}

#[tokio::test]
async fn every_page_follows_the_verdict_and_turns_grey_when_its_worker_is_silent() {
    let Some(scene) = Scene::set().await else { return };
    // A page that does not refresh its content.
    scene.browser.go("/find").await;
    shows(&scene, "Running normally").await;
    scene.worker().api("POST", "/organizations/org_acme/pause", None).await;
    shows(&scene, "Degraded").await;
    scene.worker().api("POST", "/organizations/org_acme/resume", None).await;
    shows(&scene, "Running normally").await;

    scene.browser.go("/").await;
    // The page has loaded, its icon included: the driver waits for all that was begun.
    let heard = "return performance.getEntriesByType('resource').filter((it) => it.name.endsWith('/light')).length > 1";
    eventually("two answers", async || scene.browser.run(heard).await == json!(true)).await;
    signal("-STOP", &scene.worker().id());
    shows(&scene, "Unknown").await;
    let (light, _) = head(&scene).await;
    assert!(light.contains("no answer since") && light.ends_with("UTC"), "{light}");
    let band = "return [document.getElementById('light').className, document.querySelector('.band h1').textContent]";
    assert_eq!(scene.browser.run(band).await, json!(["light grey", light]));
    scene.browser.reads("Check that the worker runs").await;
    scene.browser.screen(PHONE).await;
    assert_fits(&scene.browser, "/", PHONE).await;
    signal("-CONT", &scene.worker().id());
    shows(&scene, "Running normally").await;
    scene.browser.reads("Processing events; all organizations healthy.").await;
    assert!(!scene.browser.text().await.contains("Check that the worker runs"));

    // Without refreshes by time the content still follows the verdict, which it must not contradict.
    let rarely = "document.getElementById('live').dataset.every = 3600; document.dispatchEvent(new Event('changed'))";
    scene.browser.run(rarely).await;
    scene.worker().api("POST", "/organizations/org_acme/pause", None).await;
    scene.browser.reads("paused by an operator").await;
    scene.worker().api("POST", "/organizations/org_acme/resume", None).await;
    scene.browser.reads("Processing events; all organizations healthy.").await;

    scene.browser.without_scripts().await;
    scene.browser.go("/find").await;
    let text = scene.browser.text().await;
    assert!(text.contains("Running normally at ") && text.contains(" UTC"), "{text}");
}
