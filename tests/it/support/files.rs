//! Configuration files of a worker.

use std::path::{Path, PathBuf};

use toml::{Table, Value};
use uuid::Uuid;

use super::event::{ANOTHER_ORGANIZATION, ORGANIZATION};
use super::simulator::SECRET;

/// Token of the HTTP interface of every rig.
pub const TOKEN: &str = "token-of-every-rig";

/// Configuration with one organization, and with names of its own on a shared broker.
#[derive(Clone)]
pub struct Files {
    /// Prefix of queue and exchange names.
    pub name: String,
    config: Table,
    organization: Table,
    /// Further organizations with the same file.
    others: Vec<String>,
}

impl Files {
    /// Files for this broker and this simulator.
    pub fn new(broker: &str, crm: &str) -> Self {
        let name = format!("it-{}", Uuid::new_v4().simple());
        let config = toml::toml! {
            [broker]
            [worker]
            resolution_wait = "2s"
            [retry]
            delays = ["200ms", "1s"]
            [dynamics]
            allow_insecure = true
            request_timeout = "5s"
            [http]
            listen = "127.0.0.1:0"
            [log]
            format = "json"
            level = "debug"
            [store]
            [organizations]
        };
        let organization = toml::toml! {
            tenant_id = "11111111-1111-1111-1111-111111111111"
            client_id = "22222222-2222-2222-2222-222222222222"
        };
        let mut files = Self { name: name.clone(), config, organization, others: Vec::new() };
        for (key, value) in [
            ("url", broker.to_owned()),
            ("events_exchange", format!("{name}.opencx.events")),
            ("outcomes_exchange", format!("{name}.opencx.outcomes")),
            ("queue", format!("{name}.events")),
            ("dead_letter_queue", format!("{name}.dead-letters")),
            ("retry_queue_prefix", format!("{name}.retry")),
            ("organization_queue_prefix", format!("{name}.organization")),
            ("new_queue_wait", "1s".to_owned()),
        ] {
            files.set("broker", key, value);
        }
        files.set("http", "token", TOKEN);
        files.set("dynamics", "authority", crm);
        files.organize("organization_id", ORGANIZATION);
        files.organize("environment_url", crm);
        files.organize("client_secret", SECRET);
        files
    }

    /// Sets a key of the configuration.
    pub fn set(&mut self, section: &str, key: &str, value: impl Into<Value>) {
        let section = self.config.entry(section).or_insert_with(|| Table::new().into());
        section.as_table_mut().unwrap().insert(key.to_owned(), value.into());
    }

    /// Value of a key of the configuration.
    pub fn get(&self, section: &str, key: &str) -> &Value {
        &self.config[section][key]
    }

    /// Sets a key of the organization's file.
    pub fn organize(&mut self, key: &str, value: impl Into<Value>) {
        self.organization.insert(key.to_owned(), value.into());
    }

    /// Removes a key of the organization's file.
    pub fn leave_out(&mut self, key: &str) {
        self.organization.remove(key);
    }

    /// Inbox, dead-letter queue and retry queues.
    pub fn queues(&self) -> Vec<String> {
        let delays = self.get("retry", "delays").as_array().unwrap();
        let retry = delays.iter().map(|delay| format!("{}.retry.{}", self.name, delay.as_str().unwrap()));
        [self.work_queue(), self.dead_letter_queue()].into_iter().chain(retry).collect()
    }

    /// Queue in which the events of an organization wait, and from which they are consumed.
    pub fn organization_queue(&self, organization: &str) -> String {
        format!("{}.organization.{organization}", self.name)
    }

    /// Adds organizations with the same file.
    pub fn add_organizations(&mut self, ids: &[&str]) {
        self.others.extend(ids.iter().map(|id| (*id).to_owned()));
    }

    /// Organization queues that may exist.
    pub fn organization_queues(&self) -> Vec<String> {
        let others = self.others.iter().map(String::as_str);
        [ORGANIZATION, ANOTHER_ORGANIZATION].into_iter().chain(others).map(|id| self.organization_queue(id)).collect()
    }

    /// Inbox.
    pub fn work_queue(&self) -> String {
        format!("{}.events", self.name)
    }

    /// Dead-letter queue.
    pub fn dead_letter_queue(&self) -> String {
        format!("{}.dead-letters", self.name)
    }

    /// Both exchanges.
    pub fn exchanges(&self) -> [String; 2] {
        [format!("{}.opencx.events", self.name), format!("{}.opencx.outcomes", self.name)]
    }

    /// Writes all files for a worker of this name and returns the path of its configuration.
    pub fn write(&self, folder: &Path, worker: &str) -> PathBuf {
        let mut own = self.clone();
        own.set("store", "path", text(&folder.join(format!("{worker}.sled"))));
        own.set("organizations", "directory", text(&folder.join("organizations")));
        if own.config["store"].get("kind").and_then(Value::as_str) == Some("postgres") {
            own.set("fleet", "name", worker);
        }
        self.write_organization(folder);
        self.others.iter().for_each(|id| self.write_another_organization(folder, id));
        let path = folder.join(format!("{worker}.toml"));
        replace(&path, &own.config.to_string());
        path
    }

    /// Writes the organization's file.
    pub fn write_organization(&self, folder: &Path) {
        write(folder, &self.organization);
    }

    /// Writes the same file for another organization.
    pub fn write_another_organization(&self, folder: &Path, id: &str) {
        let mut other = self.organization.clone();
        other.insert("organization_id".to_owned(), id.into());
        write(folder, &other);
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn write(folder: &Path, organization: &Table) {
    let directory = folder.join("organizations");
    std::fs::create_dir_all(&directory).unwrap();
    let id = organization["organization_id"].as_str().unwrap();
    replace(&directory.join(format!("{id}.toml")), &organization.to_string());
}

/// Writes atomically, as an operator would: a process may be reading the file.
fn replace(path: &Path, text: &str) {
    let draft = path.with_extension(format!("draft-{}", Uuid::new_v4().simple()));
    std::fs::write(&draft, text).unwrap();
    std::fs::rename(draft, path).unwrap();
}
