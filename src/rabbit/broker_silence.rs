//! Notices a broker that keeps its connections open and answers nothing.

use std::time::Duration;

use handoffd_engine::ports::metrics::{Measurement, Metrics};
use lapin::options::BasicQosOptions;
use tokio::time::timeout;
use tracing::{info, warn};

use super::link::Link;
use super::refusal;
use super::state::SharedState;

/// Interval between questions.
const EVERY: Duration = Duration::from_secs(2);
/// Time without an answer after which the broker counts as silent. Heartbeats end its connections only after two of
/// their intervals (20 s by default), and operators must see it within 15 s (contract 9).
const SILENT: Duration = Duration::from_secs(5);

/// Asks the broker again and again, and reports while it does not answer. Returns when the channel breaks, with the
/// reason.
///
/// The connection stays unless there is another address: a broker that is merely busy answers later, and one that hangs
/// ends it by missing heartbeats. A node of a cluster is replaced within 10 s (contract 1).
pub(super) async fn watch(link: &Link, place: &str, state: &SharedState, metrics: &dyn Metrics) -> String {
    let channel = match link.consuming_channel().await {
        Ok(channel) => channel,
        Err(error) => return refusal::in_words(&error),
    };
    loop {
        // The cheapest question that no queue takes part in. The channel consumes nothing, so it limits nothing.
        let mut answer = std::pin::pin!(channel.basic_qos(1, BasicQosOptions::default()));
        let answered = if let Ok(answered) = timeout(SILENT, &mut answer).await {
            answered
        } else {
            let why = format!("the broker at {place} has answered nothing for {} s", SILENT.as_secs());
            if link.reached().has_others {
                state.set_silent(Some(why.clone()));
                return why;
            }
            warn!(broker = %place, "{why}; waiting for it, or for the end of its heartbeats");
            state.set_silent(Some(why));
            metrics.record(Measurement::BrokerConnected(false));
            let answered = answer.await;
            if answered.is_ok() {
                info!(broker = %place, "the broker answers again");
                state.set_silent(None);
                metrics.record(Measurement::BrokerConnected(true));
            }
            answered
        };
        if let Err(error) = answered {
            return refusal::in_words(&error);
        }
        tokio::time::sleep(EVERY).await;
    }
}
