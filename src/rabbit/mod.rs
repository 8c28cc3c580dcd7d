//! In: the `Bus` port, and the options that locate the broker.
//! Out: the RabbitMQ adapter, built on lapin. It keeps one line of two connections and rebuilds both when either of
//! them fails.
//! Absent: the meaning of a message, the time of its retry, and the decision to give it up.

mod broker_silence;
mod connection;
mod consume;
mod dead_letters;
mod envelope;
mod link;
mod options;
mod publish;
mod queue_depths;
mod queue_stats;
mod refusal;
mod sanitize;
mod shared;
mod state;
mod supervisor;
pub mod topology;

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::bus::{Announced, Announcement, Bus, BusError, Consumption, Delivery};
use handoffd_engine::ports::metrics::Metrics;
use jiff::Timestamp;
use lapin::BasicProperties;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::connection::addresses::reach;
use self::consume::consumer::{DeliverySender, consumption};
use self::consume::settle::ConsumeContext;
use self::consume::subscription::{SubscribeError, Subscription};
use self::dead_letters::broker_deaths::BrokerDeaths;
use self::publish::address::{Address, short};
use self::publish::copy;
use self::publish::destination_faults::DestinationFaults;
use self::queue_stats::NoStats;
use self::shared::lock;
use self::state::SharedState;
use self::supervisor::{Supervisor, SupervisorSignals};
use self::topology::BrokerVersion;
use self::topology::organization_queues::OrganizationQueues;

pub use self::dead_letters::queue::{RabbitDeadLetterQueue, Window};
pub use self::options::{Declare, RabbitOptions, Tls};
pub use self::publish::command::{PersistentMessage, Publisher};
pub use self::refusal::StartError;
pub use self::topology::definitions::definitions;
pub use self::topology::organization_queues::OrganizationSet;
pub use self::topology::queue_block::QueueBlock;

/// Capacity of the channel between the AMQP client and the worker. The prefetch bounds the events in flight.
const BETWEEN: usize = 16;
/// Pause before the next check of a queue that does not answer.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Time, beyond the longest retry delay, within which the event of a refused message has come again.
const REFUSED_COMES_AGAIN: Duration = Duration::from_secs(60);
/// Longest duration of an orderly close, also when the broker hangs.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// RabbitMQ implementation of the [`Bus`] port.
pub struct Rabbit {
    options: Arc<RabbitOptions>,
    state: Arc<SharedState>,
    signals: SupervisorSignals,
    outlet: Arc<DeliverySender>,
    queues: Arc<OrganizationQueues>,
    faults: Arc<DestinationFaults>,
    inbox: Mutex<Option<mpsc::Receiver<Delivery>>>,
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

/// Starts connecting in the background and keeps reconnecting until [`Bus::close`]. Requires a tokio runtime.
///
/// # Errors
/// If a URL can't be parsed. An unreachable broker is not an error.
pub fn connect(options: RabbitOptions, metrics: Arc<dyn Metrics>) -> Result<Rabbit, StartError> {
    options.uris()?;
    let options = Arc::new(options);
    let state = Arc::new(SharedState::new(&options.place()));
    let signals = SupervisorSignals::default();
    let (sender, receiver) = mpsc::channel(BETWEEN);
    let deaths = Arc::new(BrokerDeaths::new(&options, Arc::clone(&metrics)));
    let queues = OrganizationQueues::new(Arc::clone(&options));
    let longest = options.delays.iter().map(|(_, delay)| *delay).max().unwrap_or_default();
    let faults = Arc::new(DestinationFaults::new(longest + REFUSED_COMES_AGAIN));
    let outlet = Arc::new(DeliverySender::new(sender));
    let supervisor = Supervisor {
        options: Arc::clone(&options),
        state: Arc::clone(&state),
        metrics,
        outlet: Arc::clone(&outlet),
        deaths,
        queues: Arc::clone(&queues),
        faults: Arc::clone(&faults),
        signals: signals.clone(),
    };
    Ok(Rabbit {
        options,
        state,
        signals,
        outlet,
        queues,
        faults,
        inbox: Mutex::new(Some(receiver)),
        supervisor: Mutex::new(Some(tokio::spawn(supervisor.run()))),
    })
}

/// Returns the broker's version, read from its greeting. Needs no user.
///
/// # Errors
/// If a URL can't be parsed, or no URL leads to a broker that sends a greeting.
pub async fn broker_version(options: &RabbitOptions) -> Result<BrokerVersion, StartError> {
    options.uris()?;
    let reached = reach(options, None).await;
    reached.map(|reached| reached.version).map_err(|problem| StartError::Away { place: options.place(), problem })
}

impl Rabbit {
    /// Returns once the broker has been reached and its topology is complete. Waits while the broker is unreachable, or
    /// while something is missing that the worker may not declare.
    ///
    /// # Errors
    /// If a queue or exchange exists with other arguments.
    pub async fn wait_until_connected(&self) -> Result<(), StartError> {
        self.state.contact().await
    }

