//! Keeps a line to the broker up, and a consumer of the inbox on it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use handoffd_engine::ports::metrics::{Measurement, Metrics};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::broker_silence;
use super::connection::backoff::ReconnectBackoff;
use super::consume::consumer::{Caution, DeliverySender, SubscriptionEnd, forward};
use super::consume::held_channel::HeldChannels;
use super::consume::settle::ConsumeContext;
use super::consume::subscription::Subscription;
use super::dead_letters::broker_deaths::BrokerDeaths;
use super::link::{Link, LinkError};
use super::options::RabbitOptions;
use super::publish::destination_faults::DestinationFaults;
use super::queue_depths;
use super::shared::send_if_new;
use super::state::SharedState;
use super::topology::declare::TopologyError;
use super::topology::organization_queues::OrganizationQueues;

/// Interval between checks for a broker that blocks publishers.
const CHECK_BLOCKED_EVERY: Duration = Duration::from_millis(500);

/// Task that keeps the line up until the bus closes.
pub(super) struct Supervisor {
    pub options: Arc<RabbitOptions>,
    pub state: Arc<SharedState>,
    pub metrics: Arc<dyn Metrics>,
    pub outlet: Arc<DeliverySender>,
    pub queues: Arc<OrganizationQueues>,
    pub deaths: Arc<BrokerDeaths>,
    pub faults: Arc<DestinationFaults>,
    pub signals: SupervisorSignals,
}

/// Signals to the supervisor.
#[derive(Clone, Default)]
pub(super) struct SupervisorSignals {
    /// Start consuming.
    pub consume: CancellationToken,
    /// Consume nothing for now, for this reason; set by the owner of the bus.
    pub pause: watch::Sender<Option<String>>,
    /// Consume nothing for now, for this reason; merged from the owner's and the bus's own.
    pub paused: watch::Sender<Option<String>>,
    /// Stop consuming for good.
    pub stop: CancellationToken,
    /// Close both connections.
    pub close: CancellationToken,
}

