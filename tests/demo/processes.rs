//! Processes of the real executables, ended in every case.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// A worker ends within its drain time; then it is killed.
const PATIENCE: Duration = Duration::from_secs(15);

/// Script of a shell that outlives this process: it reads what is to be ended, and ends it if its input closes without
/// `done`. So not even `kill -9` leaves anything behind.
const GUARD: &str = r#"
while read -r word; do
  [ "$word" = done ] && exit 0
  processes="$processes $word"
done
kill $processes 2>/dev/null
sleep 3
rm -rf "$0"
"#;

/// Started processes, and the shell that guards them.
pub struct Processes {
    folder: PathBuf,
    running: Vec<(&'static str, Child)>,
    guard: Option<Child>,
}

impl Processes {
    /// Starts the guard. Logs go to `folder`, which the guard removes if this process is killed.
    pub fn new(folder: &Path) -> Result<Self> {
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD]).arg(folder).stdin(Stdio::piped()).process_group(0);
        let guard = guard.spawn().context("cannot start sh")?;
        Ok(Self { folder: folder.to_owned(), running: Vec::new(), guard: Some(guard) })
    }

    /// Starts one of the project's executables.
    pub fn start(&mut self, name: &'static str, arguments: &[&str]) -> Result<()> {
        self.start_as(name, name, arguments)
    }

    /// Starts one of the project's executables under another name, which its log has too.
    pub fn start_as(&mut self, name: &'static str, program: &str, arguments: &[&str]) -> Result<()> {
        let log = File::create(self.log(name))?;
        let mut command = executable(program)?;
        command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        if let Some(guard) = self.guard.as_mut().and_then(|guard| guard.stdin.as_mut()) {
            writeln!(guard, "{}", child.id())?;
        }
        self.running.push((name, child));
        Ok(())
    }

    /// Path of its log.
    pub fn log(&self, name: &str) -> PathBuf {
        self.folder.join(name).with_extension("log")
    }

    /// First process that has ended by itself.
    pub fn ended(&mut self) -> Option<&'static str> {
        let has_ended = |child: &mut Child| child.try_wait().is_ok_and(|status| status.is_some());
        self.running.iter_mut().find_map(|(name, child)| has_ended(child).then_some(*name))
    }

    /// Kills a process, as a machine that loses its power does.
    pub fn kill(&mut self, name: &str) -> Result<()> {
        let at = self.running.iter().position(|(other, _)| *other == name).with_context(|| format!("no {name}"))?;
        let (_, mut child) = self.running.remove(at);
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Process ids, by name.
    pub fn ids(&self) -> impl Iterator<Item = (&'static str, u32)> {
        self.running.iter().map(|(name, child)| (*name, child.id()))
    }

    /// Leaves the processes running.
    pub fn release(&mut self) {
        self.running.clear();
        self.dismiss_guard();
    }

    /// Stops the processes in reverse order, and kills those that do not exit in time.
    pub fn stop(&mut self) {
        while let Some((_, mut child)) = self.running.pop() {
            terminate(child.id());
            let deadline = Instant::now() + PATIENCE;
            while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(20));
            }
            _ = child.kill();
            _ = child.wait();
        }
        self.dismiss_guard();
    }

    fn dismiss_guard(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            _ = guard.stdin.take().map(|mut stdin| writeln!(stdin, "done"));
            _ = guard.wait();
        }
    }
}

/// Command of one of the project's executables, built beside this one, without variables of the caller's environment
/// that affect it, and in its own process group, so that only this process gets Ctrl-C.
pub fn executable(name: &str) -> Result<Command> {
    let ours = std::env::current_exe()?;
    let folder = ours.parent().and_then(Path::parent).context("an executable in examples/")?;
    let path = folder.join(name);
    anyhow::ensure!(path.exists(), "{} is not built; run `make demo`", path.display());
    let mut command = Command::new(path);
    command.process_group(0);
    for (key, _) in std::env::vars_os() {
        let text = key.to_string_lossy().to_lowercase();
        if text.starts_with("handoffd_") || text.ends_with("_proxy") || text == "rust_log" {
            command.env_remove(&key);
        }
    }
    Ok(command)
}

/// Sends SIGTERM to a process.
pub fn terminate(id: u32) {
    _ = Command::new("kill").arg(id.to_string()).stderr(Stdio::null()).status();
}
