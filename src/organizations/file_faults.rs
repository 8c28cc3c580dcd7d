//! Faults of organization files and saved organizations, each from when it was first seen until it is corrected.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::files::Update;
use crate::config::FaultPlace;
use crate::status::StatusReason;

/// Advice on a file whose organization is unknown.
const ADVICE: &str = "Correct or remove the file; `handoffd config check` lists every fault. Events of unknown organizations \
                      wait in retry queues until then.";
/// Advice on a saved organization that can't be read.
const SAVED: &str =
    "Save it again (PUT /api/v1/organizations/ID), or delete it; its events are dead-lettered until then.";

/// Faults by file.
#[derive(Default)]
pub(super) struct FileFaults {
    /// Files whose last valid version is in effect.
    kept: BTreeMap<PathBuf, (Timestamp, String)>,
    /// Files whose organization is unknown.
    unidentified: BTreeMap<PathBuf, (Timestamp, String)>,
    /// Saved organizations that can't be read, by the text of their problem.
    saved: BTreeMap<String, Timestamp>,
}

impl FileFaults {
    /// Applies a reading of the directory.
    pub(super) fn read(&mut self, update: &Update, now: Timestamp) {
        let keep = |before: &BTreeMap<PathBuf, (Timestamp, String)>, file: &PathBuf| {
            let since = before.get(file).map_or(now, |(since, _)| *since);
            (file.clone(), (since, faults(update, file)))
        };
        self.kept = update.kept.iter().map(|file| keep(&self.kept, file)).collect();
        self.unidentified = update.snapshot.unidentified().map(|file| keep(&self.unidentified, file)).collect();
    }

    /// Replaces the problems of saved organizations that can't be read.
    pub(super) fn read_saved(&mut self, problems: impl Iterator<Item = String>, now: Timestamp) {
        self.saved =
            problems.map(|problem| (problem.clone(), self.saved.get(&problem).copied().unwrap_or(now))).collect();
    }

    /// Returns the start and the text of the faults of a file whose last valid version is in effect.
    pub(super) fn of(&self, file: Option<&Path>) -> Option<(Timestamp, String)> {
        self.kept.get(file?).cloned()
    }

    /// Returns the number of files whose organization is unknown.
    pub(super) fn unidentified(&self) -> usize {
        self.unidentified.len()
    }

    /// Returns the faults that concern no known organization.
    pub(super) fn reasons(&self) -> Vec<StatusReason> {
        let reason = |cause: String, advice: &str, since: Timestamp| StatusReason {
            organization_id: None,
            cause,
            advice: advice.to_owned(),
            since,
        };
        let files = self.unidentified.iter().map(|(file, (since, faults))| {
            let cause = format!("faulty file {}, whose organization is unknown: {faults}", file.display());
            reason(cause, ADVICE, *since)
        });
        let saved = self.saved.iter().map(|(problem, since)| {
            let cause = format!("saved organization can't be read: {problem}");
            reason(cause, SAVED, *since)
        });
        files.chain(saved).collect()
    }
}

/// Returns the faults of a file in one line; those of the directory if it has none of its own.
fn faults(update: &Update, file: &Path) -> String {
    let is_own = |place: &FaultPlace| matches!(place, FaultPlace::File { path, .. } if path == file);
    let all = || update.faults.0.iter();
    let own: Vec<String> = all().filter(|fault| is_own(&fault.place)).map(ToString::to_string).collect();
    let found = if own.is_empty() { all().map(ToString::to_string).collect() } else { own };
    found.join("; ").replace('\n', "; ")
}
