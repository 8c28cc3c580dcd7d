//! Headless Chromium, driven by its own driver.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::prelude::*;
use thirtyfour::{ChromeCapabilities, ChromiumLikeCapabilities};

use super::broker::eventually;
use super::worker::http;

/// Arguments that prevent requests to other hosts, and allow running as root in a container.
const ARGUMENTS: [&str; 12] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
];

/// Script that collects the browser's refusals and script errors on a page.
const COMPLAIN: &str = "window.complaints = [];
    addEventListener('securitypolicyviolation', (event) => complaints.push(`${event.violatedDirective}: ${event.blockedURI}`));
    const unloaded = (it) => `not loaded: ${it.href ?? it.src}`;
    addEventListener('error', (event) => complaints.push(String(event.message ?? unloaded(event.target))), true);
    addEventListener('unhandledrejection', (event) => complaints.push(String(event.reason)));";

/// Browser with one page. Dropping it ends it, with its driver and its profile.
pub struct Browser {
    driver: Option<WebDriver>,
    service: Child,
    profile: TempDir,
    base: String,
}

/// Width and height of a screen, in CSS pixels.
#[derive(Clone, Copy, Debug)]
pub struct Screen(pub u32, pub u32);

/// Desktop screen.
pub const DESK: Screen = Screen(1280, 900);
/// Small phone.
pub const PHONE: Screen = Screen(360, 780);
/// Desktop screen at 200 % zoom.
pub const TWICE: Screen = Screen(640, 450);

impl Browser {
    /// Starts a browser for the pages under this address. Without a browser it prints a line and returns `None`;
    /// `tests/browser.sh ensure` has printed the reason before.
    pub async fn start(base: &str) -> Option<Self> {
        let (chromium, driver) =
            (program("HANDOFFD_TEST_CHROMIUM", "chromium"), program("HANDOFFD_TEST_CHROMEDRIVER", "chromedriver"));
        let (Some(chromium), Some(driver)) = (chromium, driver) else {
            eprintln!("SKIPPED: no chromium or no chromedriver; run `bash tests/browser.sh ensure` to install them");
            return None;
        };
        let profile = tempfile::tempdir().expect("a folder for the profile");
        let (service, port) = serve(&driver, profile.path());
        // If a later step fails, dropping this ends the driver.
        let mut browser = Self { driver: None, service, profile, base: base.to_owned() };
        let capabilities = capabilities(&chromium, browser.profile.path()).expect("capabilities");
        let url = format!("http://127.0.0.1:{port}");
        let driver = WebDriver::builder(url, capabilities).client(http()).await;
        browser.driver = Some(driver.expect("a session of chromium"));
        browser.screen(DESK).await;
        browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": COMPLAIN })).await;
        Some(browser)
    }

    /// Opens a page.
    pub async fn go(&self, path: &str) {
        self.driver().goto(format!("{}{path}", self.base)).await.expect("a page");
    }

    /// Current path.
    pub async fn path(&self) -> String {
        let url = self.driver().current_url().await.expect("an address");
        url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
    }

    /// Visible text of the page, without markup.
    pub async fn text(&self) -> String {
        self.driver().find(By::Tag("body")).await.expect("a body").text().await.expect("its text")
    }

    /// Waits until this text is visible.
    pub async fn reads(&self, expected: &str) {
        // A page that is being replaced has no text.
        let reads = async || match self.driver().find(By::Tag("body")).await {
            Ok(body) => body.text().await.is_ok_and(|text| text.contains(expected)),
            Err(_) => false,
        };
        eventually(&format!("a page with the text {expected:?}"), reads).await;
    }

    /// Markup as received.
    pub async fn source(&self) -> String {
        self.driver().source().await.expect("its source")
    }

    /// The one element that this selector matches; waits for it.
    pub async fn the(&self, css: &str) -> WebElement {
        eventually(&format!("{css} on the page"), async || self.driver().find(By::Css(css)).await.is_ok()).await;
        self.driver().find(By::Css(css)).await.expect("it was there")
    }

