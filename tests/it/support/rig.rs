//! Broker, simulated Dynamics and worker together; stopped when dropped.

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

/// Settings of a rig; [`Plan::start`] creates it.
pub struct Plan {
    profile: Profile,
    broker: String,
    config: Vec<(&'static str, &'static str, toml::Value)>,
    organization: Vec<(&'static str, toml::Value)>,
    others: &'static [&'static str],
}

/// Running rig. When dropped, it asserts that no log contains a secret or a customer's text.
pub struct Rig {
    /// Simulated Dynamics.
    pub crm: Simulator,
    /// OpenCX's side of the broker.
    pub bus: Bus,
    /// Configuration files of the worker.
    pub files: Files,
    /// Folder of the files.
    pub folder: TempDir,
    broker: String,
    workers: Mutex<Vec<Arc<Worker>>>,
}

/// Plan of a rig on the shared broker.
pub fn rig() -> Plan {
    rig_at(Broker::shared().to_owned())
}

/// Plan of a rig on the test's own broker.
pub fn rig_on(broker: &Broker) -> Plan {
    rig_at(broker.url().to_owned())
}

/// Plan of a rig on the broker at these URLs, separated by commas.
pub fn rig_at(broker: String) -> Plan {
    Plan { profile: Profile::OpenCx, broker, config: Vec::new(), organization: Vec::new(), others: &[] }
}

impl Plan {
    /// Sets Dynamics as installed.
    pub fn stock(self) -> Self {
        self.profile(Profile::Stock)
    }

    /// Sets the kind of environment.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Sets a key of the configuration.
    pub fn set(mut self, section: &'static str, key: &'static str, value: impl Into<toml::Value>) -> Self {
        self.config.push((section, key, value.into()));
        self
    }

    /// Sets a key of the organization's file.
    pub fn organize(mut self, key: &'static str, value: impl Into<toml::Value>) -> Self {
        self.organization.push((key, value.into()));
        self
    }

    /// Configures further organizations with the same file.
    pub fn others(mut self, ids: &'static [&'static str]) -> Self {
        self.others = ids;
        self
    }

    /// Configures a queue for new incidents.
    pub fn queue(self) -> Self {
        self.organize("default_queue_id", QUEUE)
    }

    /// Creates the rig without a worker.
    pub async fn lay_out(self) -> Rig {
        let crm = Simulator::start(self.profile).await;
        let mut files = Files::new(&self.broker, &crm.url());
        for (section, key, value) in self.config {
            files.set(section, key, value);
        }
        for (key, value) in self.organization {
            files.organize(key, value);
        }
        files.add_organizations(self.others);
        let bus = Bus::open(&self.broker, &files).await;
        let (folder, workers) = (tempfile::tempdir().unwrap(), Mutex::default());
        Rig { crm, bus, files, folder, broker: self.broker, workers }
    }

    /// Creates the rig with a worker that is ready.
    pub async fn start(self) -> Rig {
        let rig = self.lay_out().await;
        rig.start_worker("worker").ready().await;
        rig
    }
}

impl Rig {
    /// Starts a worker; the same name again reuses its store.
    pub fn start_worker(&self, name: &str) -> Arc<Worker> {
        self.employ(name, Worker::start)
    }

    /// Starts a worker through another program, which becomes the worker.
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

    /// Worker started last.
    pub fn worker(&self) -> Arc<Worker> {
        self.workers().last().expect("a worker").clone()
    }

    /// Worker started first.
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

    /// Logs of all workers so far.
    pub fn logs(&self) -> String {
        self.workers().iter().map(|worker| worker.log()).collect()
    }

    /// Path of the store of a worker of this name.
    pub fn store(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.sled"))
    }

    /// Publishes an event and waits for its outcome.
    pub async fn process(&self, event: &Event) -> Outcome {
        self.bus.publish(event).await;
        self.bus.outcome(event.id()).await
    }

    /// Publishes an event and returns the requests it took, without token requests.
    pub async fn requests_for(&self, event: &Event) -> Vec<String> {
        self.crm
            .during(async {
                self.process(event).await;
            })
            .await
    }

    /// Publishes a handoff that succeeds and returns the `session_meta` of its outcome.
    pub async fn hand_off(&self, event: &Event) -> Value {
        let outcome = self.process(event).await;
        assert_eq!(outcome.body["event"], "dynamics365.handoff.succeeded", "{}", outcome.body);
        outcome.body["data"]["session_meta"].clone()
    }

    /// Retry queue of this delay.
    pub fn retry_queue(&self, delay: &str) -> String {
        format!("{}.retry.{delay}", self.files.name)
    }

    /// Stops the workers cleanly, so that messages left in queues are unfinished.
    pub async fn stop_workers(&self) {
        let running: Vec<_> = self.workers().iter().filter(|worker| worker.status().is_none()).cloned().collect();
        for worker in running {
            worker.stop().await;
        }
    }

    /// Asserts that no event is left and no metric contains a customer's text: no event waits, is in progress or has
    /// failed.
    ///
    /// A worker killed between a copy's confirm and the ack leaves two copies of a message, and the second returns from
    /// its retry queue after the event's outcome is published; so this waits for the queues.
    pub async fn nothing_is_left(&self) {
        eventually("empty queues", async || self.bus.unfinished().await == 0).await;
        assert_no_secrets(&self.worker().metrics().await, &self.bus.private_texts());
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
        assert_no_secrets(&format!("{logs}{}", self.bus.seen()), &self.bus.private_texts());
    }
}

/// Fails the test if a log or an outcome contains a secret or a customer's text.
fn assert_no_secrets(output: &str, private: &[String]) {
    let output = output.to_lowercase();
    for text in private.iter().map(String::as_str).chain([SECRET]) {
        let written = serde_json::to_string(text).unwrap();
        let escaped = written.trim_matches('"').to_lowercase();
        assert!(!output.contains(&escaped), "a log or an outcome holds {text:?}");
    }
}

/// A shared broker would fill up with the queues of all tests.
fn clean(broker: &str, files: &Files) {
    let (broker, files) = (broker.to_owned(), files.clone());
    // On its own thread, because dropping happens inside the test's runtime.
    let cleaner = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let limit = std::time::Duration::from_secs(10);
        // A stopped broker has nothing to clean.
        _ = runtime.block_on(async { tokio::time::timeout(limit, Bus::clean(&broker, &files)).await });
    });
    _ = cleaner.join();
}

/// Folder with the contract's example events.
pub fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/events")
}

mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "holds \"Ann \\\"O'Brien\\\"\"")]
    fn a_customers_text_in_a_log_is_found_in_json_escapes() {
        assert_no_secrets(r#"{"message":"for ANN \"o'brien\""}"#, &["Ann \"O'Brien\"".to_owned()]);
    }

    #[test]
    #[should_panic(expected = "simulator-secret")]
    fn a_secret_in_a_log_is_found() {
        assert_no_secrets("client_secret=simulator-secret", &[]);
    }
}
