//! Components of the demonstration: broker, simulator, worker, and their configuration.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::broker::{Broker, Keep, masked};
use crate::dynamics::Dynamics;
use crate::event::EventFile;
use crate::processes::{Processes, executable};

/// Processes start in well under a second; a busy machine may take longer.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Secrets of two tenants, valid only in the simulator.
const SECRETS: [(&str, &str); 2] = [("acme", "acme-demo-secret"), ("globex", "globex-demo-secret")];

/// Running components.
pub struct Stage {
    /// Folder of the project.
    pub project: PathBuf,
    /// Folder of configuration, store and logs.
    pub folder: PathBuf,
    /// URL of the worker's HTTP interface.
    pub worker: String,
    /// HTTP client.
    pub client: reqwest::Client,
    /// Processes of the executables.
    pub processes: Processes,
    /// Broker, once found.
    pub broker: Option<Broker>,
}

impl Stage {
    /// Stage without running components.
    pub fn new(project: &Path, folder: &Path) -> Result<Self> {
        _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
        let processes = Processes::new(folder)?;
        let (project, folder) = (project.to_owned(), folder.to_owned());
        Ok(Self { project, folder, worker: String::new(), client, processes, broker: None })
    }

    /// Finds a broker.
    pub async fn find_broker(&mut self, keep: Keep) -> Result<()> {
        self.broker = Some(Broker::find(&self.project, &self.folder, keep).await?);
        Ok(())
    }

    /// Simulates the Dynamics of two organizations.
    pub async fn play_dynamics(&mut self) -> Result<Dynamics> {
        let ready = self.folder.join("simulator.json");
        let path = ready.display().to_string();
        let [acme, globex] = [("opencx", SECRETS[0]), ("stock", SECRETS[1])]
            .map(|(profile, (name, secret))| format!("name={name},profile={profile},secret={secret}"));
        let arguments = ["--ready-file", &path, "--environment", &acme, "--environment", &globex];
        self.processes.start("dynamics-simulator", &arguments)?;
        let deadline = Instant::now() + START_LIMIT;
        while !ready.exists() {
            self.wait_a_little("dynamics-simulator", deadline).await?;
        }
        let environments: Value = serde_json::from_slice(&std::fs::read(&ready)?)?;
        Ok(Dynamics::new(self.client.clone(), &environments))
    }

    /// Starts the worker and waits until it is ready.
    pub async fn start_worker(&mut self, dynamics: &Dynamics) -> Result<()> {
        self.configure(dynamics)?;
        let config = self.config();
        self.processes.start("handoffd", &["--config", &config, "run"])?;
        let url = format!("{}/readyz", self.worker);
        let deadline = Instant::now() + START_LIMIT;
        while !self.client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
            self.wait_a_little("handoffd", deadline).await?;
        }
        Ok(())
    }

    /// Runs `handoffd publish`.
    pub fn publish(&self, files: &[&EventFile]) -> Result<()> {
        let config = self.config();
        let mut command = executable("handoffd")?;
        command.args(["--config", &config, "publish"]).args(files.iter().map(|file| &file.path));
        let output = command.output()?;
        ensure!(
            output.status.success(),
            "publish failed, {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }

    /// Path of the configuration file.
    pub fn config(&self) -> String {
        self.folder.join("handoffd.toml").display().to_string()
    }

    /// Stops and removes everything.
    pub async fn clear(&mut self) {
        self.processes.stop();
        match &self.broker {
            Some(broker) => broker.clear(&self.project).await,
            // Interrupted during its start.
            None => Broker::stop_half_started(&self.project, &self.folder),
        }
        _ = std::fs::remove_dir_all(&self.folder);
    }

    /// Waits a moment for a component; fails if it has ended or the deadline has passed.
    pub async fn wait_a_little(&mut self, what: &str, deadline: Instant) -> Result<()> {
        if let Some(name) = self.processes.ended() {
            bail!("{name} has exited:\n{}", self.last_words(name));
        }
        if Instant::now() > deadline {
            let workers = self.processes.ids().map(|(name, _)| name).filter(|name| *name != "dynamics-simulator");
            let words: Vec<String> = workers.map(|name| self.last_words(name)).collect();
            bail!("timed out waiting for {what}:\n{}", words.join("\n\n"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok(())
    }

    fn last_words(&self, name: &str) -> String {
        let log = std::fs::read_to_string(self.processes.log(name)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn configure(&mut self, dynamics: &Dynamics) -> Result<()> {
        let broker = self.broker.as_ref().context("a broker was found before")?;
        let listen = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        self.worker = format!("http://{listen}");
        let folder = self.folder.display();
        let text = format!(
            r#"# What the demonstration changes; everything else is as in config/handoffd.toml.
{sections}
[worker]
resolution_wait = "1s"

[dynamics]
authority = "{authority}"
allow_insecure = true

[store]
path = "{folder}/handoffd.sled"

[http]
listen = "{listen}"

[organizations]
directory = "{folder}/organizations"
"#,
            sections = broker.names.sections(&broker.url),
            authority = dynamics.environments["acme"],
        );
        std::fs::write(self.config(), text)?;
        self.write_organizations(dynamics)
    }

    fn write_organizations(&self, dynamics: &Dynamics) -> Result<()> {
        SECRETS.iter().try_for_each(|(name, secret)| self.write_organization(dynamics, name, secret))
    }

    /// Writes an organization's file and its secret.
    pub fn write_organization(&self, dynamics: &Dynamics, name: &str, secret: &str) -> Result<()> {
        let folder = self.folder.join("organizations");
        std::fs::create_dir_all(&folder)?;
        let secret_file = folder.join(format!("{name}.secret"));
        std::fs::write(&secret_file, secret)?;
        let text = format!(
            r#"organization_id = "org_{name}"
environment_url = "{url}"
tenant_id = "11111111-1111-1111-1111-111111111111"
client_id = "22222222-2222-2222-2222-222222222222"
client_secret = {{ file = "{secret}" }}
default_owner_id = "33333333-3333-3333-3333-333333333333"
default_queue_id = "44444444-4444-4444-4444-444444444444"
"#,
            url = dynamics.environments[name],
            secret = secret_file.display(),
        );
        std::fs::write(folder.join(format!("{name}.toml")), text)?;
        Ok(())
    }

    /// Addresses for `KEEP=1`.
    pub fn addresses(&self, dynamics: &Dynamics) -> String {
        let mut lines = vec![format!("worker      {}  (the page; /readyz /metrics /api/v1/outcomes)", self.worker)];
        for (name, url) in &dynamics.environments {
            lines.push(format!("Dynamics    {url}  ({name}; /_simulator/records /_simulator/requests)"));
        }
        let broker = self.broker.as_ref().map(|broker| masked(&broker.url)).unwrap_or_default();
        lines.push(format!("RabbitMQ    {broker}"));
        lines.push(format!("logs        {}/*.log", self.folder.display()));
        let handoffd =
            executable("handoffd").map_or_else(|_| "handoffd".into(), |command| command.get_program().to_owned());
        let command = format!("{} --config {}", handoffd.display(), self.config());
        lines.push(format!("commands    {command} status"));
        lines.push(format!("restart     {command} run"));
        lines.join("\n")
    }
}
