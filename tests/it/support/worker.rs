//! Control of the real executable: start, observe, stop.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Mutex;

use serde_json::Value;

use super::broker::{eventually, signal};

/// Worker process, killed when dropped.
pub struct Worker {
    child: Mutex<Child>,
    config: PathBuf,
    log: PathBuf,
    client: reqwest::Client,
}

impl Worker {
    /// Starts a worker; its log goes to a file beside its configuration.
    pub fn start(config: &Path, log: PathBuf) -> Self {
        Self::start_as(program(), config, log, |log| File::create(log).unwrap().into())
    }

    /// Starts a worker through another program that becomes it (`env`, `prlimit`). The log goes through a pipe, so that
    /// limits on the worker's files do not affect it.
    pub fn start_under(wrapper: &[&str], config: &Path, log: PathBuf) -> Self {
        let worker = Self::start_as(program_under(wrapper), config, log, |_| Stdio::piped());
        let stderr = worker.child.lock().unwrap().stderr.take();
        let mut file = File::create(&worker.log).unwrap();
        std::thread::spawn(move || std::io::copy(&mut stderr.unwrap(), &mut file));
        worker
    }

    fn start_as(mut program: Command, config: &Path, log: PathBuf, tells: impl FnOnce(&Path) -> Stdio) -> Self {
        let child = program
            .arg("--config")
            .arg(config)
            .arg("run")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(tells(&log))
            .spawn()
            .unwrap();
        Self { child: Mutex::new(child), config: config.to_owned(), log, client: http() }
    }

    /// Waits until the worker is ready.
    pub async fn ready(&self) {
        eventually("a worker that is ready", async || self.try_unready().await.is_some_and(|why| why.is_empty())).await;
    }

    /// Reasons for being unready; empty if ready.
    pub async fn unready(&self) -> Vec<String> {
        let mut reasons = None;
        eventually("an answer of /readyz", async || {
            reasons = self.try_unready().await;
            reasons.is_some()
        })
        .await;
        reasons.unwrap()
    }

    /// Reasons for being unready; `None` if the worker does not respond.
    pub async fn try_unready(&self) -> Option<Vec<String>> {
        assert!(self.status().is_none(), "the worker ended: {}", self.log());
        let answer = self.client.get(format!("http://{}/readyz", self.address()?)).send().await.ok()?;
        if answer.status().is_success() {
            return Some(Vec::new());
        }
        assert_eq!(answer.status(), 503);
        let body: Value = serde_json::from_slice(&answer.bytes().await.ok()?).ok()?;
        Some(body["reasons"].as_array()?.iter().map(|why| why.as_str().unwrap().to_owned()).collect())
    }

    /// Sum of all series of a counter or gauge whose labels contain this text.
    pub async fn metric(&self, name: &str, labels: &str) -> i64 {
        let text = self.metrics().await;
        let series = text.lines().filter(|line| {
            let rest = line.strip_prefix(name).unwrap_or_default();
            rest.starts_with(['{', ' ']) && rest.contains(labels)
        });
        series.map(|line| line.rsplit(' ').next().unwrap().parse::<i64>().unwrap()).sum()
    }

    /// Waits until a metric has this value: the count of settled messages changes a moment after the effect is visible.
    pub async fn counts(&self, name: &str, labels: &str, expected: i64) {
        let what = format!("{name} {labels} to be {expected}");
        eventually(&what, async || self.metric(name, labels).await == expected).await;
    }

    /// All metrics, as a monitor reads them.
    pub async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.address().expect("an address"));
        self.client.get(url).send().await.unwrap().text().await.unwrap()
    }

    /// Address of the HTTP interface.
    pub fn address(&self) -> Option<String> {
        const LISTENS: &str = "HTTP server listening";
        if let Some(line) = self.lines().into_iter().find(|line| says(line, LISTENS)) {
            return Some(field(&line, "address").as_str()?.to_owned());
        }
        // For a log in text format.
        let log = self.log();
        let (_, rest) = log.lines().find(|line| line.contains(LISTENS))?.split_once("address=")?;
        Some(rest.split(' ').next()?.to_owned())
    }

    /// Log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Lines of the log as JSON, without the invalid ones that a kill leaves.
    pub fn lines(&self) -> Vec<Value> {
        self.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Returns true if a line has this message.
    pub fn logged(&self, sentence: &str) -> bool {
        self.lines().iter().any(|line| says(line, sentence))
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        signal("-TERM", &self.id());
    }

    /// Suspends the process.
    pub fn suspend(&self) {
        signal("-STOP", &self.id());
    }

    /// Resumes the process.
    pub fn wake(&self) {
        signal("-CONT", &self.id());
    }

    /// Sends SIGHUP.
    pub fn hang_up(&self) {
        signal("-HUP", &self.id());
    }

    /// Sends SIGKILL and waits for the process to end.
    pub fn kill9(&self) {
        let mut child = self.child.lock().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits for the process to end.
    pub async fn exit(&self) -> ExitStatus {
        eventually("the worker's end", async || self.status().is_some()).await;
        self.status().unwrap()
    }

    /// Sends SIGTERM and waits for a clean exit.
    pub async fn stop(&self) {
        self.terminate();
        let status = self.exit().await;
        assert!(status.success(), "{status}: {}", self.log());
    }

    /// Exit status, if the process has ended.
    pub fn status(&self) -> Option<ExitStatus> {
        self.child.lock().unwrap().try_wait().unwrap()
    }

    /// Runs another command with the same configuration; it finds the worker's HTTP interface if the worker runs.
    pub async fn command(&self, arguments: &[&str]) -> Output {
        let mut command = program();
        command.arg("--config").arg(&self.config).args(arguments).stdin(Stdio::null());
        if let Some(address) = self.address() {
            command.env("HANDOFFD_HTTP__LISTEN", address);
        }
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// Process id.
    pub fn id(&self) -> String {
        self.child.lock().unwrap().id().to_string()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        _ = child.kill();
        _ = child.wait();
    }
}

/// Client that connects to loopback without a proxy.
pub fn http() -> reqwest::Client {
    http_builder().build().unwrap()
}

/// Client with one connection per request: a server that closes the connection on a refusal does not affect later
/// requests.
pub fn http_anew() -> reqwest::Client {
    http_builder().pool_max_idle_per_host(0).build().unwrap()
}

/// Builder of such clients.
pub fn http_builder() -> reqwest::ClientBuilder {
    // The client requires the process's TLS provider even for plain HTTP; another test may have installed it.
    _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy()
}

/// Command of the executable. The process ends with the test, even if the test is killed, where the system supports it.
pub fn program() -> Command {
    program_under(&[])
}

fn program_under(wrapper: &[&str]) -> Command {
    let tied: &[&str] =
        if Path::new("/usr/bin/setpriv").exists() { &["/usr/bin/setpriv", "--pdeathsig", "KILL", "--"] } else { &[] };
    let mut words = tied.iter().chain(wrapper).chain(&[env!("CARGO_BIN_EXE_handoffd")]);
    let mut command = Command::new(words.next().expect("the executable at least"));
    command.args(words);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HANDOFFD_")) {
        command.env_remove(name);
    }
    command
}

/// Field of a log line, at any position of the format.
pub fn field<'a>(line: &'a Value, name: &str) -> &'a Value {
    let nested = &line["fields"][name];
    if nested.is_null() { &line[name] } else { nested }
}

fn says(line: &Value, sentence: &str) -> bool {
    field(line, "message").as_str().is_some_and(|message| message.contains(sentence))
}
