//! Broker of the demonstration, existing or private, and the messages received from it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeleteOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use serde_json::Value;

use crate::say;

/// RabbitMQ's default address and user.
const USUAL: &str = "amqp://guest:guest@127.0.0.1:5672/%2f";
/// Connection timeout; a broker accepts at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// Delays of the demonstration's retry queues.
const DELAYS: [&str; 3] = ["1s", "5s", "30s"];

/// Organizations of the demonstration with several workers, by the names of their environments; the first two are those of the
/// demonstration with one.
pub const ORGANIZATIONS: [&str; 6] = ["acme", "globex", "initech", "soylent", "vandelay", "wonka"];

/// Broker to use.
pub struct Broker {
    /// AMQP URL.
    pub url: String,
    /// State folder of a private broker.
    pub private: Option<PathBuf>,
    /// Names of exchanges and queues.
    pub names: Names,
}

/// Names of exchanges and queues.
#[derive(Clone)]
pub struct Names {
    /// Events exchange.
    pub events: String,
    /// Outcomes exchange.
    pub outcomes: String,
    /// Inbox.
    pub work: String,
    /// Dead-letter queue.
    pub dead_letters: String,
    /// Prefix of the retry queues.
    pub retry: String,
    /// Prefix of the organizations' queues.
    pub organizations: String,
}

impl Broker {
    /// Finds a broker: `AMQP_URL`, else RabbitMQ's default address on this machine, else a private one under `place`.
    pub async fn find(project: &Path, place: &Path, keep: Keep) -> Result<Self> {
        let given = std::env::var("AMQP_URL").ok().filter(|url| !url.trim().is_empty());
        if let Some(url) = given {
            say(&format!("using the broker of AMQP_URL: {}", masked(&url)));
            let refused = "can't connect to the broker of AMQP_URL; correct it, or unset it to start a private broker";
            connect(&url).await.context(refused)?;
            return Ok(Self { url, private: None, names: Names::of_our_own() });
        }
        match connect(USUAL).await {
            Ok(_) => {
                say("using the broker at 127.0.0.1:5672, with separate queues that are deleted at the end");
                return Ok(Self { url: USUAL.to_owned(), private: None, names: Names::of_our_own() });
            }
            Err(problem) => say(&format!("no broker found at 127.0.0.1:5672 ({})", first_line(&problem))),
        }
        let (project, place) = (project.to_owned(), place.join("broker"));
        let started = tokio::task::spawn_blocking(move || start(&project, &place, keep)).await?;
        started.context("the demonstration requires a broker; set AMQP_URL to use an existing one")
    }

    /// Stops a private broker; deletes the demonstration's queues and exchanges from any other.
    pub async fn clear(&self, project: &Path) {
        if let Some(place) = &self.private {
            _ = script(project).arg("stop").arg(place).status();
            return;
        }
        if let Err(problem) = self.delete().await {
            say(&format!("could not delete the queues {}*: {problem:#}", self.names.work));
        }
    }

    /// Stops a private broker whose start was interrupted.
    pub fn stop_half_started(project: &Path, place: &Path) {
        _ = script(project).arg("stop").arg(place.join("broker")).stderr(Stdio::null()).status();
    }

    /// Publishes events with the keys that OpenCX uses, and waits for the broker's confirms.
    pub async fn publish(&self, events: &[(String, Value)]) -> Result<()> {
        let connection = connect(&self.url).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let mut confirms = Vec::new();
        for (key, event) in events {
            let (exchange, body) = (self.names.events.as_str(), event.to_string());
            let properties =
                BasicProperties::default().with_content_type("application/json".into()).with_delivery_mode(2);
            let options = BasicPublishOptions::default();
            confirms.push(
                channel
                    .basic_publish(exchange.into(), key.as_str().into(), options, body.as_bytes(), properties)
                    .await?,
            );
        }
        for confirm in confirms {
            ensure!(matches!(confirm.await?, Confirmation::Ack(None)), "the broker did not take an event");
        }
        connection.close(200, "done".into()).await?;
        Ok(())
    }

    async fn delete(&self) -> Result<()> {
        let connection = connect(&self.url).await?;
        let channel = connection.create_channel().await?;
        let Names { events, outcomes, work, dead_letters, retry, organizations } = &self.names;
        let retries = DELAYS.map(|delay| format!("{retry}.{delay}"));
        let organizations = ORGANIZATIONS.map(|name| format!("{organizations}.org_{name}"));
        for queue in [work, dead_letters].into_iter().chain(&retries).chain(&organizations) {
            channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await?;
        }
        for exchange in [events, outcomes] {
            channel.exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default()).await?;
        }
        Ok(())
    }
}

/// Cleanup after the demonstration.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Stops and removes everything.
    Nothing,
    /// Keeps everything running.
    Running,
}

impl Names {
    /// handoffd's default names.
    pub fn usual() -> Self {
        Self::with("opencx.events", "opencx.outcomes", "handoffd")
    }

    /// Section `[broker]` of a worker's configuration, with the delays of its retry queues.
    pub fn sections(&self, url: &str) -> String {
        let Self { events, outcomes, work, dead_letters, retry, organizations } = self;
        format!(
            r#"[broker]
url = "{url}"
events_exchange = "{events}"
outcomes_exchange = "{outcomes}"
queue = "{work}"
dead_letter_queue = "{dead_letters}"
retry_queue_prefix = "{retry}"
organization_queue_prefix = "{organizations}"
# Short, since nobody kills this broker while its queues are new.
new_queue_wait = "1s"

[retry]
delays = {DELAYS:?}
"#
        )
    }

