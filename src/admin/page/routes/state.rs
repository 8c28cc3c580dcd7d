//! State that all routes of the page share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use handoffd_engine::ports::metrics::BrokerQueue;
use jiff::Timestamp;

use crate::admin::api::ApiState;
use crate::admin::api::requester::Requester;
use crate::admin::audit::Identity;
use crate::admin::page::layout::{PageHead, SignIn};
use crate::organizations::TestReport;

/// State of the page's routes.
pub(super) struct PageState {
    pub(super) parts: Arc<ApiState>,
    /// Last test of each organization that was made from the page.
    pub(super) tests: Mutex<BTreeMap<String, (Timestamp, TestReport)>>,
}

impl PageState {
    /// Starts without a test.
    pub(super) fn new(parts: &Arc<ApiState>) -> Self {
        Self { parts: Arc::clone(parts), tests: Mutex::default() }
    }

    /// Returns the state shown in the header of every page.
    pub(super) fn standing(&self) -> PageHead {
        let depths = self.parts.metrics.queue_depths();
        let dead = depths.iter().find(|(queue, _)| matches!(queue, BrokerQueue::DeadLetters(_)));
        PageHead {
            status: self.parts.status(),
            at: Timestamp::now(),
            dead_letters: dead.and_then(|(_, depth)| *depth),
            session: match Requester::current().map(|requester| requester.identity) {
                Some(Identity::Token) => SignIn::Operator,
                Some(Identity::ReaderToken) => SignIn::Reader,
                Some(Identity::Local) | None => SignIn::Open,
            },
        }
    }

    pub(super) fn tests(&self) -> BTreeMap<String, (Timestamp, TestReport)> {
        self.tests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
