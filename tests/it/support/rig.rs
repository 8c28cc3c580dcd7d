//! A broker, a simulated Dynamics and a worker, together; taken down when dropped.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dynamics_simulator::Profile;
use serde_json::Value;
use tempfile::TempDir;

use super::broker::{Broker, eventually};
use super::bus::{Bus, Outcome};
use super::event::Event;
use super::files::Files;
use super::simulator::{QUEUE, SECRET, Simulator};
use super::worker::Worker;

/// What a rig will be; [`Plan::start`] makes it.
pub struct Plan {
    profile: Profile,
    broker: String,
    config: Vec<(&'static str, &'static str, toml::Value)>,
    organization: Vec<(&'static str, toml::Value)>,
}

/// Everything, running. On the way out, no log may hold a secret or a customer's text.
pub struct Rig {
    /// Dynamics.
    pub crm: Simulator,
    /// OpenCX's side of the broker.
    pub bus: Bus,
    /// What the worker is configured by.
    pub files: Files,
    /// Where its files are.
    pub folder: TempDir,
    broker: String,
    workers: Mutex<Vec<Arc<Worker>>>,
}

/// A rig on the broker that tests share, to be planned further.
pub fn rig() -> Plan {
    Plan { profile: Profile::OpenCx, broker: Broker::shared().to_owned(), config: Vec::new(), organization: Vec::new() }
}

/// A rig on a broker of the test's own.
pub fn rig_on(broker: &Broker) -> Plan {
    Plan { profile: Profile::OpenCx, broker: broker.url().to_owned(), config: Vec::new(), organization: Vec::new() }
}

impl Plan {
    /// Dynamics as installed.
    pub fn stock(self) -> Self {
        self.profile(Profile::Stock)
    }

    /// This kind of environment.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// With another value in the configuration.
    pub fn set(mut self, section: &'static str, key: &'static str, value: impl Into<toml::Value>) -> Self {
        self.config.push((section, key, value.into()));
        self
    }

    /// With another value in the organization's file.
    pub fn organize(mut self, key: &'static str, value: impl Into<toml::Value>) -> Self {
        self.organization.push((key, value.into()));
        self
    }

    /// With a queue for new incidents.
    pub fn queue(self) -> Self {
        self.organize("default_queue_id", QUEUE)
    }

    /// All but a worker.
    pub async fn lay_out(self) -> Rig {
        let crm = Simulator::start(self.profile).await;
        let mut files = Files::new(&self.broker, &crm.url());
        for (section, key, value) in self.config {
            files.set(section, key, value);
        }
        for (key, value) in self.organization {
            files.organize(key, value);
        }
        let bus = Bus::open(&self.broker, &files).await;
        let (folder, workers) = (tempfile::tempdir().unwrap(), Mutex::default());
        Rig { crm, bus, files, folder, broker: self.broker, workers }
    }

    /// All of it, with a worker that is ready.
    pub async fn start(self) -> Rig {
        let rig = self.lay_out().await;
        rig.start_worker("worker").ready().await;
        rig
    }
}

impl Rig {
    /// Starts a worker; the same name again goes on with the same store.
    pub fn start_worker(&self, name: &str) -> Arc<Worker> {
        self.employ(name, Worker::start)
    }

    /// Starts a worker by another program, which turns into it.
    pub fn start_worker_under(&self, name: &str, wrapper: &[&str]) -> Arc<Worker> {
        self.employ(name, |config, log| Worker::start_under(wrapper, config, log))
    }

    fn employ(&self, name: &str, start: impl FnOnce(&Path, PathBuf) -> Worker) -> Arc<Worker> {
        let config = self.files.write(self.folder.path(), name);
        let number = self.workers().len();
        let log = self.folder.path().join(format!("{name}-{number}.log"));
        let worker = Arc::new(start(&config, log));
        self.workers().push(worker.clone());
        worker
    }

    /// The worker started last.
    pub fn worker(&self) -> Arc<Worker> {
        self.workers().last().expect("a worker").clone()
    }

    /// The worker started first.
    pub fn first_worker(&self) -> Arc<Worker> {
        self.workers().first().expect("a worker").clone()
    }

    /// Waits until the worker has put an event into a retry queue for this reason.
    pub async fn awaits(&self, reason: &str) {
        let label = format!("reason=\"{reason}\"");
        let worker = self.worker();
        let retried = async || worker.metric("handoffd_retries_total", &label).await > 0;
        eventually(&format!("a retry, {reason}"), retried).await;
    }

