//! Reports on organizations, as their owners have written them, with their age. Pure.
//!
//! An unchanged report is not written again: it counts as confirmed whenever its writer, which must own the organization,
//! says that all its reports are up to date.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::fleet::SharedReport;
use uuid::Uuid;

use super::view::FleetView;

/// Age from which a report is not believed.
const OLD: Duration = Duration::from_secs(15);

/// Reports of all workers.
#[derive(Default, Debug)]
pub(super) struct SharedReports(HashMap<OrganizationId, KeptReport>);

/// Row of a report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ReportRow {
    /// Organization.
    pub organization: OrganizationId,
    /// Life of the worker that wrote it.
    pub worker: Uuid,
    /// Term for which it was written.
    pub term: i64,
    /// Report in the host's format.
    pub report: Arc<str>,
}

#[derive(Debug)]
struct KeptReport {
    row: ReportRow,
    /// Last time at which it was up to date.
    confirmed: Option<Instant>,
}

impl SharedReports {
    /// Adds rows that were read, and confirms those of owners whose reports were complete this long before `now`.
    pub(super) fn read(
        &mut self,
        rows: Vec<ReportRow>,
        complete: &HashMap<Uuid, Duration>,
        (view, now): (&FleetView, Instant),
    ) {
        for row in rows {
            let confirmed = self.0.get(&row.organization).and_then(|kept| kept.confirmed);
            self.0.insert(row.organization.clone(), KeptReport { row, confirmed });
        }
        for KeptReport { row, confirmed } in self.0.values_mut() {
            let owner = view.owners.get(&row.organization);
            // The view of owners may be older than the row.
            let is_owners = owner.is_none_or(|owner| {
                owner.term < row.term || (owner.term == row.term && owner.worker == Some(row.worker))
            });
            let at = complete.get(&row.worker).filter(|_| is_owners).and_then(|age| now.checked_sub(*age));
            *confirmed = at.max(*confirmed);
        }
    }

    /// Returns the report on an organization that another worker owns.
    pub(super) fn get(&self, organization: &OrganizationId, now: Instant) -> SharedReport {
        let is_recent = |at: Instant| now.saturating_duration_since(at) < OLD;
        match self.0.get(organization).filter(|kept| kept.confirmed.is_some_and(is_recent)) {
            Some(kept) => SharedReport::Recent(kept.row.report.clone()),
            None => SharedReport::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::OwnerRow;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn owned(worker: Option<u128>, term: i64) -> FleetView {
        let row = OwnerRow { worker: worker.map(Uuid::from_u128), term, released: None };
        FleetView { owners: [("org".into(), row)].into(), ..FleetView::default() }
    }

    fn row(worker: u128, term: i64, report: &str) -> ReportRow {
        ReportRow { organization: "org".into(), worker: Uuid::from_u128(worker), term, report: report.into() }
    }

    fn complete(worker: u128, age: Duration) -> HashMap<Uuid, Duration> {
        HashMap::from([(Uuid::from_u128(worker), age)])
    }

    fn found(reports: &SharedReports, now: Instant) -> Option<String> {
        match reports.get(&"org".into(), now) {
            SharedReport::Recent(text) => Some(text.to_string()),
            SharedReport::Own | SharedReport::Unknown => None,
        }
    }

    #[test]
    fn an_unchanged_report_holds_while_its_writer_confirms_it() {
        let (mut reports, now, view) = (SharedReports::default(), Instant::now() + OLD * 9, owned(Some(1), 1));
        assert_eq!(found(&reports, now), None);
        reports.read(vec![row(1, 1, "a")], &complete(1, SECOND * 2), (&view, now));
        assert_eq!(found(&reports, now).as_deref(), Some("a"));
        assert_eq!(found(&reports, now + SECOND * 12).as_deref(), Some("a"));
        assert_eq!(found(&reports, now + SECOND * 13), None, "older than 15 s");
        let later = now + SECOND * 60;
        reports.read(Vec::new(), &complete(1, SECOND), (&view, later));
        assert_eq!(found(&reports, later).as_deref(), Some("a"));
        reports.read(Vec::new(), &complete(1, OLD), (&view, later + OLD));
        assert_eq!(found(&reports, later + OLD), None, "its writer is silent");
    }

    #[test]
    fn only_the_owner_of_the_present_term_confirms_a_report() {
        let now = Instant::now() + OLD * 9;
        for (owner, term, expected) in [
            (Some(1), 3, Some("a")),
            (Some(1), 2, Some("a")), // the view is older than the row
            (Some(2), 4, None),
            (Some(1), 4, None), // the same worker, which has not reported since
            (None, 3, None),
        ] {
            let mut reports = SharedReports::default();
            reports.read(vec![row(1, 3, "a")], &complete(1, SECOND), (&owned(owner, term), now));
            assert_eq!(found(&reports, now).as_deref(), expected, "{owner:?} {term}");
        }
    }

    /// The old report is right until the next owner reports, which takes seconds.
    #[test]
    fn a_report_of_the_last_owner_stays_for_a_while() {
        let (mut reports, now) = (SharedReports::default(), Instant::now() + OLD * 9);
        reports.read(vec![row(1, 1, "a")], &complete(1, SECOND), (&owned(Some(1), 1), now));
        reports.read(Vec::new(), &complete(1, SECOND), (&owned(Some(2), 2), now + SECOND * 5));
        assert_eq!(found(&reports, now + SECOND * 5).as_deref(), Some("a"));
        assert_eq!(found(&reports, now + SECOND * 14), None);
        reports.read(vec![row(2, 2, "b")], &complete(2, SECOND), (&owned(Some(2), 2), now + SECOND * 14));
        assert_eq!(found(&reports, now + SECOND * 14).as_deref(), Some("b"));
    }
}
