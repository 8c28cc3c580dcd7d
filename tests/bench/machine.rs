//! The machinery around a run: simulator, preloaded queue, process to measure.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream;
use handoffd::bus::rabbit::{self, Message, Publisher};
use lapin::options::{QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use serde_json::Value;

use super::events::{ORGANIZATION, TROUBLED, handoff};
use super::process::{self, Running};
use super::report::{Figures, Scenario};

/// However slow the machine is, a run ends.
const LIMIT: Duration = Duration::from_secs(600);

pub struct Machine {
    amqp_url: String,
    /// Ends with this.
    _simulator: Running,
    base: String,
    client: reqwest::Client,
    folder: tempfile::TempDir,
    name: String,
}

impl Machine {
    /// A fresh simulator, and all events on a fresh queue.
    pub async fn prepare(scenario: &Scenario) -> Self {
        Self::prepare_with(scenario, (0..scenario.events).map(handoff)).await
    }

    /// A fresh simulator, and these events on a fresh queue, in about this order.
    pub async fn prepare_with(scenario: &Scenario, events: impl Iterator<Item = Vec<u8>>) -> Self {
        let amqp_url = std::env::var("AMQP_URL").expect("AMQP_URL: run this by `make bench`");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (simulator, base) = simulator(folder.path(), scenario);
        let name = format!("bench.{}", uuid::Uuid::new_v4().simple());
        let machine = Self { amqp_url, _simulator: simulator, base, client: reqwest::Client::new(), folder, name };
        machine.configure(scenario);
        machine.preload(events).await;
        machine
    }

    /// The worker, with everything on.
    pub fn worker(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_handoffd"));
        command.arg("--config").arg(self.folder.path().join("handoffd.toml")).arg("run");
        command
    }

    /// The bare loop: this program, told to be it.
    pub fn bare(&self, itself: &Path) -> Command {
        let mut command = Command::new(itself);
        command.args(["bare", &self.amqp_url, &format!("{}.events", self.name), &self.base]);
        command
    }

    /// Starts the process and measures until the simulator holds every incident and the queue is empty.
    pub async fn run(&self, mut command: Command, scenario: &Scenario) -> Figures {
        let log = std::fs::File::create(self.folder.path().join("log")).expect("a log file");
        let mut child = Running::start(command.stdout(Stdio::null()).stderr(log));
        let pid = child.pid();
        let started = self.wait_for(1, &mut child).await;
        let cpu_before = process::cpu(pid);
        let done_before = self.incidents().await;
        self.wait_for(scenario.events, &mut child).await;
        Figures {
            elapsed: started.elapsed(),
            cpu: process::cpu(pid).saturating_sub(cpu_before),
            peak_megabytes: process::peak_megabytes(pid),
            events: scenario.events.saturating_sub(done_before).max(1),
        }
    }

    /// Starts the process and measures from its first request until the simulator holds so many incidents.
    pub async fn time_to(&self, incidents: u64, mut command: Command) -> Duration {
        let log = std::fs::File::create(self.folder.path().join("log")).expect("a log file");
        let mut child = Running::start(command.stdout(Stdio::null()).stderr(log));
        let deadline = Instant::now() + LIMIT;
        while self.counts().await["total"].as_u64().unwrap_or(0) == 0 {
            assert!(Instant::now() < deadline && child.is_alive(), "no request: {}", self.log());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let started = Instant::now();
        self.wait_for(incidents, &mut child).await;
        started.elapsed()
    }

    /// Has the simulator play a fault, as its API takes them.
    pub async fn fault(&self, script: &Value) {
        let url = format!("{}/_simulator/faults", self.base);
        let answer = self.client.post(url).body(script.to_string()).send().await.expect("the simulator answers");
        assert!(answer.status().is_success(), "a fault is refused: {:?}", answer.text().await);
    }

    pub async fn clean_up(self) {
        let connection = self.connect().await;
        let channel = connection.create_channel().await.expect("a channel");
        for queue in ["events", "dead", "retry.5s", "outcomes", "retry.backlog.org_bench", "retry.backlog.org_troubled"]
        {
            _ = channel
                .queue_delete(format!("{}.{queue}", self.name).as_str().into(), QueueDeleteOptions::default())
                .await;
        }
        _ = connection.close(200, "done".into()).await;
    }

    fn configure(&self, scenario: &Scenario) {
        let folder = self.folder.path();
        let name = &self.name;
        let config = format!(
            "[broker]\nurl = \"{}\"\nevents_exchange = \"{name}.in\"\noutcomes_exchange = \"{name}.out\"\nqueue = \"{name}.events\"\n\
             dead_letter_queue = \"{name}.dead\"\nretry_queue_prefix = \"{name}.retry\"\n[retry]\ndelays = [\"5s\"]\n\
             [dynamics]\nauthority = \"{}\"\nallow_insecure = true\nmax_concurrency = {}\n[store]\npath = \"{}\"\n\
             [http]\nlisten = \"127.0.0.1:0\"\n[organizations]\ndirectory = \"{}\"\n",
            self.amqp_url,
            self.base,
            scenario.concurrency,
            folder.join("store").display(),
            folder.join("organizations").display(),
        );
        std::fs::write(folder.join("handoffd.toml"), config).expect("the configuration is written");
        std::fs::create_dir(folder.join("organizations")).expect("a folder for organizations");
        for id in [ORGANIZATION, TROUBLED] {
            let organization = format!(
                "organization_id = \"{id}\"\nenvironment_url = \"{}\"\ntenant_id = \"11111111-1111-1111-1111-111111111111\"\n\
                 client_id = \"22222222-2222-2222-2222-222222222222\"\nclient_secret = \"simulator-secret\"\n",
                self.base
            );
            let path = folder.join(format!("organizations/{id}.toml"));
            std::fs::write(path, organization).expect("the organization is written");
        }
    }

    /// Has the worker's own topology declared, adds a queue for the outcomes, and publishes the events.
    async fn preload(&self, events: impl Iterator<Item = Vec<u8>>) {
        let config = handoffd::config::load(&self.folder.path().join("handoffd.toml"), std::iter::empty())
            .expect("the configuration");
        let options = handoffd::app::bus_options(&config);
        let declared = rabbit::connect(options.clone(), std::sync::Arc::new(handoffd::watch::Blind)).expect("a bus");
        declared.first_contact().await.expect("the topology");
        handoffd::bus::Bus::close(&declared).await;
        self.bind_outcomes(&options.outcomes_exchange).await;
        let publisher = Publisher::connect(&options).await.expect("a publisher");
        let queue = options.queue.clone();
        let publish = |body: Vec<u8>| {
            let (publisher, queue) = (&publisher, &queue);
            async move {
                let message = Message {
                    exchange: "",
                    routing_key: queue,
                    body: &body,
                    content_type: "application/json",
                    message_id: None,
                    headers: &[],
                };
                publisher.publish(message).await.expect("a confirm");
            }
        };
        stream::iter(events).for_each_concurrent(200, publish).await;
        publisher.close().await;
    }

    async fn bind_outcomes(&self, exchange: &str) {
        let connection = self.connect().await;
        let channel = connection.create_channel().await.expect("a channel");
        let queue = format!("{}.outcomes", self.name);
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        channel
            .queue_declare(queue.as_str().into(), durable, FieldTable::default())
            .await
            .expect("a queue for outcomes");
        let bound = channel.queue_bind(
            queue.as_str().into(),
            exchange.into(),
            "#".into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        bound.await.expect("a binding");
        _ = connection.close(200, "done".into()).await;
    }

    async fn connect(&self) -> Connection {
        Connection::connect(&self.amqp_url, ConnectionProperties::default()).await.expect("a connection to the broker")
    }

    async fn wait_for(&self, incidents: u64, child: &mut Running) -> Instant {
        let deadline = Instant::now() + LIMIT;
        while self.incidents().await < incidents {
            assert!(Instant::now() < deadline, "not done within {LIMIT:?}");
            assert!(child.is_alive(), "the process ended: {}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Instant::now()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    async fn incidents(&self) -> u64 {
        self.counts().await["counts"]["incidents.create"]["201"].as_u64().unwrap_or(0)
    }

    async fn counts(&self) -> Value {
        let url = format!("{}/_simulator/requests?count=1", self.base);
        let answer = self.client.get(url).send().await.expect("the simulator answers");
        let text = answer.text().await.expect("the simulator's counters");
        serde_json::from_str(&text).expect("JSON")
    }
}

fn simulator(folder: &Path, scenario: &Scenario) -> (Running, String) {
    let ready = folder.join("simulator.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dynamics-simulator"));
    command
        .args(["--environment", "name=bench", "--journal", "1000", "--latency"])
        .arg(format!("{}ms", scenario.latency.as_millis()))
        .arg("--ready-file")
        .arg(&ready)
        .stdout(Stdio::null());
    let child = Running::start(&mut command);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Ok(text) = std::fs::read_to_string(&ready)
            && let Ok(environments) = serde_json::from_str::<Value>(&text)
            && let Some(url) = environments[0]["url"].as_str()
        {
            return (child, url.to_owned());
        }
        assert!(Instant::now() < deadline, "the simulator did not start");
        std::thread::sleep(Duration::from_millis(20));
    }
}
