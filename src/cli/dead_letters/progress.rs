//! Progress on standard error: a bar on a terminal, otherwise a line every few seconds.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::shell::print_status;

/// Interval between two lines.
const EVERY: Duration = Duration::from_secs(5);

/// Progress of a scan.
pub(super) struct ProgressReport {
    bar: ProgressBar,
    said: Instant,
}

impl ProgressReport {
    pub(super) fn begin() -> Self {
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {per_sec} {eta}");
        // Hidden unless standard error is a terminal; the template is a constant that parses.
        let bar = ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, said: Instant::now() }
    }

    /// Bar to suspend while other output is written to the same terminal.
    pub(super) fn bar(&self) -> ProgressBar {
        self.bar.clone()
    }

    pub(super) fn at(&mut self, count: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(count);
        if self.bar.is_hidden() && self.said.elapsed() >= EVERY {
            self.said = Instant::now();
            print_status(format_args!("scanned {count} of {total} dead letters"));
        }
    }

    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
