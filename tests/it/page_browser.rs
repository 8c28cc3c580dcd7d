//! The operators' page in a real browser, on a real worker with a real broker and a simulated Dynamics.

mod looks;
mod pictures;
mod silence;
mod tour;

use std::sync::Arc;

use thirtyfour::Key;

use crate::support::browser::Browser;
use crate::support::event::{Event, handoff};
use crate::support::files::TOKEN;
use crate::support::rig::{Plan, Rig, rig};

const PLUG_IN: &str = "The plug-in Acme.CaseGuard refuses cases without a product.";

/// Worker with one event that succeeded and one that Dynamics refuses, and a browser if one is installed.
struct Scene {
    rig: Rig,
    browser: Browser,
    fine: Event,
    refused: Event,
}

impl Scene {
    async fn set() -> Option<Self> {
        Self::on(rig()).await
    }

    async fn on(plan: Plan) -> Option<Self> {
        let rig = plan.start().await;
        let address = rig.worker().address().expect("an address");
        let browser = Browser::start(&format!("http://{address}")).await?;
        browser.go("/find").await;
        browser.types(TOKEN.to_owned() + Key::Enter).await;
        browser.reads("Enter the ID of a session").await;
        let (fine, refused) = (handoff("email"), handoff("email"));
        rig.hand_off(&fine).await;
        rig.crm.refuse("incidents.create", 100, 400, "0x80040265", PLUG_IN);
        rig.process(&refused).await;
        rig.bus.waiting(&rig.files.dead_letter_queue(), 1).await;
        Some(Self { rig, browser, fine, refused })
    }

    /// Removes the fault in Dynamics.
    fn mend(&self) {
        self.rig.crm.environment().clear_faults();
    }

    /// Asserts that customers' text is only on the page that was asked for it.
    async fn keeps_to_itself(&self) {
        let (source, path) = (self.browser.source().await, self.browser.path().await);
        for text in self.rig.bus.private_texts() {
            assert!(!source.contains(&text), "{path} shows {text:?}");
        }
    }

    fn worker(&self) -> Arc<crate::support::worker::Worker> {
        self.rig.worker()
    }
}
