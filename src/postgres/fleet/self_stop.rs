//! Thread that ends the process when its runtime hangs: others have taken over by then, and what a hanging process does
//! when it goes on is not foreseeable.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{Builder, sleep};
use std::time::Duration;

use tracing::{error, warn};

/// Number of looks in four leases.
const LOOKS: u32 = 16;
/// Exit status of a process that has ended itself: a software failure (`sysexits.h`).
const HANGS: i32 = 70;

/// Sign of life of the heartbeat.
#[derive(Clone, Default)]
pub(super) struct Pulse(Arc<PulseCounts>);

#[derive(Default)]
struct PulseCounts {
    ticks: AtomicU64,
    over: AtomicBool,
}

impl Pulse {
    /// Records that the heartbeat runs, whether or not the server answers.
    pub(super) fn tick(&self) {
        self.0.ticks.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends the watch.
    pub(super) fn end(&self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}

/// Starts the thread. It ends the process when the heartbeat has not run for four leases.
pub(super) fn watch(pulse: Pulse, lease: Duration) {
    let ends = || {
        error!("the worker hangs: its heartbeat has not run for four leases; ending the process");
        std::process::exit(HANGS);
    };
    let run = move || {
        if hangs(&pulse, lease / 4) {
            ends();
        }
    };
    if let Err(problem) = Builder::new().name("self-stop".to_owned()).spawn(run) {
        warn!(error = %problem, "could not start the thread that ends a hanging worker");
    }
}

/// Returns true once the heartbeat has not run for a number of looks; false once the watch is over.
///
/// Looks are counted, not time: a process that was suspended as a whole has not looked either, and gets the time to find
/// out that it is lost.
fn hangs(pulse: &Pulse, pause: Duration) -> bool {
    let (mut last, mut missed) = (0, 0);
    while !pulse.0.over.load(Ordering::Relaxed) {
        sleep(pause);
        let ticks = pulse.0.ticks.load(Ordering::Relaxed);
        missed = if ticks == last { missed + 1 } else { 0 };
        last = ticks;
        if missed >= LOOKS {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_millis(1);

    #[test]
    fn a_heartbeat_that_stops_is_noticed() {
        let pulse = Pulse::default();
        pulse.tick();
        assert!(hangs(&pulse, PAUSE));
    }

    #[test]
    fn a_heartbeat_that_runs_is_left_alone() {
        let pulse = Pulse::default();
        let beats = pulse.clone();
        let heart = std::thread::spawn(move || {
            for _ in 0..200 {
                beats.tick();
                sleep(PAUSE);
            }
            beats.end();
        });
        assert!(!hangs(&pulse, 20 * PAUSE));
        heart.join().unwrap();
    }
}
