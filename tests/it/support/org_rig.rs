//! Configuration, folder of organizations and simulated Dynamics, without a broker and a worker.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use dynamics_simulator::Profile;
use serde_json::Value;
use tempfile::TempDir;

use super::files::Files;
use super::simulator::Simulator;
use super::worker::program;

/// Everything that `org` needs.
pub struct OrgRig {
    /// Simulated Dynamics.
    pub crm: Simulator,
    /// Configuration files.
    pub files: Files,
    /// Folder of the files.
    pub folder: TempDir,
}

/// Result of a command.
pub struct CommandResult {
    /// Exit status.
    pub status: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl OrgRig {
    /// Creates an office with a valid organization.
    pub async fn open() -> Self {
        let crm = Simulator::start(Profile::OpenCx).await;
        let mut files = Files::new("amqp://127.0.0.1:1", &crm.url());
        // Nothing listens there.
        files.set("http", "listen", "127.0.0.1:1");
        Self { crm, files, folder: tempfile::tempdir().unwrap() }
    }

    /// Runs a command with the current configuration.
    pub async fn run(&self, arguments: &[&str]) -> CommandResult {
        let config = self.files.write(self.folder.path(), "office");
        self.run_with(&config, arguments).await
    }

    /// Runs a command with the files already written.
    pub async fn run_with(&self, config: &Path, arguments: &[&str]) -> CommandResult {
        let mut command = program();
        command.arg("--config").arg(config).args(arguments).stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        CommandResult::of(&output)
    }

    /// Directory of organization files.
    pub fn directory(&self) -> PathBuf {
        self.folder.path().join("organizations")
    }
}

impl CommandResult {
    /// Result of a finished process.
    pub fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self {
            status: output.status.code().expect("an exit status"),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{} {}", self.out, self.err))
    }
}
