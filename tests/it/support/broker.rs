//! A private RabbitMQ, and a look into its queues.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// A node of our own. Stopped when dropped, and by its own watchdog should this process be killed.
pub struct Broker {
    directory: tempfile::TempDir,
    url: String,
}

impl Broker {
    /// Starts one; takes seconds.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a folder for the broker");
        let url = start(directory.path());
        Self { directory, url }
    }

    /// Where tests find a broker that several of them share: `HANDOFFD_TEST_AMQP_URL`, else one
    /// that this process starts and never drops (its watchdog ends it with the process).
    pub fn shared() -> &'static str {
        static SHARED: OnceLock<String> = OnceLock::new();
        SHARED.get_or_init(|| {
            std::env::var("HANDOFFD_TEST_AMQP_URL").unwrap_or_else(|_| {
                let broker = Self::start();
                let url = broker.url.clone();
                std::mem::forget(broker);
                url
            })
        })
    }

    /// Its AMQP URL, the same after a restart.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The power goes.
    pub fn kill9(&self) {
        signal("-KILL", &self.group());
    }

    /// It hangs, with every connection open.
    pub fn freeze(&self) {
        signal("-STOP", &self.group());
    }

    /// It goes on.
    pub fn thaw(&self) {
        signal("-CONT", &self.group());
    }

    /// Starts it again with the same data on the same ports.
    pub fn restart(&self) {
        assert_eq!(start(self.directory.path()), self.url);
    }

    /// Ends it in good order.
    pub fn stop(&self) {
        script(&["stop", &self.directory.path().display().to_string()]);
    }

    /// Runs `rabbitmqctl` on it.
    pub fn ctl(&self, arguments: &[&str]) -> String {
        let mut all = vec!["ctl", self.directory.path().to_str().expect("a plain path")];
        all.extend(arguments);
        script(&all)
    }

    fn group(&self) -> String {
        let group = std::fs::read_to_string(self.directory.path().join("group"));
        format!("-{}", group.expect("a running broker").trim())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop();
    }
}

fn start(directory: &Path) -> String {
    script(&["start", &directory.display().to_string()])
        .trim()
        .to_owned()
}

fn script(arguments: &[&str]) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy/broker.sh");
    let output = Command::new(path)
        .args(arguments)
        .env("HANDOFFD_BROKER_OWNER", std::process::id().to_string())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("deploy/broker.sh runs");
    assert!(output.status.success(), "broker.sh {arguments:?} failed");
    String::from_utf8(output.stdout).expect("text")
}

fn signal(signal: &str, target: &str) {
    let sent = Command::new("kill").args([signal, "--", target]).status();
    assert!(sent.expect("kill runs").success(), "kill {signal} {target}");
}
