//! Tests of organizations as jobs: each goes on without the browser that asked for it, reports its checks, and can be
//! cancelled.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use handoffd_engine::event::OrganizationId;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::organizations::{CheckProgress, Finding, Organizations, TestReport};

/// Most tests under way; each may wait for an environment that hangs.
const MOST: usize = 8;

/// Last test of each organization.
#[derive(Default)]
pub(crate) struct OrganizationTests(Mutex<BTreeMap<String, Arc<OrganizationTest>>>);

/// Test of an organization.
pub(crate) struct OrganizationTest {
    /// Time of the request.
    pub(crate) began: Timestamp,
    cancel: CancellationToken,
    state: Mutex<TestState>,
}

/// State of a test.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum TestState {
    /// Under way, with the checks made so far.
    Running(Vec<Finding>),
    /// Completed.
    Done(TestReport),
    /// Cancelled by an operator, with the checks made before.
    Cancelled(Vec<Finding>),
    /// Not carried out, for this reason.
    Failed(String),
}

impl OrganizationTests {
    /// Starts a test, unless one of the organization is under way. Returns false if too many are.
    pub(super) fn start(&self, organizations: &Arc<dyn Organizations>, id: &OrganizationId) -> bool {
        let mut tests = self.lock();
        if tests.get(id.as_str()).is_some_and(|test| test.is_running()) {
            return true;
        }
        if tests.values().filter(|test| test.is_running()).count() >= MOST {
            return false;
        }
        let test = Arc::new(OrganizationTest {
            began: Timestamp::now(),
            cancel: CancellationToken::new(),
            state: Mutex::new(TestState::Running(Vec::new())),
        });
        tests.insert(id.to_string(), Arc::clone(&test));
        tokio::spawn(run(test, Arc::clone(organizations), id.clone()));
        true
    }

    /// Cancels the test of an organization, if one is under way.
    pub(super) fn cancel(&self, id: &str) {
        if let Some(test) = self.lock().get(id) {
            test.cancel.cancel();
        }
    }

    /// Returns the last test of an organization.
    pub(super) fn get(&self, id: &str) -> Option<Arc<OrganizationTest>> {
        self.lock().get(id).cloned()
    }

    /// Forgets the tests of organizations that are gone, so that there are never more tests than organizations.
    pub(super) fn retain(&self, is_known: impl Fn(&str) -> bool) {
        self.lock().retain(|id, _| is_known(id));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<OrganizationTest>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OrganizationTest {
    /// Returns the present state.
    pub(crate) fn state(&self) -> TestState {
        self.lock().clone()
    }

    /// Returns true while it is under way.
    pub(crate) fn is_running(&self) -> bool {
        matches!(*self.lock(), TestState::Running(_))
    }

    fn lock(&self) -> MutexGuard<'_, TestState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn run(test: Arc<OrganizationTest>, organizations: Arc<dyn Organizations>, id: OrganizationId) {
    let observed = Arc::clone(&test);
    let progress: CheckProgress = Arc::new(move |finding| {
        if let TestState::Running(found) = &mut *observed.lock() {
            found.push(finding.clone());
        }
    });
    let end = tokio::select! {
        tested = organizations.test(&id, progress) => match tested {
            Ok(report) => TestState::Done(report),
            Err(error) => TestState::Failed(error.to_string()),
        },
        () = test.cancel.cancelled() => match test.state() {
            TestState::Running(found) => TestState::Cancelled(found),
            ended => ended,
        },
    };
    *test.lock() = end;
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use serde_json::Value;
    use tokio::sync::Notify;

    use super::*;
    use crate::organizations::{CheckResult, OrganizationError, OrganizationView, SetupHalf};

    /// Organizations whose tests make one check and wait until they are let go on.
    #[derive(Default)]
    struct SlowOrganizations(Notify);

    fn finding() -> Finding {
        let (check, half, result) = ("token", SetupHalf::Credentials, CheckResult::Passed);
        Finding { check, half, result, message: String::new(), advice: String::new() }
    }

    #[async_trait]
    impl Organizations for SlowOrganizations {
        async fn list(&self) -> Vec<OrganizationView> {
            Vec::new()
        }

        async fn test(&self, id: &OrganizationId, progress: CheckProgress) -> Result<TestReport, OrganizationError> {
            progress(&finding());
            self.0.notified().await;
            Ok(TestReport { organization_id: id.to_string(), passed: true, checks: vec![finding()] })
        }

        async fn pause(&self, id: &OrganizationId) -> Result<OrganizationView, OrganizationError> {
            Err(OrganizationError::Unknown(id.clone()))
        }

        async fn resume(&self, id: &OrganizationId) -> Result<OrganizationView, OrganizationError> {
            Err(OrganizationError::Unknown(id.clone()))
        }

        async fn save(&self, id: &OrganizationId, _: Value) -> Result<TestReport, OrganizationError> {
            Err(OrganizationError::Unknown(id.clone()))
        }

        async fn delete(&self, id: &OrganizationId) -> Result<(), OrganizationError> {
            Err(OrganizationError::Unknown(id.clone()))
        }
    }

    async fn reaches(test: &OrganizationTest, is_so: impl Fn(&TestState) -> bool) {
        while !is_so(&test.state()) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_test_reports_its_checks_and_ends_or_is_cancelled() {
        let (tests, slow) = (OrganizationTests::default(), Arc::new(SlowOrganizations::default()));
        let organizations: Arc<dyn Organizations> = slow.clone();
        let id = OrganizationId::from("org_acme");
        assert!(tests.start(&organizations, &id));
        let test = tests.get("org_acme").unwrap();
        reaches(&test, |state| *state == TestState::Running(vec![finding()])).await;
        assert!(tests.start(&organizations, &id));
        assert!(Arc::ptr_eq(&test, &tests.get("org_acme").unwrap()), "one at a time");
        slow.0.notify_one();
        reaches(&test, |state| matches!(state, TestState::Done(report) if report.passed)).await;

        assert!(tests.start(&organizations, &id));
        let test = tests.get("org_acme").unwrap();
        reaches(&test, |state| *state == TestState::Running(vec![finding()])).await;
        tests.cancel("org_acme");
        reaches(&test, |state| *state == TestState::Cancelled(vec![finding()])).await;

        for n in 0..MOST {
            assert!(tests.start(&organizations, &format!("org_{n}").as_str().into()));
        }
        assert!(!tests.start(&organizations, &id), "too many");
        tests.retain(|id| id == "org_0");
        assert!(tests.get("org_1").is_none() && tests.get("org_0").is_some());
    }
}
