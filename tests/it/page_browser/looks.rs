//! Appearance and accessibility of the pages: without scripts, by keyboard, on a phone, with low vision.

use thirtyfour::Key;

use super::Scene;
use crate::support::broker::eventually;
use crate::support::browser::{Browser, DESK, PHONE, Screen, TWICE};

/// Script that finds machine-detectable faults, after WCAG 2.2 AA.
const EXAMINE: &str = include_str!("examine.js");
/// Variable with a copy of axe-core (`tests/browser.sh axe`), which examines the pages too.
const AXE: &str = "HANDOFFD_TEST_AXE";

#[tokio::test]
async fn every_page_is_accessible() {
    let Some(scene) = Scene::set().await else { return };
    let (browser, axe) = (&scene.browser, axe());
    for path in pages(&scene).await {
        for scheme in ["light", "dark"] {
            browser.prefers(scheme).await;
            browser.screen(DESK).await;
            browser.go(&path).await;
            // Without its stylesheet every page has faults; the browser says why it is missing.
            assert_eq!(browser.complaints().await, serde_json::json!([]), "{path}, {scheme}");
            let faults = browser.run(EXAMINE).await;
            assert_eq!(faults, serde_json::json!([]), "{path}, {scheme}");
            if let Some(axe) = &axe {
                assert_eq!(browser.run(axe).await, serde_json::json!([]), "axe-core: {path}, {scheme}");
            }
        }
        for screen in [PHONE, TWICE] {
            browser.screen(screen).await;
            browser.go(&path).await;
            assert_eq!(browser.complaints().await, serde_json::json!([]), "{path}, {screen:?}");
            assert_fits(browser, &path, screen).await;
        }
        assert_eq!(browser.complaints().await, serde_json::json!([]), "{path}");
    }
    browser.screen(DESK).await;
    the_keyboard_leads_to_the_content(browser).await;
}

#[tokio::test]
async fn everything_works_without_a_script() {
    let Some(scene) = Scene::set().await else { return };
    let browser = &scene.browser;
    browser.without_scripts().await;
    for (path, expected) in pages(&scene).await.into_iter().zip(EXPECTED) {
        browser.go(&path).await;
        browser.reads(expected).await;
        assert!(!browser.text().await.contains("Pause updates"), "{path}: a script ran");
    }
    browser.go("/").await;
    browser.click("#q").await;
    browser.types(scene.fine.session().to_owned() + Key::Enter).await;
    browser.reads("Create the case").await;
    scene.mend();
    browser.go("/dead-letters").await;
    browser.follow("Replay…").await;
    browser.press("Replay 1 dead letter").await;
    eventually("the replay's course", async || browser.path().await.starts_with("/dead-letters/course")).await;
    // Without a script the user has to reload.
    let course = browser.path().await;
    let replayed = async || {
        browser.go(&course).await;
        browser.text().await.contains("1 dead letter replayed")
    };
    eventually("a dead letter replayed", replayed).await;
    scene.rig.bus.outcomes(scene.refused.id(), 2).await;
}

/// Returns the script that runs axe-core, if there is a copy of it.
fn axe() -> Option<String> {
    let path = std::env::var_os(AXE)?;
    let library = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let violation = "({ id, nodes }) => `${id}: ${nodes.map((it) => it.html.slice(0, 120)).join(' | ')}`";
    Some(format!("{library};\nreturn axe.run().then((result) => result.violations.map({violation}));"))
}

/// Expected text of each page.
const EXPECTED: [&str; 11] = [
    "Running normally",
    "Enter the ID of a session",
    "Create the case",
    "By reason, organization and error",
    "Message content",
    "Replay 1 dead letter?",
    "Body (JSON)",
    "Empty in",
    "Concurrent requests",
    "Next attempt",
    "Actions of operators",
];

async fn pages(scene: &Scene) -> Vec<String> {
    let id = scene.refused.id();
    let (_, letters) = scene.worker().api("GET", "/dead-letters", None).await;
    let letter = letters[0]["letter_id"].as_str().expect("a dead letter").to_owned();
    vec![
        "/".to_owned(),
        "/find".to_owned(),
        format!("/find?q={}", scene.fine.session()),
        "/dead-letters".to_owned(),
        format!("/dead-letters/show?id={id}"),
        format!("/dead-letters/confirm?act=replay&id={id}"),
        format!("/dead-letters/edit?letter={letter}"),
        "/organizations".to_owned(),
        "/organizations/show?organization=org_acme".to_owned(),
        "/events".to_owned(),
        "/activity".to_owned(),
    ]
}

/// Asserts that nothing is wider than the screen but elements that scroll by themselves.
pub async fn assert_fits(browser: &Browser, path: &str, screen: Screen) {
    // A phone's browser zooms out until all fits, and `innerWidth` grows with it.
    let wide = "if (document.documentElement.scrollWidth <= width) return [];
        const beyond = (it) => it.getBoundingClientRect().right > width && !it.parentElement.closest('.scroll');
        return [...document.querySelectorAll('body *')].filter(beyond).map((it) => it.outerHTML.slice(0, 120));";
    let wide = format!("const width = {}; {wide}", screen.0);
    assert_eq!(browser.run(&wide).await, serde_json::json!([]), "{path} is wider than {screen:?}");
}

async fn the_keyboard_leads_to_the_content(browser: &Browser) {
    browser.go("/organizations/show?organization=org_acme").await;
    let focus = "const it = document.activeElement; return it.id || it.className || it.textContent";
    browser.types(Key::Tab).await;
    assert_eq!(browser.run(focus).await, "skip");
    let outline = browser.run("return getComputedStyle(document.activeElement).outlineStyle").await;
    assert_ne!(outline, "none", "the focus is seen");
    browser.types(Key::Enter).await;
    assert_eq!(browser.run(focus).await, "main");
    browser.types(Key::Tab).await;
    assert_eq!(browser.run("return document.activeElement.textContent").await, "Test org_acme");
}
