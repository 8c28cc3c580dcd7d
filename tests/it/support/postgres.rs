//! Private PostgreSQL, and stores in schemas of their own.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};

use handoffd::postgres::{PostgresOptions, PostgresStore, PostgresTls, open};
use handoffd_engine::ports::metrics::NoMetrics;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use super::broker::signal;

/// Private PostgreSQL cluster. Stopped when dropped, and by its own watchdog if this process is killed.
pub struct Postgres {
    directory: tempfile::TempDir,
    url: String,
}

impl Postgres {
    /// Starts a cluster; takes seconds.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts a cluster with further options of the server.
    pub fn start_with(settings: &str) -> Self {
        let directory = tempfile::tempdir().expect("a folder for PostgreSQL");
        let url = start(directory.path(), settings);
        Self { directory, url }
    }

    /// Starts a cluster that offers TLS, with `server.pem` and `server.key` of a folder.
    pub fn start_with_certificate(folder: &Path) -> Self {
        let directory = tempfile::tempdir().expect("a folder for PostgreSQL");
        let at = |name: &str| directory.path().join(name);
        for name in ["server.pem", "server.key"] {
            std::fs::copy(folder.join(name), at(name)).expect("a copy");
        }
        // The server refuses a key that others may read. Only root's cluster runs as another user.
        let script =
            format!("chmod 600 {0} && if [ $(id -u) = 0 ]; then chown postgres {0}; fi", at("server.key").display());
        assert!(Command::new("bash").args(["-c", &script]).status().expect("bash runs").success());
        let settings = format!(
            "-c ssl=on -c ssl_cert_file={} -c ssl_key_file={}",
            at("server.pem").display(),
            at("server.key").display()
        );
        let url = start(directory.path(), &settings);
        Self { directory, url }
    }

    /// Starts a streaming standby of this cluster.
    pub fn standby(&self) -> Self {
        let directory = tempfile::tempdir().expect("a folder for PostgreSQL");
        let folders = [directory.path(), self.directory.path()].map(|path| path.to_str().expect("a plain path"));
        let url = script(&["start", folders[0], folders[1]], "");
        Self { directory, url }
    }

    /// Makes a standby the primary.
    pub async fn promote(&self) {
        let promoted = client(&self.url).await.query_one("SELECT pg_promote()", &[]).await.expect("a promotion");
        assert!(promoted.get::<_, bool>(0));
    }

    /// Log of the server.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).expect("a log")
    }

    /// URL of the cluster that several tests share: `HANDOFFD_TEST_POSTGRES_URL`, else one that this process starts and
    /// never drops (its watchdog stops it with the process).
    pub fn shared() -> &'static str {
        static SHARED: OnceLock<String> = OnceLock::new();
        SHARED.get_or_init(|| {
            std::env::var("HANDOFFD_TEST_POSTGRES_URL").unwrap_or_else(|_| {
                let postgres = Self::start();
                let url = postgres.url.clone();
                std::mem::forget(postgres);
                url
            })
        })
    }

    /// URL, unchanged by a restart.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Kills every process of the cluster at once.
    pub fn kill9(&self) {
        // Each of its processes is the leader of its own group.
        let leader = self.leader();
        let children = Command::new("pgrep").args(["-P", &leader]).output().expect("pgrep runs");
        let children = String::from_utf8(children.stdout).expect("numbers");
        let all = std::iter::once(leader.as_str()).chain(children.lines());
        Command::new("kill").arg("-KILL").args(all).stderr(Stdio::null()).status().expect("kill runs");
        let status = format!("/proc/{leader}/status");
        let is_alive = || std::fs::read_to_string(&status).is_ok_and(|text| !text.contains("State:\tZ"));
        while is_alive() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Suspends the process that accepts connections, and all others.
    pub fn freeze(&self) {
        self.signal_all("-STOP");
    }

    /// Resumes them.
    pub fn thaw(&self) {
        self.signal_all("-CONT");
    }

    /// Restarts the cluster with the same data on the same port.
    pub fn restart(&self) {
        assert_eq!(start(self.directory.path(), ""), self.url);
    }

    /// Stops the cluster cleanly.
    pub fn stop(&self) {
        script(&["stop", &self.directory.path().display().to_string()], "");
    }

    fn signal_all(&self, name: &str) {
        let leader = self.leader();
        let children = Command::new("pgrep").args(["-P", &leader]).output().expect("pgrep runs");
        for pid in String::from_utf8(children.stdout).expect("numbers").lines() {
            signal(name, pid);
        }
        signal(name, &leader);
    }

    fn leader(&self) -> String {
        let group = std::fs::read_to_string(self.directory.path().join("group"));
        group.expect("a running cluster").trim().to_owned()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

fn start(directory: &Path, settings: &str) -> String {
    script(&["start", directory.to_str().expect("a plain path")], settings)
}

fn script(arguments: &[&str], settings: &str) -> String {
    let output = Command::new("bash")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/postgres.sh"))
        .args(arguments)
        .env("HANDOFFD_POSTGRES_OWNER", std::process::id().to_string())
        .env("HANDOFFD_POSTGRES_SETTINGS", settings)
        .stderr(Stdio::inherit())
        .output()
        .expect("deploy/postgres.sh runs");
    assert!(output.status.success(), "deploy/postgres.sh {arguments:?} failed");
    String::from_utf8(output.stdout).expect("a URL").trim().to_owned()
}

/// Opens a connection beside any store.
pub async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

/// Creates a schema of its own in the shared cluster and returns the URL of a store in it.
pub async fn new_schema(url: &str) -> String {
    let name = format!("it_{}", Uuid::new_v4().simple());
    client(url).await.batch_execute(&format!("CREATE SCHEMA {name}")).await.expect("a schema");
    format!("{url}&options=-csearch_path%3D{name}")
}

/// Options of a store at this URL.
pub fn options(url: &str) -> PostgresOptions {
    let url = url.replace("sslmode=disable&", "").replace("?sslmode=disable", "");
    PostgresOptions { url: url.into(), tls: PostgresTls::Disabled, ca_file: None, migrate: true }
}

/// Opens the store at this URL.
pub async fn opened(url: &str) -> Arc<PostgresStore> {
    Arc::new(open(&options(url), Arc::new(NoMetrics)).await.expect("an open store"))
}
