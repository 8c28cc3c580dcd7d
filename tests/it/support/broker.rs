//! Private RabbitMQ, and access to its queues.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use tokio::time::timeout;

/// Longer than any step of a test takes on a busy machine, including a broker's restart.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// Longest wait for a node to open a connection.
const NODE_LIMIT: Duration = Duration::from_secs(30);

/// Private RabbitMQ node. Stopped when dropped, and by its own watchdog if this process is killed.
pub struct Broker {
    directory: tempfile::TempDir,
    url: String,
}

impl Broker {
    /// Starts a node; takes seconds.
    pub fn start() -> Self {
        Self::start_with("", None)
    }

    /// Starts a node with further lines of `rabbitmq.conf`, in the cluster of another one if there is one.
    pub fn start_with(settings: &str, peer: Option<&Self>) -> Self {
        let directory = tempfile::tempdir().expect("a folder for the broker");
        let mut arguments = vec!["start", directory.path().to_str().expect("a plain path")];
        arguments.extend(peer.map(|peer| peer.directory.path().to_str().expect("a plain path")));
        let url = finished(command(&arguments).env("HANDOFFD_BROKER_SETTINGS", settings));
        Self { directory, url: url.trim().to_owned() }
    }

    /// URL of the broker that several tests share: `HANDOFFD_TEST_AMQP_URL`, else one that this process starts and
    /// never drops (its watchdog stops it with the process).
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

    /// Name of the node in its cluster.
    pub fn name(&self) -> String {
        let ports = std::fs::read_to_string(self.directory.path().join("ports")).expect("its ports");
        format!("handoffd-{}@localhost", ports.split(' ').next().expect("a port"))
    }

    /// AMQP URL, unchanged by a restart.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Kills the node without a clean shutdown, after the names of all its queues have reached its disk.
    ///
    /// RabbitMQ 3.10 writes the name of a new quorum queue to disk seconds after declaring it: killed before, it
    /// restarts with an empty queue of that name that never elects a leader, and confirmed messages are lost
    /// (measured). Tests of other subjects declare queues and kill the broker at once.
    pub fn kill9(&self) {
        let last = "[ok = dets:sync(T) || T <- dets:all()], erlang:halt(abort).";
        // The node dies before it answers.
        let mut last = command(&["eval", self.directory.path().to_str().expect("a plain path"), last]);
        last.stderr(Stdio::null()).status().expect("deploy/broker.sh runs");
        self.kill_at_once();
    }

    /// Kills the node in its current state.
    pub fn kill_at_once(&self) {
        // The group may already be partly gone.
        let group = self.group();
        Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status().expect("kill runs");
    }