    /// Sets the organizations. Their queues are declared at once and on each new connection.
    pub fn serve(&self, served: OrganizationSet) {
        let is_new = self.queues.set_organizations(served);
        if let Some(context) = self.state.context().filter(|_| is_new) {
            tokio::spawn(async move { declare_new(&context).await });
        }
    }

    /// Block of the organization by its queue: it is missing and may not be declared, or the broker refuses it.
    pub fn queue_block(&self, organization: &OrganizationId) -> Option<QueueBlock> {
        self.queues.block(organization)
    }

    /// Name of the organization's queue, and the time from which it refuses messages, if it does.
    pub fn refusing_queue(&self, organization: &OrganizationId) -> Option<(String, Timestamp)> {
        let queue = self.options.organization_queue(organization);
        self.faults.refuses(&queue).map(|since| (queue, since))
    }

    /// Exchanges and queues of all organizations that refuse messages, and the times from which they do.
    pub fn refusing(&self) -> Vec<(String, Timestamp)> {
        let shared = [self.options.outcomes_exchange.clone()].into_iter().chain(self.options.queues().into_values());
        shared.filter_map(|name| self.faults.refuses(&name).map(|since| (name, since))).collect()
    }

    /// Organizations whose queues are used.
    pub fn served(&self) -> OrganizationSet {
        self.queues.served()
    }

    /// Number of consumers of the organization's queue, of this worker or of others; `None` if it is unknown. A queue
    /// that does not exist has none.
    pub async fn consumers(&self, organization: &OrganizationId) -> Option<u32> {
        let link = self.state.link()?;
        let is_missing = self.queues.is_missing(organization);
        // A queue that the broker refuses to declare may have consumers all the same.
        let is_refused = !is_missing && self.queues.block(organization).is_some();
        if !self.queues.exists(organization) && !is_refused {
            // That of a former organization is never declared; a configured one is going to be.
            let is_former = self.queues.served().former.contains(organization);
            return (is_former || is_missing).then_some(0);
        }
        link.look(&self.options.organization_queue(organization)).await.map(|found| found.consumers)
    }

    /// Stops consuming until [`Rabbit::resume`]; the reason joins those of [`Bus::unready`]. Deliveries already
    /// received are passed on and can be settled.
    pub fn pause(&self, why: String) {
        self.signals.pause.send_replace(Some(why));
    }

    /// True while this worker consumes the inbox.
    pub fn consumes(&self) -> bool {
        self.state.consumes()
    }

    /// Returns true while the broker is connected and answers, whether or not anything is consumed.
    pub fn answers(&self) -> bool {
        self.state.answers()
    }

    /// Returns the interval of the heartbeats with the broker.
    pub fn heartbeat(&self) -> Duration {
        self.options.heartbeat()
    }

    /// Ends the connections, which returns all unsettled deliveries to their queues, and opens new ones.
    pub fn reconnect(&self, why: &str) {
        if let Some(link) = self.state.link() {
            link.end(why);
        }
    }

    /// Returns true while this worker consumes the inbox and the broker confirms outcomes. A queue that does not confirm
    /// holds up its own messages only.
    pub fn processes(&self) -> bool {
        self.state.unready().is_empty() && !self.faults.contains(&self.options.outcomes_exchange)
    }

    /// Resumes consuming.
    pub fn resume(&self) {
        self.signals.pause.send_replace(None);
    }

