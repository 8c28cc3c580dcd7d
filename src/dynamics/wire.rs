//! Measurement of requests: metrics and trace spans.

use std::sync::Arc;
use std::time::{Duration, Instant};

use handoffd_engine::ports::metrics::{Measurement, Metrics};
use handoffd_engine::ports::trace;
use handoffd_engine::workflow::StepName;
use tracing::Instrument;

use super::answer::Answer;
use super::client::{Client, Unanswered};

/// Client for Dynamics and Entra ID with the metrics of its requests.
pub(super) struct DynamicsWire {
    pub(super) client: Client,
    pub(super) metrics: Arc<dyn Metrics>,
}

impl DynamicsWire {
    /// Waits for an answer, records it in the metrics, and returns it with the elapsed time.
    pub(super) async fn exchange(
        &self,
        step: StepName,
        asking: impl Future<Output = Result<Answer, Unanswered>>,
    ) -> (Result<Answer, Unanswered>, Duration) {
        let started = Instant::now();
        let span = trace::request(step);
        let result = asking.instrument(span.clone()).await;
        let elapsed = started.elapsed();
        let status = result.as_ref().map_or(0, |answer| answer.status);
        let request_id = result.as_ref().ok().and_then(|answer| answer.request_id).map(|id| id.to_string());
        trace::answered(&span, status, request_id.as_deref());
        self.metrics.record(Measurement::Answered { step, status, elapsed });
        (result, elapsed)
    }
}
