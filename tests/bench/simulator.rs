//! Simulated Dynamics of a run.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::process::Running;
use super::report::Scenario;

/// Starts a simulator with two environments, and returns their URLs.
pub fn start(folder: &Path, scenario: &Scenario) -> (Running, [String; 2]) {
    let ready = folder.join("simulator.json");
    // In another package: `make bench` builds it beside the worker.
    let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_handoffd")).with_file_name("dynamics-simulator"));
    command
        .args(["--environment", "name=bench", "--environment", "name=troubled", "--journal", "1000", "--latency"])
        .arg(format!("{}ms", scenario.latency.as_millis()))
        .arg("--ready-file")
        .arg(&ready)
        .stdout(Stdio::null());
    let child = Running::start(&mut command);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Ok(text) = std::fs::read_to_string(&ready)
            && let Ok(environments) = serde_json::from_str::<Value>(&text)
            && let [Some(base), Some(troubled)] = [0, 1].map(|of: usize| environments[of]["url"].as_str())
        {
            return (child, [base.to_owned(), troubled.to_owned()]);
        }
        assert!(Instant::now() < deadline, "the simulator did not start");
        std::thread::sleep(Duration::from_millis(20));
    }
}