    /// Unique names.
    pub fn of_our_own() -> Self {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let prefix = format!("handoffd-demo-{}", &id[..8]);
        Self::with(&format!("{prefix}.in"), &format!("{prefix}.out"), &prefix)
    }

    fn with(events: &str, outcomes: &str, prefix: &str) -> Self {
        Self {
            events: events.to_owned(),
            outcomes: outcomes.to_owned(),
            work: format!("{prefix}.events"),
            dead_letters: format!("{prefix}.dead-letters"),
            retry: format!("{prefix}.retry"),
            organizations: format!("{prefix}.organization"),
        }
    }
}

fn start(project: &Path, place: &Path, keep: Keep) -> Result<Broker> {
    // Installs RabbitMQ if it is missing and the user is permitted to; otherwise prints the package to install.
    if !script(project).arg("ensure").status()?.success() {
        bail!("RabbitMQ is not installed and could not be installed; see the output above");
    }
    say("starting a private RabbitMQ (about 5 s) …");
    let mut start = script(project);
    start.arg("start").arg(place).stderr(Stdio::inherit());
    match keep {
        Keep::Nothing => start.env("HANDOFFD_BROKER_OWNER", std::process::id().to_string()),
        Keep::Running => start.env("HANDOFFD_BROKER_LIFE", "0"),
    };
    let output = start.output()?;
    if !output.status.success() {
        bail!("a private RabbitMQ did not start");
    }
    let url = String::from_utf8(output.stdout)?.trim().to_owned();
    Ok(Broker { url, private: Some(place.to_owned()), names: Names::usual() })
}

fn script(project: &Path) -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new("bash");
    // In its own process group, so that Ctrl-C at the terminal does not interrupt it.
    command.arg(project.join("deploy/broker.sh")).stdin(Stdio::null()).process_group(0);
    command.env_remove("HANDOFFD_BROKER_OWNER").env_remove("HANDOFFD_BROKER_TEMPORARY");
    command
}

async fn connect(url: &str) -> Result<Connection> {
    let connecting = Connection::connect(url, ConnectionProperties::default());
    Ok(tokio::time::timeout(PATIENCE, connecting).await.context("no response within 5 s")??)
}

/// Removes the password from a URL.
pub fn masked(url: &str) -> String {
    let Ok(mut url) = url::Url::parse(url) else { return "(no URL)".to_owned() };
    if url.password().is_some() {
        _ = url.set_password(Some("***"));
    }
    url.to_string()
}

fn first_line(problem: &anyhow::Error) -> String {
    problem.root_cause().to_string().lines().next().unwrap_or_default().to_owned()
}

/// Messages received so far.
pub struct Returns {
    /// Outcomes as published.
    pub outcomes: Arc<Mutex<Vec<Value>>>,
    /// Dead letters.
    pub dead: Arc<Mutex<Vec<Letter>>>,
    /// Closing it returns the dead letters to their queue.
    _connection: Connection,
}

/// Dead letter.
pub struct Letter {
    /// Body as received.
    pub body: Vec<u8>,
    /// Value of `x-handoffd-reason`.
    pub reason: String,
    /// Value of `x-handoffd-error`.
    pub error: String,
}

impl Returns {
    /// Starts listening.
    pub async fn listen(broker: &Broker) -> Result<Self> {
        let connection = connect(&broker.url).await?;
        let channel = connection.create_channel().await?;
        let own = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare("".into(), own, FieldTable::default()).await?.name().clone();
        let (exchange, all) = (broker.names.outcomes.as_str(), "#");
        let options = QueueBindOptions::default();
        channel.queue_bind(queue.clone(), exchange.into(), all.into(), options, FieldTable::default()).await?;
        let (outcomes, dead): (Arc<Mutex<Vec<_>>>, Arc<Mutex<Vec<_>>>) = Default::default();
        let automatic = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        collect(&channel, queue.as_str(), automatic, outcomes.clone(), outcome).await?;
        let looking = BasicConsumeOptions::default();
        collect(&channel, &broker.names.dead_letters, looking, dead.clone(), letter).await?;
        Ok(Self { outcomes, dead, _connection: connection })
    }
}

async fn collect<T: Send + 'static>(
    channel: &Channel,
    queue: &str,
    options: BasicConsumeOptions,
    into: Arc<Mutex<Vec<T>>>,
    read: fn(&Delivery) -> T,
) -> Result<()> {
    let mut consumer = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await?;
    tokio::spawn(async move {
        while let Some(Ok(delivery)) = consumer.next().await {
            into.lock().unwrap_or_else(PoisonError::into_inner).push(read(&delivery));
        }
    });
    Ok(())
}

fn outcome(delivery: &Delivery) -> Value {
    serde_json::from_slice(&delivery.data).unwrap_or_default()
}

fn letter(delivery: &Delivery) -> Letter {
    let header = |name: &str| match delivery.properties.headers().as_ref().and_then(|all| all.inner().get(name)) {
        Some(AMQPValue::LongString(text)) => text.to_string(),
        _ => String::new(),
    };
    Letter { body: delivery.data.clone(), reason: header("x-handoffd-reason"), error: header("x-handoffd-error") }
}
