//! Times from which the verdict and the worker's unreadiness hold.

use jiff::Timestamp;

use super::verdict::{StatusReason, WorkerReadiness, WorkerStatus, WorkerVerdict};

/// Last verdict, for its start.
#[derive(Default, Debug)]
pub struct StatusMemory {
    verdict: Option<(WorkerVerdict, Timestamp)>,
    unready: Option<Timestamp>,
}

impl StatusMemory {
    /// Returns the status, given the worker's readiness and the reasons that organizations and files give.
    pub fn status(&mut self, worker: &WorkerReadiness, others: Vec<StatusReason>, now: Timestamp) -> WorkerStatus {
        let verdict = worker.verdict(&others);
        self.verdict = self.verdict.filter(|(before, _)| *before == verdict).or(Some((verdict, now)));
        let is_unready = !worker.unready.is_empty();
        self.unready = is_unready.then(|| self.unready.unwrap_or(now));
        let reasons = worker.reasons(self.unready.unwrap_or(now)).chain(others).collect();
        WorkerStatus { verdict, since: self.verdict.map_or(now, |(_, since)| since), reasons }
    }
}