impl Supervisor {
    /// Runs until the bus closes.
    pub(super) async fn run(self) {
        self.metrics.record(Measurement::BrokerConnected(false));
        let mut backoff = ReconnectBackoff::new();
        let (mut care, mut silent) = (Caution::OneAtATime, None);
        let close = self.signals.close.clone();
        while !close.is_cancelled() {
            let established = tokio::select! {
                established = Link::establish(&self.options, &self.faults, &self.queues, silent) => established,
                () = close.cancelled() => return,
            };
            match established {
                Ok(link) => {
                    let since = Instant::now();
                    silent = self.hold(Arc::new(link), &mut care).await;
                    backoff.reset_after(since.elapsed());
                }
                Err(reason) => self.without(reason),
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.pause()) => {}
                () = close.cancelled() => {}
            }
        }
    }

    /// Serves a line until it breaks or the bus closes. Returns the address if its node has fallen silent.
    async fn hold(&self, link: Arc<Link>, care: &mut Caution) -> Option<SocketAddr> {
        info!(broker = %self.options.place(), node = %link.reached().address, "connected to the broker");
        let context = Arc::new(ConsumeContext {
            link: link.clone(),
            options: self.options.clone(),
            queues: self.queues.clone(),
            deaths: self.deaths.clone(),
            channels: HeldChannels::default(),
        });
        self.state.connected(context.clone());
        self.metrics.record(Measurement::BrokerConnected(true));
        let close = self.signals.close.clone();
        // Organizations that were set while the line was being established have no queue yet.
        if let Err(shortfall) = self.queues.declare_new(link.reached()).await {
            link.end(&shortfall.in_words());
        }
        let place = self.options.place();
        let why = tokio::select! {
            why = link.wait_broken() => why,
            why = self.work(&context, care) => why,
            () = self.merge_pauses(&link) => String::new(),
            why = broker_silence::watch(&link, &place, &self.state, self.metrics.as_ref()) => why,
            why = queue_depths::report(&context, &self.state, self.metrics.as_ref()) => why,
            () = close.cancelled() => "closed".to_owned(),
        };
        link.end(&why);
        self.metrics.record(Measurement::BrokerConnected(false));
        let silent = (!self.state.answers()).then_some(link.reached().address);
        self.state.set_disconnected(format!("the connection to the broker at {place} was lost: {why}"));
        self.queues.forget();
        self.faults.clear_all();
        if close.is_cancelled() {
            info!(broker = %place, "closing the connection to the broker");
            link.close().await;
        } else {
            warn!(
                broker = %place,
                reason = %why,
                unsettled = link.lost(),
                "lost the connection to the broker; reconnecting; the broker redelivers the unsettled messages"
            );
            // In the background, because a hanging broker must not delay the connection to its successor.
            tokio::spawn(async move { link.close().await });
        }
        silent
    }

    /// Consumes the inbox until the bus stops, except during pauses. Returns only when something breaks, with the
    /// reason.
    async fn work(&self, context: &Arc<ConsumeContext>, care: &mut Caution) -> String {
        self.signals.consume.cancelled().await;
        let mut pause = self.signals.paused.subscribe();
        while self.may_consume(&mut pause).await {
            self.queues.complete().await;
            self.await_queues().await;
            if *care == Caution::OneAtATime && self.is_inbox_empty(&context.link).await {
                *care = Caution::None;
            }
            let prefetch = if *care == Caution::OneAtATime { 1 } else { self.options.prefetch };
            let mut subscription = match Subscription::inbox(&context.link, &self.options.queue, prefetch).await {
                Ok(subscription) => subscription,
                Err(error) => return error.to_string(),
            };
            self.state.consuming();
            if *care == Caution::None {
                info!(queue = %self.options.queue, prefetch, "started consuming");
            }
            let stop = &self.signals.stop;
            match forward(&mut subscription, context, &self.outlet, *care, (stop, &mut pause)).await {
                SubscriptionEnd::Broken(why) => return why,
                SubscriptionEnd::Stopped => _ = subscription.cancel().await,
                SubscriptionEnd::Paused => info!(queue = %self.options.queue, "stopped consuming"),
                SubscriptionEnd::BacklogHandled => *care = Caution::None,
            }
        }
        self.state.not_consuming("consuming has stopped");
        std::future::pending().await
    }

    /// Returns true if the inbox is empty, so that no message in it can have killed an earlier process.
    async fn is_inbox_empty(&self, link: &Link) -> bool {
        link.look(&self.options.queue).await.is_some_and(|inbox| inbox.ready == 0)
    }

    /// Merges the reasons to pause: the owner's, a destination without write permission, a broker that blocks
    /// publishers.
    async fn merge_pauses(&self, link: &Link) {
        let (mut pause, mut forbidden) = (self.signals.pause.subscribe(), self.faults.forbidden());
        loop {
            let owner = pause.borrow_and_update().clone();
            let reason = owner.or(forbidden.borrow_and_update().clone()).or(link.blocked());
            send_if_new(&self.signals.paused, reason);
            tokio::select! {
                // Both senders live as long as `self`.
                _ = pause.changed() => {}
                _ = forbidden.changed() => {}
                () = tokio::time::sleep(CHECK_BLOCKED_EVERY) => {}
            }
        }
    }

    /// Waits until every queue is old enough to survive the death of its node.
    async fn await_queues(&self) {
        let Some(from) = self.queues.all_usable_from().filter(|from| *from > Instant::now()) else { return };
        let wait = from.saturating_duration_since(Instant::now());
        self.state.not_consuming(&format!("new queues were declared; consuming starts in {} s", wait.as_secs() + 1));
        tokio::time::sleep_until(from).await;
    }

    /// Waits for the end of a pause. Returns false if consuming must stop for good.
    async fn may_consume(&self, pause: &mut watch::Receiver<Option<String>>) -> bool {
        let stop = &self.signals.stop;
        loop {
            let why = pause.borrow_and_update().clone();
            match why {
                None => return !stop.is_cancelled(),
                Some(why) => self.state.not_consuming(&format!("consuming is paused: {why}")),
            }
            tokio::select! {
                // The sender lives as long as the signals.
                _ = pause.changed() => {}
                () = stop.cancelled() => return false,
            }
        }
    }

    /// Records and logs the reason for which there is no line.
    fn without(&self, reason: LinkError) {
        let place = self.options.place();
        let why = match reason {
            LinkError::Away(why) | LinkError::TopologyMismatch(TopologyError::Away(why)) => {
                format!("can't reach the broker at {place}: {why}")
            }
            LinkError::TopologyMismatch(shortfall @ (TopologyError::Missing(_) | TopologyError::Failed(..))) => {
                format!("the broker at {place}: {}", shortfall.in_words())
            }
            LinkError::TopologyMismatch(TopologyError::Wrong(wrong)) => {
                self.state.set_topology_error(&wrong);
                let why = wrong.to_string();
                if self.state.set_disconnected(why.clone()) {
                    error!(broker = %place, "{why}");
                }
                return;
            }
        };
        if self.state.set_disconnected(why.clone()) {
            warn!(broker = %place, "{why}; retrying automatically");
        }
    }
}
