//! Troubles of organizations and faults of files as of the last second, and the times from which verdicts hold.
//!
//! One task reads the organizations; API, page and metrics show what it has read, so that they agree and cost nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::organizations::{OrganizationView, OrganizationsReport};
use crate::status::{StatusMemory, StatusReason, WorkerReadiness, WorkerStatus};

/// Last reading of the organizations.
#[derive(Default)]
pub struct StatusBoard(Mutex<BoardEntries>);

#[derive(Default)]
struct BoardEntries {
    memory: StatusMemory,
    /// Troubles of organizations, and faults of files.
    reasons: Vec<StatusReason>,
    unidentified_files: usize,
    is_silent: bool,
}

impl StatusBoard {
    /// Returns the status, given the worker's readiness now.
    pub(super) fn status(&self, worker: &WorkerReadiness, now: Timestamp) -> WorkerStatus {
        let mut entries = self.entries();
        let reasons = entries.reasons.clone();
        entries.memory.status(worker, reasons, now)
    }

    /// Returns true if the organizations could not be read last time.
    pub(super) fn is_silent(&self) -> bool {
        self.entries().is_silent
    }

    /// Returns the number of files whose organization is unknown.
    pub(super) fn unidentified_files(&self) -> usize {
        self.entries().unidentified_files
    }

    /// Replaces the entries, and returns the organizations; none if they could not be read.
    pub(super) fn read(&self, report: Option<OrganizationsReport>) -> Vec<OrganizationView> {
        let mut entries = self.entries();
        entries.is_silent = report.is_none();
        let Some(OrganizationsReport { mut organizations, faults, unidentified_files }) = report else {
            return Vec::new();
        };
        let troubles = organizations.iter_mut().flat_map(|view| std::mem::take(&mut view.troubles));
        entries.reasons = faults.into_iter().chain(troubles).collect();
        entries.unidentified_files = unidentified_files;
        organizations
    }

    fn entries(&self) -> MutexGuard<'_, BoardEntries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
