//! Private PostgreSQL of the demonstration with several workers.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use crate::say;

/// Running server, stopped and removed when this is dropped, and also if this process is killed.
pub struct PrivatePostgres {
    /// URL for the workers.
    pub url: String,
    project: PathBuf,
    /// Apart from the demonstration's folder: started by root, the server runs as another user, who can't enter that.
    folder: tempfile::TempDir,
}

impl PrivatePostgres {
    /// Installs PostgreSQL if it is missing and the user is permitted to, and starts a server.
    pub async fn start(project: &Path) -> Result<Self> {
        let project = project.to_owned();
        tokio::task::spawn_blocking(move || Self::start_at(project)).await?
    }

    fn start_at(project: PathBuf) -> Result<Self> {
        let installed = script(&project).arg("ensure").status()?.success();
        ensure!(installed, "PostgreSQL is not installed and could not be installed; see the output above");
        say("starting a private PostgreSQL");
        let folder = tempfile::Builder::new().prefix("handoffd-demo-postgres.").tempdir()?;
        let mut start = script(&project);
        start.arg("start").arg(folder.path()).stderr(Stdio::inherit());
        start.env("HANDOFFD_POSTGRES_OWNER", std::process::id().to_string()).env("HANDOFFD_POSTGRES_TEMPORARY", "yes");
        let output = start.output()?;
        ensure!(output.status.success(), "a private PostgreSQL did not start");
        Ok(Self { url: String::from_utf8(output.stdout)?.trim().to_owned(), project, folder })
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        _ = script(&self.project).arg("stop").arg(self.folder.path()).status();
    }
}

fn script(project: &Path) -> Command {
    let mut command = Command::new("bash");
    // In its own process group, so that Ctrl-C at the terminal does not interrupt it.
    command.arg(project.join("deploy/postgres.sh")).stdin(Stdio::null()).process_group(0);
    command.env_remove("HANDOFFD_POSTGRES_OWNER").env_remove("HANDOFFD_POSTGRES_TEMPORARY");
    command
}
