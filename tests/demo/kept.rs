//! Processes that `make demo KEEP=1` leaves running in `.demo`, and their end.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::broker::{Broker, Keep, Names};
use crate::processes::terminate;
use crate::say;
use crate::stage::Stage;

/// State file with the running processes, for `stop`.
const STATE: &str = "kept.json";

/// Working folder: a temporary one, or `.demo`.
pub fn folder(project: &Path, keep: Keep) -> Result<PathBuf> {
    if keep == Keep::Nothing {
        return Ok(tempfile::Builder::new().prefix("handoffd-demo.").tempdir()?.keep());
    }
    let folder = project.join(".demo");
    ensure!(!folder.exists(), "a demonstration is already running in .demo; stop it with `make demo-stop` first");
    std::fs::create_dir(&folder)?;
    Ok(folder)
}

/// Records the running processes and leaves them running.
pub fn release(stage: &mut Stage) -> Result<()> {
    let broker = stage.broker.as_ref().context("a broker runs")?;
    let names = &broker.names;
    let kept = json!({
        "processes": stage.processes.ids().map(|(name, id)| json!({"name": name, "id": id})).collect::<Vec<_>>(),
        "url": broker.url,
        "private": broker.private,
        "names": [names.events, names.outcomes, names.work, names.dead_letters, names.retry, names.organizations],
    });
    std::fs::write(stage.folder.join(STATE), kept.to_string())?;
    stage.processes.release();
    say("still running; stop with `make demo-stop`");
    Ok(())
}

/// Returns the workers that somebody has started with the demonstration's configuration.
fn restarted(config: &Path) -> Vec<u32> {
    let config = config.to_string_lossy();
    let is_worker = |id: &u32| {
        let command = std::fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
        command.contains(&*config) && command.ends_with("\0run\0")
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_worker).collect()
}

/// Ends the processes left running.
pub async fn stop(project: &Path) -> Result<()> {
    let folder = project.join(".demo");
    let text = std::fs::read_to_string(folder.join(STATE)).context("no demonstration is running in .demo")?;
    let state: Value = serde_json::from_str(&text)?;
    for process in state["processes"].as_array().into_iter().flatten().rev() {
        let (name, id) = (process["name"].as_str().unwrap_or_default(), process["id"].as_u64().unwrap_or_default());
        // The process id may have been reused.
        let command = std::fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
        if let (true, Ok(id)) = (command.contains(name), u32::try_from(id)) {
            terminate(id);
        }
    }
    restarted(&folder.join("handoffd.toml")).into_iter().for_each(terminate);
    let [events, outcomes, work, dead_letters, retry, organizations] =
        [0, 1, 2, 3, 4, 5].map(|at| state["names"][at].as_str().unwrap_or_default().to_owned());
    let broker = Broker {
        url: state["url"].as_str().unwrap_or_default().to_owned(),
        private: state["private"].as_str().map(PathBuf::from),
        names: Names { events, outcomes, work, dead_letters, retry, organizations },
    };
    broker.clear(project).await;
    std::fs::remove_dir_all(&folder).context("cannot remove .demo")?;
    say("stopped and removed .demo");
    Ok(())
}
