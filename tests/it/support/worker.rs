//! The real executable, started, looked at and stopped.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Mutex;

use serde_json::Value;

use super::broker::{eventually, signal};

/// A worker. Killed when dropped.
pub struct Worker {
    child: Mutex<Child>,
    config: PathBuf,
    log: PathBuf,
    client: reqwest::Client,
}

impl Worker {
    /// Starts one; its log goes to a file beside its configuration.
    pub fn start(config: &Path, log: PathBuf) -> Self {
        Self::start_as(program(), config, log, |log| File::create(log).unwrap().into())
    }

    /// Starts one by another program, which turns into it (`env`, `prlimit`). Its log goes through a pipe: limits on its
    /// files are none on the log.
    pub fn start_under(wrapper: &[&str], config: &Path, log: PathBuf) -> Self {
        let worker = Self::start_as(program_under(wrapper), config, log, |_| Stdio::piped());
        let told = worker.child.lock().unwrap().stderr.take();
        let mut file = File::create(&worker.log).unwrap();
        std::thread::spawn(move || std::io::copy(&mut told.unwrap(), &mut file));
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

    /// Waits until it is ready.
    pub async fn ready(&self) {
        eventually("a worker that is ready", async || self.try_unready().await.is_some_and(|why| why.is_empty())).await;
    }

    /// Why it is not ready; nothing when it is.
    pub async fn unready(&self) -> Vec<String> {
        let mut reasons = None;
        eventually("an answer of /readyz", async || {
            reasons = self.try_unready().await;
            reasons.is_some()
        })
        .await;
        reasons.unwrap()
    }

    /// Why it is not ready; none when it does not answer.
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

    /// The sum of all series of a counter or gauge whose labels contain this text.
    pub async fn metric(&self, name: &str, labels: &str) -> i64 {
        let text = self.metrics().await;
        let series = text.lines().filter(|line| {
            let rest = line.strip_prefix(name).unwrap_or_default();
            rest.starts_with(['{', ' ']) && rest.contains(labels)
        });
        series.map(|line| line.rsplit(' ').next().unwrap().parse::<i64>().unwrap()).sum()
    }

    /// Waits until a metric has this value: what is counted when a message is settled is so a moment after others see it.
    pub async fn counts(&self, name: &str, labels: &str, expected: i64) {
        let what = format!("{name} {labels} to be {expected}");
        eventually(&what, async || self.metric(name, labels).await == expected).await;
    }

    /// All metrics, as a monitor reads them.
    pub async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.address().expect("an address"));
        self.client.get(url).send().await.unwrap().text().await.unwrap()
    }

    /// Where its HTTP interface listens.
    pub fn address(&self) -> Option<String> {
        const LISTENS: &str = "the HTTP interface listens";
        if let Some(line) = self.lines().into_iter().find(|line| says(line, LISTENS)) {
            return Some(field(&line, "address").as_str()?.to_owned());
        }
        // A log in text.
        let log = self.log();
        let (_, rest) = log.lines().find(|line| line.contains(LISTENS))?.split_once("address=")?;
        Some(rest.split(' ').next()?.to_owned())
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// What it has logged, line by line; what is no JSON (it was killed while it wrote) is left out.
    pub fn lines(&self) -> Vec<Value> {
        self.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Whether a line says this.
    pub fn logged(&self, sentence: &str) -> bool {
        self.lines().iter().any(|line| says(line, sentence))
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        signal("-TERM", &self.id());
    }

    /// SIGHUP.
    pub fn hang_up(&self) {
        signal("-HUP", &self.id());
    }

    /// SIGKILL; it is gone when this returns.
    pub fn kill9(&self) {
        let mut child = self.child.lock().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits for its end.
    pub async fn exit(&self) -> ExitStatus {
        eventually("the worker's end", async || self.status().is_some()).await;
        self.status().unwrap()
    }

    /// SIGTERM, and its orderly end.
    pub async fn stop(&self) {
        self.terminate();
        let status = self.exit().await;
        assert!(status.success(), "{status}: {}", self.log());
    }

    /// How it ended, if it has.
    pub fn status(&self) -> Option<ExitStatus> {
        self.child.lock().unwrap().try_wait().unwrap()
    }

    /// Another command with the same configuration; it finds the worker's HTTP interface, when it runs.
    pub async fn command(&self, arguments: &[&str]) -> Output {
        let mut command = program();
        command.arg("--config").arg(&self.config).args(arguments).stdin(Stdio::null());
        if let Some(address) = self.address() {
            command.env("HANDOFFD_HTTP__LISTEN", address);
        }
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// Its process id.
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

/// A client that goes straight to loopback.
pub fn http() -> reqwest::Client {
    http_builder().build().unwrap()
}

/// A client with a connection for each request: a server that hangs up on what it refuses harms none that come later.
pub fn http_anew() -> reqwest::Client {
    http_builder().pool_max_idle_per_host(0).build().unwrap()
}

fn http_builder() -> reqwest::ClientBuilder {
    // It needs the process's TLS provider, even for plain HTTP; another test may have been first.
    _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy()
}

/// The executable. Where the system can, it ends with the test even if that is killed.
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

/// A field of a log line, wherever the format puts it.
pub fn field<'a>(line: &'a Value, name: &str) -> &'a Value {
    let nested = &line["fields"][name];
    if nested.is_null() { &line[name] } else { nested }
}

fn says(line: &Value, sentence: &str) -> bool {
    field(line, "message").as_str().is_some_and(|message| message.contains(sentence))
}
