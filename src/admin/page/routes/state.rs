//! State that all routes of the page share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use handoffd_engine::ports::metrics::BrokerQueue;
use handoffd_engine::workflow::Phase;
use jiff::Timestamp;
use uuid::Uuid;

use crate::admin::api::ApiState;
use crate::admin::api::requester::Requester;
use crate::admin::audit::Identity;
use crate::admin::organization_tests::OrganizationTests;
use crate::admin::page::layout::{PageHead, SignIn};

/// State of the page's routes.
pub(super) struct PageState {
    pub(super) parts: Arc<ApiState>,
    /// Last test of each organization that was made from the page.
    pub(super) tests: OrganizationTests,
    /// Final phases of the events that jobs have replayed.
    ended: Mutex<BTreeMap<Uuid, BTreeMap<usize, Phase>>>,
}

impl PageState {
    /// Starts without a test.
    pub(super) fn new(parts: &Arc<ApiState>) -> Self {
        Self { parts: Arc::clone(parts), tests: OrganizationTests::default(), ended: Mutex::default() }
    }

    /// Returns the state shown in the header of every page.
    pub(super) fn standing(&self) -> PageHead {
        let depths = self.parts.metrics.queue_depths();
        let dead = depths.iter().find(|(queue, _)| matches!(queue, BrokerQueue::DeadLetters(_)));
        PageHead {
            status: self.parts.status(),
            at: Timestamp::now(),
            dead_letters: dead.and_then(|(_, depth)| *depth),
            session: self.session(),
        }
    }

    /// Returns the rights of the reader.
    #[allow(clippy::unused_self)] // belongs to the page, although the task knows it
    pub(super) fn session(&self) -> SignIn {
        match Requester::current().map(|requester| requester.identity) {
            Some(Identity::Token) => SignIn::Operator,
            Some(Identity::ReaderToken) => SignIn::Reader,
            Some(Identity::Local) | None => SignIn::Open,
        }
    }

    /// Returns the final phases of a job's events, by the number of the result, as far as they are known.
    pub(super) fn ended(&self, job: Uuid) -> BTreeMap<usize, Phase> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).get(&job).cloned().unwrap_or_default()
    }

    /// Remembers the final phases of a job's events, and forgets those of jobs that are gone.
    pub(super) fn keep_ended(&self, job: Uuid, phases: BTreeMap<usize, Phase>) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.retain(|job, _| self.parts.letters.jobs.get(*job).is_some());
        ended.insert(job, phases);
    }
}
