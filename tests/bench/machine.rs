//! Environment of a run: simulator, preloaded queue, process to measure.

use std::collections::HashSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream;
use handoffd::rabbit::{self, PersistentMessage, Publisher};
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties, Consumer};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::events::{ORGANIZATION, TROUBLED, handoff};
use super::process::{self, Running};
use super::report::{Figures, Scenario};
use super::simulator;

/// Time limit of a run of a few thousand events, on any machine.
pub const LIMIT: Duration = Duration::from_secs(600);

/// Time by which the limit grows with each event, at a fifth of the usual rate.
const LIMIT_EACH: Duration = Duration::from_millis(5);

pub struct Machine {
    amqp_url: String,
    /// Stopped when dropped.
    _simulator: Running,
    /// Environment of the measured organization.
    base: String,
    /// Environment of the troubled organization.
    troubled: String,
    client: reqwest::Client,
    folder: tempfile::TempDir,
    name: String,
    /// Organizations beside the two.
    others: Vec<String>,
}

impl Machine {
    /// Starts a new simulator and puts all events into a new queue.
    pub async fn prepare(scenario: &Scenario) -> Self {
        let machine = Self::set_up(scenario).await;
        machine.publish((0..scenario.events).map(handoff)).await;
        machine
    }

    /// Starts a new simulator and declares a new queue.
    pub async fn set_up(scenario: &Scenario) -> Self {
        let amqp_url = std::env::var("AMQP_URL").expect("AMQP_URL: run this by `make bench`");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (running, [base, troubled]) = simulator::start(folder.path(), scenario);
        let name = format!("bench.{}", uuid::Uuid::new_v4().simple());
        let client = reqwest::Client::new();
        let others = Vec::new();
        let machine = Self { amqp_url, _simulator: running, base, troubled, client, folder, name, others };
        machine.configure(scenario);
        machine.declare().await;
        machine
    }

    /// Command of the worker, with all features on.
    pub fn worker(&self) -> Command {
        self.command(&["run"])
    }