    /// Suspends the node with every connection open. Its threads stop one after the other; until then the last one may
    /// still respond.
    pub fn freeze(&self) {
        let group = self.group();
        signal("-STOP", &group);
        let start = Instant::now();
        while threads_of(group.trim_start_matches('-')).iter().any(|state| state != "T") {
            assert!(start.elapsed() < Duration::from_secs(30), "the broker does not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Resumes the node.
    pub fn thaw(&self) {
        signal("-CONT", &self.group());
    }

    /// Restarts the node with the same data on the same ports.
    pub fn restart(&self) {
        let started = script(&["start", self.directory.path().to_str().expect("a plain path")]);
        assert_eq!(started.trim(), self.url);
    }

    /// Stops the node cleanly.
    pub fn stop(&self) {
        script(&["stop", &self.directory.path().display().to_string()]);
    }

    /// Warnings and errors in the node's log.
    pub fn log(&self) -> String {
        let files = std::fs::read_dir(self.directory.path().join("log")).expect("a folder for its log");
        files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap_or_default()).collect()
    }

    /// Runs `rabbitmqctl` on the node.
    pub fn ctl(&self, arguments: &[&str]) -> String {
        let mut all = vec!["ctl", self.directory.path().to_str().expect("a plain path")];
        all.extend(arguments);
        script(&all)
    }

    /// Evaluates an Erlang expression on the node and returns the value. Much faster than `rabbitmqctl`.
    pub fn eval(&self, expression: &str) -> String {
        let directory = self.directory.path().to_str().expect("a plain path");
        script(&["eval", directory, expression]).trim().to_owned()
    }

    /// Sets a user's permissions in a virtual host: patterns of what it may configure, write to and read from.
    pub fn set_permissions(&self, virtual_host: &str, user: &str, [configure, write, read]: [&str; 3]) {
        let all = [user, virtual_host, configure, write, read, "tests"].map(binary).join(", ");
        assert_eq!(self.eval(&format!("rabbit_auth_backend_internal:set_permissions({all})")), "ok");
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

/// Erlang's notation of a text.
pub fn binary(text: &str) -> String {
    format!("<<\"{}\">>", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// States of all threads of a process group (proc(5), `stat`), without zombies.
fn threads_of(group: &str) -> Vec<String> {
    let entries = |path: PathBuf| std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let stat = |path: &Path| {
        let text = std::fs::read_to_string(path.join("stat")).ok()?;
        // After the name, which may contain any character: state, parent, group.
        let fields = text.rsplit_once(')')?.1.split_whitespace().take(3).map(str::to_owned).collect::<Vec<_>>();
        <[String; 3]>::try_from(fields).ok()
    };
    let of_group = |path: &PathBuf| stat(path).is_some_and(|[_, _, its]| its == group);
    let threads = entries("/proc".into()).filter(of_group).flat_map(|process| entries(process.join("task")));
    threads.filter_map(|thread| stat(&thread)).map(|[state, ..]| state).filter(|state| state != "Z").collect()
}

fn script(arguments: &[&str]) -> String {
    finished(&mut command(arguments))
}

fn finished(command: &mut Command) -> String {
    let output = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).output().expect("deploy/broker.sh runs");
    assert!(output.status.success(), "{command:?} failed");
    String::from_utf8(output.stdout).expect("text")
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy/broker.sh"));
    command
        .args(arguments)
        .env("HANDOFFD_BROKER_OWNER", std::process::id().to_string())
        .env("HANDOFFD_BROKER_TEMPORARY", "yes")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// Sends a signal to a process, or (`-<id>`) to its group.
pub fn signal(signal: &str, target: &str) {
    let sent = Command::new("kill").args([signal, "--", target]).status();
    assert!(sent.expect("kill runs").success(), "kill {signal} {target}");
}

/// Plain AMQP client, independent of the adapter.
pub struct Client {
    url: String,
    connection: Connection,
    channel: Channel,
}

impl Client {
    /// Connects in confirm mode, to the first of the nodes (separated by commas) that answers.
    pub async fn connect(urls: &str) -> Self {
        Self::try_connect(urls).await.expect("a node that answers")
    }

    /// Connects, or returns the last node's problem.
    pub async fn try_connect(urls: &str) -> Result<Self, String> {
        let mut last = "no URL".to_owned();
        for url in urls.split(',') {
            match timeout(NODE_LIMIT, Self::connect_to(url)).await {
                Ok(Ok(client)) => return Ok(client),
                Ok(Err(error)) => last = error.to_string(),
                Err(_) => last = format!("{url} does not answer"),
            }
        }
        Err(last)
    }

    async fn connect_to(url: &str) -> lapin::Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { url: url.to_owned(), connection, channel })
    }

    /// Channel for all other operations.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Publishes and waits for the confirm.
    pub async fn publish(&self, exchange: &str, key: &str, body: &[u8], properties: BasicProperties) {
        assert!(self.try_publish(exchange, key, body, properties).await.unwrap());
    }

    /// Publishes and waits for the answer; returns true if it is a confirm.
    pub async fn try_publish(
        &self,
        exchange: &str,
        key: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> lapin::Result<bool> {
        let options = BasicPublishOptions::default();
        let confirm = self.channel.basic_publish(exchange.into(), key.into(), options, body, properties).await?;
        Ok(confirm.await?.is_ack())
    }

    /// Takes the next message of a queue, waiting for one.
    pub async fn take(&self, queue: &str) -> Delivery {
        let mut found = None;
        let what = format!("a message in {queue}");
        eventually(&what, async || {
            found = self.try_take(queue).await;
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    /// Takes the next message of a queue, if it has one.
    pub async fn try_take(&self, queue: &str) -> Option<Delivery> {
        let options = BasicGetOptions::default();
        let got = self.channel.basic_get(queue.into(), options).await;
        let got = got.unwrap()?;
        got.ack(BasicAckOptions::default()).await.unwrap();
        Some(got.delivery)
    }

    /// Number of ready messages in a queue; `None` if it does not exist.
    pub async fn depth(&self, queue: &str) -> Option<u32> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let table = FieldTable::default();
        if let Ok(channel) = self.connection.create_channel().await {
            return Some(channel.queue_declare(queue.into(), passive, table).await.ok()?.message_count());
        }
        // lapin does not reuse a channel number that was closed because of a missing queue, and after two thousand
        // queries the numbers are exhausted.
        let afresh = Connection::connect(&self.url, ConnectionProperties::default()).await.unwrap();
        let channel = afresh.create_channel().await.unwrap();
        Some(channel.queue_declare(queue.into(), passive, table).await.ok()?.message_count())
    }

    /// Number of consumers of a queue. It excludes those of a dead process, whose deliveries are back in the queue.
    pub async fn consumers(&self, queue: &str) -> u32 {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let answer = self.channel.queue_declare(queue.into(), passive, FieldTable::default()).await;
        answer.unwrap().consumer_count()
    }

    /// Starts a consumer that takes one message.
    pub async fn consume_one(&self, queue: &str) -> lapin::Consumer {
        let channel = self.connection.create_channel().await.unwrap();
        channel.basic_qos(1, BasicQosOptions::default()).await.unwrap();
        let options = BasicConsumeOptions::default();
        channel.basic_consume(queue.into(), "foreign".into(), options, FieldTable::default()).await.unwrap()
    }

    /// Deletes a queue with its messages.
    pub async fn delete_queue(&self, queue: &str) {
        let options = QueueDeleteOptions::default();
        self.channel.queue_delete(queue.into(), options).await.unwrap();
    }
}

/// Waits until a condition holds; fails after a generous time.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < DEADLINE, "timed out waiting for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