    /// Clicks the element that this selector matches.
    pub async fn click(&self, css: &str) {
        self.the(css).await.click().await.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// Clicks the link with this text.
    pub async fn follow(&self, text: &str) {
        self.click_once_there(&format!("a link {text:?}"), || By::PartialLinkText(text)).await;
    }

    /// Clicks the button with this text.
    pub async fn press(&self, text: &str) {
        let path = format!("//button[contains(normalize-space(.), '{text}')]");
        self.click_once_there(&format!("a button {text:?}"), || By::XPath(&*path)).await;
    }

    /// Clicks an element as soon as there is one. A page that updates itself may replace it before the click.
    async fn click_once_there(&self, what: &str, by: impl Fn() -> By) {
        eventually(what, async || {
            let Ok(element) = self.driver().find(by()).await else { return false };
            match element.click().await {
                Ok(()) => true,
                Err(error) if format!("{error:?}").contains("StaleElementReference") => false,
                Err(error) => panic!("{what}: {error}"),
            }
        })
        .await;
    }

    /// Types into the focused field.
    pub async fn types(&self, keys: impl Into<TypingData> + Send) {
        let focused = self.driver().active_element().await.expect("a focus");
        focused.send_keys(keys).await.expect("keys");
    }

    /// Returns the result of a script on the page.
    pub async fn run(&self, script: &str) -> Value {
        let returned =
            self.driver().execute(script, Vec::new()).await.unwrap_or_else(|error| panic!("{script}: {error}"));
        returned.json().clone()
    }

    /// Changes the screen.
    pub async fn screen(&self, Screen(width, height): Screen) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// Sets the preferred colour scheme to `light` or `dark`.
    pub async fn prefers(&self, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// Disables scripts on pages.
    pub async fn without_scripts(&self) {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
    }

    /// Picture of the whole page as a PNG, up to a height.
    pub async fn picture(&self, Screen(width, height): Screen) -> Vec<u8> {
        self.screen(Screen(width, height)).await;
        self.driver().screenshot_as_png().await.expect("a picture")
    }

    /// Refusals of the browser and script errors on this page.
    pub async fn complaints(&self) -> Value {
        self.run("return window.complaints").await
    }

    async fn devtools(&self, method: &str, parameters: Value) -> Value {
        self.driver().cdp().send_raw(method, parameters).await.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn driver(&self) -> &WebDriver {
        self.driver.as_ref().expect("a session, from start to drop")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its destructor would call the driver again and block this runtime.
        std::mem::forget(self.driver.take());
        _ = self.service.kill();
        _ = self.service.wait();
        end_all_of(self.profile.path());
    }
}

/// Starts the driver on a free port.
fn serve(driver: &str, profile: &Path) -> (Child, u16) {
    let tied = Path::new("/usr/bin/setpriv").exists();
    let mut command = if tied { Command::new("/usr/bin/setpriv") } else { Command::new(driver) };
    if tied {
        command.args(["--pdeathsig", "KILL", "--", driver]);
    }
    let mut service = command
        .args(["--port=0", "--allowed-ips=127.0.0.1"])
        // The browser's own files go to new places, away from any others.
        .env("HOME", profile)
        .env("TMPDIR", profile)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("chromedriver");
    let lines = BufReader::new(service.stdout.take().expect("its output")).lines();
    let port = lines.map_while(Result::ok).find_map(|line| {
        let (_, rest) = line.split_once("started successfully on port ")?;
        rest.trim_end_matches('.').parse().ok()
    });
    (service, port.expect("a port of chromedriver"))
}

fn capabilities(chromium: &str, profile: &Path) -> WebDriverResult<ChromeCapabilities> {
    let mut capabilities = ChromeCapabilities::new();
    capabilities.set_binary(chromium)?;
    for argument in ARGUMENTS {
        capabilities.add_arg(argument)?;
    }
    capabilities.add_arg(&format!("--user-data-dir={}", profile.join("profile").display()))?;
    Ok(capabilities)
}

/// Program given by a variable, else by its name in the PATH.
fn program(variable: &str, name: &str) -> Option<String> {
    let named = std::env::var(variable).ok();
    let wanted = named.as_deref().unwrap_or(name);
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&folders).map(|folder| folder.join(wanted));
    let found = if wanted.contains('/') {
        Some(wanted.into()).filter(|path: &std::path::PathBuf| path.exists())
    } else {
        places.find(|path| path.is_file())
    };
    found.map(|path| path.display().to_string())
}

/// Ends browsers whose driver was killed, which it identifies by the profile of this test alone.
fn end_all_of(profile: &Path) {
    let profile = profile.display().to_string();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(id) = process.file_name().to_string_lossy().parse::<u32>() else { continue };
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains(&profile) {
            // It may end by itself meanwhile.
            _ = Command::new("kill").args(["-KILL", &id.to_string()]).stderr(Stdio::null()).status();
        }
    }
}
