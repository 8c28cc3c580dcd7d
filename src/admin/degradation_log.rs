//! Log lines of organizations that are degraded: one when that begins and one when it ends, none for each event. Other
//! troubles of organizations are logged where they are found.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tracing::{info, warn};

use crate::organizations::{OrganizationState, OrganizationView};

/// Shortest time between two warnings about one organization, whose requests may fail by turns.
const INTERVAL: Duration = Duration::from_secs(300);

/// Degraded organizations that this worker owns.
#[derive(Default)]
pub(super) struct DegradationLog(BTreeMap<String, Degradation>);

/// Degradation that was logged.
struct Degradation {
    /// Time of the warning.
    warned: Timestamp,
    /// Time from which the organization was degraded; `None` if that has ended.
    since: Option<Timestamp>,
}

/// Change that is worth a line.
#[derive(PartialEq, Debug)]
enum LoggedChange<'a> {
    /// The organization is degraded, with cause and advice.
    Began(&'a str, &'a str, &'a str),
    /// The organization works again, after this time.
    Ended(&'a str, Duration),
}

impl DegradationLog {
    /// Logs what has changed since the last reading.
    pub(super) fn read(&mut self, views: &[OrganizationView], now: Timestamp) {
        for change in self.changes(views, now) {
            match change {
                LoggedChange::Began(id, cause, advice) => {
                    warn!(organization_id = id, cause, advice, "organization is degraded");
                }
                LoggedChange::Ended(id, degraded_for) => {
                    let seconds = degraded_for.as_secs();
                    info!(organization_id = id, degraded_for_s = seconds, "organization is no longer degraded");
                }
            }
        }
    }

    fn changes<'a>(&mut self, views: &'a [OrganizationView], now: Timestamp) -> Vec<LoggedChange<'a>> {
        let changes = views.iter().filter_map(|view| self.change(view, now)).collect();
        // Owned by another worker, or removed: a later degradation here is another one.
        self.0.retain(|id, it| {
            passed(it.warned, now) < INTERVAL
                || it.since.is_some() && views.iter().any(|view| view.organization_id == *id)
        });
        changes
    }

    fn change<'a>(&mut self, view: &'a OrganizationView, now: Timestamp) -> Option<LoggedChange<'a>> {
        let id = &view.organization_id;
        // Its owner logs it.
        let is_elsewhere = view.blocked_elsewhere.is_some();
        match &view.state {
            OrganizationState::Degraded { since, error, advice } if !is_elsewhere => {
                let known = self.0.get(id);
                if known.is_some_and(|known| known.since.is_some() || passed(known.warned, now) < INTERVAL) {
                    return None;
                }
                self.0.insert(id.clone(), Degradation { warned: now, since: Some(*since) });
                Some(LoggedChange::Began(id, error, advice))
            }
            OrganizationState::Open => {
                let since = self.0.get_mut(id)?.since.take()?;
                (!is_elsewhere).then(|| LoggedChange::Ended(id, passed(since, now)))
            }
            // A trouble that explains more, with lines of its own: whether the organization works shows afterwards.
            _ => None,
        }
    }
}

fn passed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::page::sample_view;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn view(id: &str, state: OrganizationState) -> OrganizationView {
        OrganizationView { state, ..sample_view(id) }
    }

    fn degraded(id: &str) -> OrganizationView {
        let (error, advice) = ("5 of 5 requests failed".to_owned(), "Check it.".to_owned());
        view(id, OrganizationState::Degraded { since: at(0), error, advice })
    }

    /// Number of warnings and of other lines that a reading causes.
    fn lines(log: &mut DegradationLog, view: &OrganizationView, second: i64) -> (usize, usize) {
        let changes = log.changes(std::slice::from_ref(view), at(second));
        let warnings = changes.iter().filter(|change| matches!(change, LoggedChange::Began(..))).count();
        (warnings, changes.len() - warnings)
    }

    #[test]
    fn a_degradation_is_logged_at_its_start_and_at_its_end() {
        let mut log = DegradationLog::default();
        let (bad, good) = (degraded("a"), view("a", OrganizationState::Open));
        assert_eq!(lines(&mut log, &good, 0), (0, 0));
        let began = LoggedChange::Began("a", "5 of 5 requests failed", "Check it.");
        assert_eq!(log.changes(std::slice::from_ref(&bad), at(1)), [began]);
        assert_eq!(lines(&mut log, &bad, 2), (0, 0));
        let throttled = view("a", OrganizationState::Throttled { until: at(9) });
        assert_eq!([lines(&mut log, &throttled, 3), lines(&mut log, &bad, 4)], [(0, 0); 2], "it is the same one");
        let ended = LoggedChange::Ended("a", Duration::from_secs(400));
        assert_eq!(log.changes(std::slice::from_ref(&good), at(400)), [ended]);
        assert_eq!([lines(&mut log, &good, 401), lines(&mut log, &bad, 402)], [(0, 0), (1, 0)]);
    }

    #[test]
    fn requests_that_fail_by_turns_are_one_warning_in_five_minutes() {
        let mut log = DegradationLog::default();
        let (bad, good) = (degraded("a"), view("a", OrganizationState::Open));
        let all: Vec<_> =
            (0..301).map(|second| lines(&mut log, if second % 2 == 0 { &bad } else { &good }, second)).collect();
        let sum = all.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        assert_eq!((sum, all[300]), ((2, 1), (1, 0)), "it is degraded still when the five minutes are over");
    }

    #[test]
    fn each_organization_is_logged_by_its_owner() {
        let mut log = DegradationLog::default();
        let elsewhere = OrganizationView { blocked_elsewhere: Some(false), ..degraded("a") };
        assert_eq!(lines(&mut log, &elsewhere, 0), (0, 0));
        assert_eq!(log.changes(&[degraded("a"), degraded("b")], at(1)).len(), 2);
        assert_eq!(lines(&mut log, &OrganizationView { state: OrganizationState::Open, ..elsewhere }, 2), (0, 0));
    }
}
