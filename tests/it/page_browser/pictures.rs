//! Pictures of the pages, for `docs/screenshots`: the pages an operator uses most, and the overview in every verdict.

use std::path::PathBuf;

use super::Scene;
use super::silence::shows;
use crate::support::broker::{Broker, eventually, signal};
use crate::support::browser::{PHONE, Screen, TWICE};
use crate::support::rig::rig_on;

/// Variable with the folder for pictures.
const FOLDER: &str = "HANDOFFD_SCREENSHOTS";

#[tokio::test]
#[ignore = "takes pictures: HANDOFFD_SCREENSHOTS=docs/screenshots cargo test --test it -- --ignored pictures"]
async fn pictures_of_every_page_and_verdict() {
    let broker = Broker::start();
    let scene = Scene::on(rig_on(&broker)).await.expect("a browser");
    let find = format!("/find?q={}", scene.refused.session());
    for (name, path, scheme, screen) in [
        ("now", "/", "light", Screen(1180, 1010)),
        ("now-dark", "/", "dark", Screen(1180, 1010)),
        ("find", &*find, "light", Screen(1180, 760)),
        ("dead-letters-phone", "/dead-letters", "light", Screen(390, 844)),
        ("organizations-dark", "/organizations", "dark", Screen(1180, 420)),
    ] {
        scene.browser.prefers(scheme).await;
        scene.browser.go(path).await;
        picture(&scene, name, screen).await;
    }
    scene.browser.go("/").await;
    of_verdict(&scene, "working", "Running normally").await;
    scene.worker().api("POST", "/organizations/org_acme/pause", None).await;
    of_verdict(&scene, "degraded", "Degraded").await;
    broker.stop();
    of_verdict(&scene, "not-working", "Not processing events").await;
    signal("-STOP", &scene.worker().id());
    of_verdict(&scene, "unknown", "Unknown").await;
    signal("-CONT", &scene.worker().id());
}

/// Takes pictures of the overview, without loading it again: a worker that is silent would not answer.
async fn of_verdict(scene: &Scene, name: &str, light: &str) {
    shows(scene, light).await;
    let band = "return document.querySelector('.band h1').textContent";
    eventually("the same in the content", async || {
        scene.browser.run(band).await.as_str().is_some_and(|text| text.starts_with(light))
    })
    .await;
    let desk = Screen(1180, 460);
    for (kind, scheme, screen) in
        [("", "light", desk), ("-dark", "dark", desk), ("-phone", "light", PHONE), ("-200", "light", TWICE)]
    {
        scene.browser.prefers(scheme).await;
        picture(scene, &format!("verdict-{name}{kind}"), screen).await;
    }
}

async fn picture(scene: &Scene, name: &str, screen: Screen) {
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("HANDOFFD_SCREENSHOTS names a folder"));
    std::fs::create_dir_all(&folder).expect("a folder for pictures");
    let picture = scene.browser.picture(screen).await;
    std::fs::write(folder.join(format!("{name}.png")), picture).expect("a picture on disk");
}