    /// Any command with the worker's configuration.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_handoffd"));
        command.arg("--config").arg(self.folder.path().join("handoffd.toml")).args(arguments);
        command
    }

    /// Configures another organization, before the worker starts.
    pub fn add_organization(&mut self, id: &str, is_troubled: bool) {
        self.organize(id, if is_troubled { &self.troubled } else { &self.base });
        self.others.push(id.to_owned());
    }

    /// Command of the bare loop, which is this program with other arguments.
    pub fn bare(&self, itself: &Path) -> Command {
        let mut command = Command::new(itself);
        command.args(["bare", &self.amqp_url, &format!("{}.events", self.name), &self.base]);
        command
    }

    /// Command of the engineered minimum, which is this program with other arguments. It takes at most this many events
    /// of its second queue at once.
    pub fn minimum(&self, itself: &Path, in_hand: u16) -> Command {
        let mut command = Command::new(itself);
        let (queue, exchange) = (format!("{}.events", self.name), format!("{}.out", self.name));
        command
            .args(["minimum", &self.amqp_url, &queue, &self.base, &exchange])
            .arg(self.folder.path().join("journal"))
            .arg(in_hand.to_string());
        command
    }

    /// Starts the process and measures until the simulator holds every incident and the queue is empty.
    pub async fn run(&self, mut command: Command, scenario: &Scenario) -> Figures {
        let log = std::fs::File::create(self.folder.path().join("log")).expect("a log file");
        let executed = Instant::now();
        let mut child = Running::start(command.stdout(Stdio::null()).stderr(log));
        let pid = child.pid();
        let started = self.wait_for(1, &mut child).await;
        let cpu_before = process::cpu(pid);
        let done_before = self.incidents().await;
        self.wait_for(scenario.events, &mut child).await;
        Figures {
            start: started - executed,
            elapsed: started.elapsed(),
            cpu: process::cpu(pid).saturating_sub(cpu_before),
            peak_megabytes: process::peak_megabytes(pid),
            events: scenario.events.saturating_sub(done_before).max(1),
        }
    }

    /// Waits until this many events of the measured organization have an outcome.
    pub async fn until_answered(&self, worker: &mut Running, events: u64) {
        self.time_of(worker, &[ORGANIZATION], events).await;
    }

    /// Starts the worker and measures from its first request until this organization has a number of outcomes.
    pub async fn time_to(&self, organization: &str, outcomes: u64) -> Duration {
        self.time_of(&mut self.start("log"), &[organization], outcomes).await
    }

    /// Starts a worker with a log of this name.
    pub fn start(&self, log: &str) -> Running {
        let log = std::fs::File::create(self.folder.path().join(log)).expect("a log file");
        Running::start(self.worker().stdout(Stdio::null()).stderr(log))
    }

    /// Measures from the worker's first request until these organizations together have a number of outcomes.
    pub async fn time_of(&self, worker: &mut Running, organizations: &[&str], outcomes: u64) -> Duration {
        let connection = self.connect().await;
        let mut outcome_stream = self.outcomes(&connection).await;
        let deadline = Instant::now() + LIMIT;
        while self.has_asked(&self.base).await + self.has_asked(&self.troubled).await == 0 {
            assert!(Instant::now() < deadline && worker.is_alive(), "no request: {}", self.log());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let started = Instant::now();
        let mut answered = HashSet::new();
        while (answered.len() as u64) < outcomes {
            answered.extend(answered_event(&mut outcome_stream, organizations).await);
        }
        let elapsed = started.elapsed();
        _ = connection.close(200, "done".into()).await;
        elapsed
    }

    /// Publishes events of some organizations and measures the time between the first and the last of their outcomes.
    pub async fn time_between_outcomes(&self, organizations: &[&str], events: Vec<Vec<u8>>) -> Duration {
        let connection = self.connect().await;
        let mut outcome_stream = self.outcomes(&connection).await;
        let mut left = events.len();
        // Meanwhile, because the first outcomes arrive before the last event is published.
        let measured = async {
            let mut started = None;
            while left > 0 {
                if answered_event(&mut outcome_stream, organizations).await.is_some() {
                    started.get_or_insert_with(Instant::now);
                    left -= 1;
                }
            }
            started.map(|started| started.elapsed()).unwrap_or_default()
        };
        let ((), elapsed) = tokio::join!(self.publish(events.into_iter()), measured);
        _ = connection.close(200, "done".into()).await;
        elapsed
    }

    /// Waits until the worker with the log of this name listens, and returns the address of its HTTP interface.
    pub async fn address(&self, log: &str, worker: &mut Running) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let log = std::fs::read_to_string(self.folder.path().join(log)).unwrap_or_default();
            let line = log.lines().find(|line| line.contains("HTTP server listening"));
            let address = line.and_then(|line| line.split("127.0.0.1:").nth(1)).map(|rest| {
                let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                format!("127.0.0.1:{digits}")
            });
            if let Some(address) = address {
                return address;
            }
            assert!(Instant::now() < deadline && worker.is_alive(), "no HTTP interface: {log}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Makes the troubled environment respond with a fault to every request except token requests.
    pub async fn trouble(&self, fault: &Value) {
        for operation in ["contacts.*", "incidents.*", "oc_liveworkitems.*"] {
            self.tell("faults", &json!({ "operation": operation, "times": null, "fault": fault })).await;
        }
    }

    /// Changes a setting of the troubled environment.
    pub async fn switch(&self, settings: &Value) {
        self.tell("settings", settings).await;
    }

    async fn tell(&self, what: &str, body: &Value) {
        let url = format!("{}/_simulator/{what}", self.troubled);
        let answer = self.client.post(url).body(body.to_string()).send().await.expect("the simulator answers");
        assert!(answer.status().is_success(), "{what} are refused: {:?}", answer.text().await);
    }

    async fn outcomes(&self, connection: &Connection) -> Consumer {
        let channel = connection.create_channel().await.expect("a channel");
        let unacked = BasicConsumeOptions { no_ack: true, ..Default::default() };
        let queue = format!("{}.outcomes", self.name);
        let consumer = channel.basic_consume(queue.as_str().into(), "bench".into(), unacked, FieldTable::default());
        consumer.await.expect("a consumer")
    }

    pub async fn clean_up(self) {
        let connection = self.connect().await;
        let channel = connection.create_channel().await.expect("a channel");
        let retries = ["5s", "30s", "2m", "10m", "1h"].map(|delay| format!("retry.{delay}"));
        let others = self.others.iter().map(String::as_str);
        let organizations = [ORGANIZATION, TROUBLED].into_iter().chain(others).map(|id| format!("organization.{id}"));
        let shared = ["events", "events.second", "dead", "outcomes"].map(str::to_owned);
        for queue in retries.into_iter().chain(organizations).chain(shared) {
            let queue = format!("{}.{queue}", self.name);
            _ = channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await;
        }
        _ = connection.close(200, "done".into()).await;
    }

    fn configure(&self, scenario: &Scenario) {
        let folder = self.folder.path();
        let name = &self.name;
        let config = format!(
            "[broker]\nurl = \"{}\"\nevents_exchange = \"{name}.in\"\noutcomes_exchange = \"{name}.out\"\nqueue = \"{name}.events\"\n\
             dead_letter_queue = \"{name}.dead\"\nretry_queue_prefix = \"{name}.retry\"\norganization_queue_prefix = \"{name}.organization\"\n\
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
        self.organize(ORGANIZATION, &self.base);
        self.organize(TROUBLED, &self.troubled);
    }

    fn organize(&self, id: &str, url: &str) {
        let organization = format!(
            "organization_id = \"{id}\"\nenvironment_url = \"{url}\"\ntenant_id = \"11111111-1111-1111-1111-111111111111\"\n\
             client_id = \"22222222-2222-2222-2222-222222222222\"\nclient_secret = \"simulator-secret\"\n"
        );
        let path = self.folder.path().join(format!("organizations/{id}.toml"));
        std::fs::write(path, organization).expect("the organization is written");
    }

    /// Makes the worker use PostgreSQL, with tables of its own.
    pub async fn use_postgres(&self) {
        let url = std::env::var("HANDOFFD_TEST_POSTGRES_URL").expect("HANDOFFD_TEST_POSTGRES_URL");
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("PostgreSQL");
        tokio::spawn(connection);
        let schema = self.name.replace('.', "_");
        client.batch_execute(&format!("CREATE SCHEMA {schema}")).await.expect("a schema");
        let path = self.folder.path().join("handoffd.toml");
        let config = std::fs::read_to_string(&path).expect("the configuration");
        let store = format!("[store]\nkind = \"postgres\"\nurl = \"{url}&options=-csearch_path%3D{schema}\"\n");
        std::fs::write(path, config.replace("[store]\n", &store)).expect("the configuration is written");
    }

    fn options(&self) -> rabbit::RabbitOptions {
        let config = handoffd::config::load(&self.folder.path().join("handoffd.toml"), std::iter::empty())
            .expect("the configuration");
        handoffd::app::bus_options(&config)
    }

    /// Declares the worker's own topology and a queue for the outcomes.
    async fn declare(&self) {
        let options = self.options();
        let declared =
            rabbit::connect(options.clone(), std::sync::Arc::new(handoffd_engine::ports::metrics::NoMetrics))
                .expect("a bus");
        declared.wait_until_connected().await.expect("the topology");
        handoffd_engine::ports::bus::Bus::close(&declared).await;
        self.bind_outcomes(&options.outcomes_exchange).await;
    }

    /// Puts events into the queue, in approximate order, before or after others.
    pub async fn publish(&self, events: impl Iterator<Item = Vec<u8>>) {
        let inbox = self.options().queue;
        self.put(&inbox, events.map(|body| (body, Vec::new()))).await;
    }

    /// Puts dead letters, with the headers that the worker gives them, into their queue.
    pub async fn bury(&self, letters: impl Iterator<Item = (Vec<u8>, Vec<(String, String)>)>) {
        let queue = self.options().dead_letter_queue;
        self.put(&queue, letters).await;
    }

    async fn put(&self, queue: &str, messages: impl Iterator<Item = (Vec<u8>, Vec<(String, String)>)>) {
        let publisher = Publisher::connect(&self.options()).await.expect("a publisher");
        let publish = |(body, headers): (Vec<u8>, Vec<(String, String)>)| {
            let publisher = &publisher;
            async move {
                let message = PersistentMessage {
                    exchange: "",
                    routing_key: queue,
                    body: &body,
                    content_type: "application/json",
                    message_id: None,
                    headers: &headers,
                };
                publisher.publish(message).await.expect("a confirm");
            }
        };
        stream::iter(messages).for_each_concurrent(200, publish).await;
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
        let limit = LIMIT + LIMIT_EACH * u32::try_from(incidents).expect("fewer events");
        let deadline = Instant::now() + limit;
        while self.incidents().await < incidents {
            assert!(Instant::now() < deadline, "not done within {limit:?}");
            assert!(child.is_alive(), "the process ended: {}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Instant::now()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    async fn incidents(&self) -> u64 {
        self.counts(&self.base).await["counts"]["incidents.create"]["201"].as_u64().unwrap_or(0)
    }

    async fn has_asked(&self, base: &str) -> u64 {
        self.counts(base).await["total"].as_u64().unwrap_or(0)
    }

    async fn counts(&self, base: &str) -> Value {
        let url = format!("{base}/_simulator/requests?count=1");
        let answer = self.client.get(url).send().await.expect("the simulator answers");
        let text = answer.text().await.expect("the simulator's counters");
        serde_json::from_str(&text).expect("JSON")
    }
}

/// Receives an outcome, and returns the id of its event if it is one of these organizations'.
async fn answered_event(outcomes: &mut Consumer, organizations: &[&str]) -> Option<String> {
    let next = timeout(LIMIT, outcomes.next()).await.expect("an outcome in time");
    let message = next.expect("a connected broker").expect("a message");
    let outcome: Value = serde_json::from_slice(&message.data).expect("an outcome");
    let is_wanted = organizations.iter().any(|organization| outcome["organization_id"] == *organization);
    is_wanted.then(|| outcome["data"]["source_event_id"].to_string())
}