    /// Waits until the organization's queue can be consumed.
    async fn consumable(&self, organization: &OrganizationId) -> (Arc<ConsumeContext>, CancellationToken) {
        let (mut changes, mut queues) = (self.state.changes(), self.queues.changes());
        loop {
            changes.borrow_and_update();
            queues.borrow_and_update();
            if let Some(consumer) = self.state.consumer().filter(|_| self.queues.exists(organization)) {
                return consumer;
            }
            tokio::select! {
                // The senders live as long as `self`.
                _ = changes.changed() => {}
                _ = queues.changed() => {}
            }
        }
    }
}

/// Declares the queues of new organizations.
async fn declare_new(context: &ConsumeContext) {
    if let Err(shortfall) = context.queues.declare_new(context.link.reached()).await {
        let why = shortfall.in_words();
        warn!(problem = %why, "could not declare the queues of new organizations");
        // The next connection retries and reports the error.
        context.link.end(&why);
    }
}

#[async_trait]
impl Bus for Rabbit {
    async fn inbox(&self) -> mpsc::Receiver<Delivery> {
        self.signals.consume.cancel();
        // There is one stream of deliveries; a second caller gets a closed one.
        lock(&self.inbox).take().unwrap_or_else(|| mpsc::channel(1).1)
    }

    fn organizations(&self) -> watch::Receiver<Vec<OrganizationId>> {
        self.queues.known()
    }

    async fn consume(&self, organization: &OrganizationId, prefetch: u16) -> Consumption {
        let queue = self.options.organization_queue(organization);
        // Also when the caller stops waiting.
        let _readable = self.queues.while_unreadable(organization);
        loop {
            let (context, until) = self.consumable(organization).await;
            // A queue without a leader never answers its consumer, nor any other consumer of the same channel.
            match context.link.ask(&queue).await {
                Ok(_) => {}
                // The next connection declares it.
                Err(NoStats::Missing) => {
                    context.link.end(&format!("queue {queue} was deleted"));
                    continue;
                }
                Err(NoStats::Unknown) => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                    continue;
                }
            }
            match Subscription::organization(&context, &queue, prefetch).await {
                Ok(subscribed) => return consumption(subscribed, context, until),
                Err(error @ SubscribeError::Unanswered) => {
                    warn!(organization_id = %organization, queue, problem = %error, "could not consume a queue; trying again");
                }
                // Another connection would not get the permission either.
                Err(SubscribeError::Refused(error)) if refusal::is_forbidden(&error) => {
                    let next = self.queues.note_unreadable(organization, &error);
                    tokio::select! {
                        () = sleep_until(next) => {}
                        () = context.link.ended().cancelled() => {}
                    }
                }
                // The queue may have been deleted; the next connection declares it.
                Err(error) => context.link.end(&error.to_string()),
            }
        }
    }

    async fn announce(&self, announcement: Announcement) -> Result<Announced, BusError> {
        let link = self.state.link().ok_or(BusError::Away)?;
        let Announcement { routing_key, message_id, body, headers } = announcement;
        let to = Address { exchange: &self.options.outcomes_exchange, routing_key: &routing_key };
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_delivery_mode(copy::PERSISTENT)
            .with_app_id("handoffd".into())
            .with_message_id(short(&message_id).map_err(|failure| failure.at(to))?)
            .with_timestamp(now())
            .with_headers(copy::table(&headers));
        let sent = link.publisher().send(to, body.into(), properties);
        link.confirmed(to, Instant::now() + self.options.confirm_limit(), sent).await
    }

    async fn stop(&self) {
        self.signals.stop.cancel();
        self.outlet.shut();
    }

    async fn close(&self) {
        self.stop().await;
        if let Some(link) = self.state.link() {
            link.acks_taken().await;
        }
        self.signals.close.cancel();
        let supervisor = lock(&self.supervisor).take();
        if let Some(mut supervisor) = supervisor
            && tokio::time::timeout(CLOSE_LIMIT, &mut supervisor).await.is_err()
        {
            supervisor.abort();
        }
    }

    fn unready(&self) -> Vec<String> {
        let mut reasons = self.state.unready();
        for trouble in self.faults.reasons() {
            if !reasons.iter().any(|known| known.contains(&trouble)) {
                reasons.push(trouble);
            }
        }
        reasons
    }
}

/// Current time as an AMQP timestamp: whole seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
