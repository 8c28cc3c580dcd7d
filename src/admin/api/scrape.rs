//! `/metrics`, for a bounded number of clients and in a bounded share of the time.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use super::problem::Problem;
use crate::telemetry::metrics::{CONTENT_TYPE, PrometheusMetrics};

/// Limit of responses that are rendered and not yet sent: with 2,000 organizations each has some megabytes.
const MOST: usize = 8;
/// Longest wait for a turn.
const WAIT: Duration = Duration::from_secs(5);
/// Pause after rendering, as a multiple of the time that it took: metrics take a tenth of the thread at most.
const REST: u32 = 9;

/// Clients of `/metrics`.
pub(super) struct Scrapes {
    responses: Arc<Semaphore>,
    turn: Arc<Semaphore>,
}

impl Default for Scrapes {
    fn default() -> Self {
        Self { responses: Arc::new(Semaphore::new(MOST)), turn: Arc::new(Semaphore::new(1)) }
    }
}

impl Scrapes {
    /// Renders the metrics when it is this client's turn.
    pub(super) async fn render(&self, metrics: &PrometheusMetrics) -> Result<Response, Problem> {
        let turn = async {
            // Neither semaphore is ever closed.
            let response = Arc::clone(&self.responses).acquire_owned().await;
            (response, Arc::clone(&self.turn).acquire_owned().await)
        };
        let (response, turn) = timeout(WAIT, turn).await.map_err(|_| too_busy())?;
        let began = Instant::now();
        let text = Bytes::from(metrics.render());
        let rest = began.elapsed() * REST;
        tokio::spawn(async move {
            sleep(rest).await;
            drop(turn);
        });
        // The place is left once the client has read all but what the system buffers.
        let body = stream::unfold((Some(text), response), |(text, response)| async {
            Some((Ok::<_, std::convert::Infallible>(text?), (None, response)))
        });
        Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], Body::from_stream(body)).into_response())
    }
}

fn too_busy() -> Problem {
    Problem::unavailable("too many requests for metrics; try again in a moment".to_owned())
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn unread_responses_are_bounded_and_leave_their_places_when_read_or_dropped() {
        let (scrapes, metrics) = (Scrapes::default(), PrometheusMetrics::new());
        let mut unread = Vec::new();
        for _ in 0..MOST {
            unread.push(scrapes.render(&metrics).await.unwrap());
        }
        assert_eq!(scrapes.render(&metrics).await.unwrap_err().status(), 503);
        drop(unread.pop());
        let read = scrapes.render(&metrics).await.unwrap();
        assert_eq!(scrapes.render(&metrics).await.unwrap_err().status(), 503);
        let chunks: Vec<_> = read.into_body().into_data_stream().collect().await;
        assert!(chunks.len() == 1 && chunks[0].as_ref().is_ok_and(|text| text.starts_with(b"# HELP")));
        assert!(scrapes.render(&metrics).await.is_ok());
    }
}
