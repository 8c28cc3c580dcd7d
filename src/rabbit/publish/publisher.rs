//! Publisher that waits for the broker's confirms. Each destination has a lane.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use lapin::BasicProperties;
use tokio::sync::{mpsc, oneshot};

use super::address::{Address, PublishFailure, short};
use super::lane::{PublishJob, PublishLane, PublishPolicy, PublishResult};
use crate::rabbit::connection::addresses::Reached;
use crate::rabbit::connection::confirm_pool::ConfirmPool;
use crate::rabbit::shared::lock;

/// Publisher that waits for confirms. Dropping it discards the messages that have not been sent.
pub(in crate::rabbit) struct ConfirmedPublisher {
    policy: PublishPolicy,
    channels: Arc<ConfirmPool>,
    /// Destinations by the name of the exchange or queue.
    destinations: Mutex<HashMap<String, mpsc::UnboundedSender<Box<PublishJob>>>>,
}

impl ConfirmedPublisher {
    /// Opens a connection, named for its purpose.
    pub(in crate::rabbit) async fn connect(
        reached: &Reached,
        does: &'static str,
        policy: PublishPolicy,
    ) -> Result<Self, String> {
        let channels = Arc::new(ConfirmPool::connect(reached, does).await?);
        Ok(Self { policy, channels, destinations: Mutex::default() })
    }

    /// Connections, and the channels on them.
    pub(in crate::rabbit) fn channels(&self) -> &ConfirmPool {
        &self.channels
    }

    /// Publishes a mandatory message and returns the broker's confirm. A destination receives its messages in the order
    /// of the calls.
    pub(in crate::rabbit) fn send(
        &self,
        to: Address<'_>,
        body: Bytes,
        properties: BasicProperties,
    ) -> impl Future<Output = PublishResult> + Send + use<> {
        let queued = self.queue(to, body, properties);
        async move { queued?.await.unwrap_or_else(|_| Err(PublishFailure::Gone)) }
    }

    /// Returns true if a destination does not confirm or refuses write permission.
    pub(in crate::rabbit) fn is_in_trouble(&self, name: &str) -> bool {
        self.policy.faults.as_ref().is_some_and(|faults| faults.contains(name))
    }

    fn queue(
        &self,
        to: Address<'_>,
        body: Bytes,
        properties: BasicProperties,
    ) -> Result<oneshot::Receiver<PublishResult>, PublishFailure> {
        let (answer, confirmed) = oneshot::channel();
        let (exchange, routing_key) = (short(to.exchange)?, short(to.routing_key)?);
        let job = Box::new(PublishJob { exchange, routing_key, body, properties, answer });
        let mut destinations = lock(&self.destinations);
        let jobs = match destinations.get(to.name()) {
            Some(jobs) => jobs,
            None => destinations.entry(to.name().to_owned()).or_insert_with(|| {
                PublishLane::begin(to.name().to_owned(), self.policy.clone(), self.channels.clone())
            }),
        };
        jobs.send(job).map_err(|_| PublishFailure::Gone)?;
        Ok(confirmed)
    }
}
