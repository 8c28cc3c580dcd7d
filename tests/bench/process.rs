//! Processes of a run and their resource usage, from /proc.

use std::fs;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Linux counts CPU time in hundredths of a second for every process (`USER_HZ`).
const TICKS: f64 = 100.0;

/// Process that is ended when this is dropped.
pub struct Running(Child);

impl Running {
    pub fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    pub fn is_alive(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// Asks the process to stop, and waits for its end.
    pub fn terminate(&mut self, limit: Duration) {
        let asked = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status();
        assert!(asked.is_ok_and(|status| status.success()), "kill -TERM failed");
        let deadline = Instant::now() + limit;
        while self.is_alive() {
            assert!(Instant::now() < deadline, "the process did not stop within {limit:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// CPU time of a process, user and system.
pub fn cpu(pid: u32) -> Duration {
    cpu_in(&format!("/proc/{pid}/stat"))
}

fn cpu_in(path: &str) -> Duration {
    let stat = fs::read_to_string(path).unwrap_or_default();
    // The name (2nd field) may contain spaces: fields are counted after its closing parenthesis.
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let fields: Vec<f64> = after.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    Duration::from_secs_f64(fields.iter().sum::<f64>() / TICKS)
}

/// CPU time of the worker's thread that processes events: the busiest one of its runtime, whose others wait for files.
pub fn cpu_of_event_thread(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let is_of_runtime = |path: &std::path::Path| {
        fs::read_to_string(path.join("comm")).is_ok_and(|name| name.starts_with("tokio-rt-worker"))
    };
    let of_runtime = threads.map(|thread| thread.path()).filter(|path| is_of_runtime(path));
    of_runtime.map(|path| cpu_in(&path.join("stat").display().to_string())).max().unwrap_or_default()
}

/// Peak resident memory, in MB.
pub fn peak_megabytes(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|number| number.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}
