//! Instructions of the worker per event and where they go, counted by callgrind. Run manually: `make bench-profile`.
//!
//! Unlike time, instructions in user space are the same whatever else the machine does. Two runs of different length are
//! compared, so that the start and the stop drop out.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::CONCURRENCY;
use super::machine::Machine;
use super::process::Running;
use super::report::Scenario;

/// Share of the longer run's events that the shorter run has.
const SHORTER: u64 = 5;
/// Time in which a worker under callgrind, some fifty times slower, stops.
const STOP: Duration = Duration::from_secs(120);
/// Smallest share of all instructions that is printed, in percent.
const LEAST: f64 = 1.0;

/// Measures and prints.
pub async fn main(events: u64) {
    let (few, shorter) = counted(events / SHORTER).await;
    let (many, longer) = counted(events).await;
    drop(shorter);
    let each = (many - few) / (events - events / SHORTER);
    println!("{each} instructions per event ({events} events: {many}; {}: {few})", events / SHORTER);
    println!("\ninclusive shares of the longer run, by function (from {LEAST} %):");
    for line in shares(&annotated(&longer.path().join("callgrind"), true), LEAST) {
        println!("  {line}");
    }
    println!("\nown shares:");
    for line in shares(&annotated(&longer.path().join("callgrind"), false), LEAST) {
        println!("  {line}");
    }
}

/// Runs the worker on a number of events under callgrind. Returns all instructions, and the folder with the profile.
async fn counted(events: u64) -> (u64, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder for the profile");
    let file = folder.path().join("callgrind");
    let scenario = Scenario { events, latency: Duration::ZERO, concurrency: CONCURRENCY };
    let machine = Machine::prepare(&scenario).await;
    let log = std::fs::File::create(folder.path().join("log")).expect("a log file");
    let mut worker = Running::start(under_callgrind(&machine.worker(), &file).stdout(Stdio::null()).stderr(log));
    machine.until_answered(&mut worker, events).await;
    worker.terminate(STOP);
    machine.clean_up().await;
    let text = std::fs::read_to_string(&file).expect("callgrind's file");
    let total = text.lines().find_map(|line| line.strip_prefix("summary: ").or(line.strip_prefix("totals: ")));
    (total.and_then(|number| number.trim().parse().ok()).expect("callgrind's total"), folder)
}

fn under_callgrind(worker: &Command, file: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "-q"]).arg(format!("--callgrind-out-file={}", file.display()));
    command.arg(worker.get_program()).args(worker.get_args());
    command
}

fn annotated(file: &Path, inclusive: bool) -> String {
    let inclusive = if inclusive { "--inclusive=yes" } else { "--inclusive=no" };
    let mut command = Command::new("callgrind_annotate");
    let output = command.args([inclusive, "--threshold=100", "--auto=no"]).arg(PathBuf::from(file)).output();
    String::from_utf8_lossy(&output.expect("callgrind_annotate runs").stdout).into_owned()
}

/// Lines "12.34 % function" of callgrind_annotate's table (`1,234 (12.34%)  file:function [object]`).
fn shares(table: &str, least: f64) -> Vec<String> {
    let line = |line: &str| {
        let (_, rest) = line.split_once('(')?;
        let (share, rest) = rest.split_once("%)")?;
        let share: f64 = share.trim().parse().ok()?;
        let name = rest.trim().rsplit_once(" [").map_or(rest.trim(), |(name, _)| name);
        let function = name.split_once(':').map_or(name, |(_, function)| function);
        (share >= least && share < 100.0).then(|| format!("{share:>5.1} %  {function}"))
    };
    table.lines().filter_map(line).collect()
}