    /// What the workers have logged so far, all of them.
    pub fn logs(&self) -> String {
        self.workers().iter().map(|worker| worker.log()).collect()
    }

    /// Where the store of a worker called so is.
    pub fn store(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.sled"))
    }

    /// Publishes an event and waits for what becomes of it.
    pub async fn carry(&self, event: &Event) -> Outcome {
        self.bus.publish(event).await;
        self.bus.outcome(event.id()).await
    }

    /// Publishes an event and tells the requests it took, tokens apart.
    pub async fn requests_for(&self, event: &Event) -> Vec<String> {
        self.crm
            .during(async {
                self.carry(event).await;
            })
            .await
    }

    /// Publishes a handoff that succeeds; the `session_meta` of its outcome.
    pub async fn hand_off(&self, event: &Event) -> Value {
        let outcome = self.carry(event).await;
        assert_eq!(outcome.body["event"], "dynamics365.handoff.succeeded", "{}", outcome.body);
        outcome.body["data"]["session_meta"].clone()
    }

    /// The retry queue of this delay.
    pub fn retry_queue(&self, delay: &str) -> String {
        format!("{}.retry.{delay}", self.files.name)
    }

    /// Stops the workers in good order: whatever is left in a queue then is unfinished.
    pub async fn stop_workers(&self) {
        let running: Vec<_> = self.workers().iter().filter(|worker| worker.status().is_none()).cloned().collect();
        for worker in running {
            worker.stop().await;
        }
    }

    /// No event is left, and no metric tells of a customer: none waits, none is in hand, none was given up.
    ///
    /// A worker killed between a copy's confirm and the ack leaves two of one message, and the second comes back from
    /// its retry queue after the event's outcome is out: so the queues are waited for.
    pub async fn nothing_is_left(&self) {
        eventually("empty queues", async || self.bus.unfinished().await == 0).await;
        keeps_to_itself(&self.worker().metrics().await, &self.bus.private_texts());
        self.stop_workers().await;
        assert_eq!((self.bus.unfinished().await, self.bus.dead_letters().await), (0, 0));
    }

    fn workers(&self) -> MutexGuard<'_, Vec<Arc<Worker>>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let workers = std::mem::take(&mut *self.workers());
        let logs: String = workers.iter().map(|worker| worker.log()).collect();
        drop(workers);
        clean(&self.broker, &self.files);
        if std::thread::panicking() {
            let tail: Vec<&str> = logs.lines().rev().take(200).collect();
            eprintln!("the worker's log, newest first:\n{}", tail.join("\n"));
            return;
        }
        keeps_to_itself(&format!("{logs}{}", self.bus.seen()), &self.bus.private_texts());
    }
}

/// A secret or a customer's text in a log or an outcome fails the test, whatever it is about.
fn keeps_to_itself(told: &str, private: &[String]) {
    let told = told.to_lowercase();
    for text in private.iter().map(String::as_str).chain([SECRET]) {
        let written = serde_json::to_string(text).unwrap();
        let escaped = written.trim_matches('"').to_lowercase();
        assert!(!told.contains(&escaped), "a log or an outcome holds {text:?}");
    }
}

/// A shared broker would fill up with the queues of all tests.
fn clean(broker: &str, files: &Files) {
    let (broker, files) = (broker.to_owned(), files.clone());
    // Its own thread: dropping happens inside the test's runtime.
    let cleaner = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let limit = std::time::Duration::from_secs(10);
        // A broker that is gone has nothing to clean.
        _ = runtime.block_on(async { tokio::time::timeout(limit, Bus::clean(&broker, &files)).await });
    });
    _ = cleaner.join();
}

/// A folder with the contract's example events.
pub fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/events")
}

mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "holds \"Ann \\\"O'Brien\\\"\"")]
    fn a_customer_in_a_log_is_found_as_json_writes_it() {
        keeps_to_itself(r#"{"message":"for ANN \"o'brien\""}"#, &["Ann \"O'Brien\"".to_owned()]);
    }

    #[test]
    #[should_panic(expected = "simulator-secret")]
    fn a_secret_in_a_log_is_found() {
        keeps_to_itself("client_secret=simulator-secret", &[]);
    }
}
