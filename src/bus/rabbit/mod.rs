//! In: the bus's seam, and where the broker is.
//! Out: RabbitMQ by lapin: one line of two connections, built anew whenever anything of it breaks.
//! Absent: what a message means, when to retry it, why it is given up.

mod addresses;
mod backlogs;
mod backoff;
mod broker_deaths;
mod channels;
mod connect;
mod consumer;
mod copy;
mod death;
mod declare;
mod definitions;
mod delivery_counts;
mod depths;
mod desk;
mod envelope;
mod fit;
mod greeting;
mod letter;
mod letters;
mod line;
mod look;
mod mend;
mod options;
mod organization_queue;
mod publisher;
mod refusal;
mod settle;
mod shrink;
mod sieve;
mod state;
mod stream;
mod supervisor;
pub mod topology;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use lapin::BasicProperties;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use self::backlogs::Backlogs;
use self::broker_deaths::BrokerDeaths;
use self::channels::{Address, short};
use self::consumer::Outlet;
use self::state::State;
use self::supervisor::{Signals, Supervisor};
use self::topology::BrokerVersion;
use super::{Announced, Announcement, Backlog, Bus, BusError, Delivery};
use crate::event::OrganizationId;
use crate::watch::Watch;

pub use self::definitions::definitions;
pub use self::letters::{DeadLetterQueue, Window};
pub use self::options::{Declare, Options};
pub use self::publisher::{Message, Publisher};
pub use self::refusal::StartError;

/// Deliveries between the client's buffer and the worker; the prefetch bounds what is in hand.
const BETWEEN: usize = 16;
/// Closing takes at most this long, even if the broker hangs.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// RabbitMQ.
pub struct Rabbit {
    options: Arc<Options>,
    state: Arc<State>,
    signals: Signals,
    outlet: Arc<Outlet>,
    backlogs: Arc<Backlogs>,
    found: Mutex<Option<mpsc::UnboundedReceiver<Backlog>>>,
    deliveries: Mutex<Option<mpsc::Receiver<Delivery>>>,
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

/// Starts to connect, and goes on until [`Bus::close`]. Needs a tokio runtime; fails only over a URL
/// that can't be read: a broker that is away is waited for.
pub fn connect(options: Options, watch: Arc<dyn Watch>) -> Result<Rabbit, StartError> {
    options.uris()?;
    let options = Arc::new(options);
    let state = Arc::new(State::new(&options.place()));
    let signals = Signals::default();
    let (sender, receiver) = mpsc::channel(BETWEEN);
    let deaths = Arc::new(BrokerDeaths::new(&options, Arc::clone(&watch)));
    let (backlogs, found) = Backlogs::new(Arc::clone(&options), Arc::clone(&deaths), &signals);
    let outlet = Arc::new(Outlet::new(sender));
    let supervisor = Supervisor {
        options: Arc::clone(&options),
        state: Arc::clone(&state),
        watch,
        outlet: Arc::clone(&outlet),
        backlogs: Arc::clone(&backlogs),
        deaths,
        signals: signals.clone(),
    };
    Ok(Rabbit {
        options,
        state,
        signals,
        outlet,
        backlogs,
        found: Mutex::new(Some(found)),
        deliveries: Mutex::new(Some(receiver)),
        supervisor: Mutex::new(Some(tokio::spawn(supervisor.run()))),
    })
}

/// The version of the broker, from its greeting. Needs no user.
///
/// # Errors
/// When a URL can't be read, or none of them leads to a broker that greets.
pub async fn broker_version(options: &Options) -> Result<BrokerVersion, StartError> {
    options.uris()?;
    let reached = addresses::reach(options).await;
    reached.map(|reached| reached.version).map_err(|problem| StartError::Away { place: options.place(), problem })
}

impl Rabbit {
    /// Returns once the broker has been reached and everything on it is as it must be; fails when a
    /// queue or exchange is there but differs. While the broker is away, or something is missing that
    /// is not to be created, it waits.
    pub async fn first_contact(&self) -> Result<(), StartError> {
        self.state.contact().await
    }

    /// Says which organizations there are: their backlogs are looked for, at once and with each connection.
    pub fn serve(&self, organizations: Vec<OrganizationId>) {
        let added = self.backlogs.serve(organizations);
        let consumes = self.signals.consume.is_cancelled();
        if let Some(line) = self.state.line().filter(|_| consumes && !added.is_empty()) {
            let backlogs = Arc::clone(&self.backlogs);
            tokio::spawn(async move { backlogs.find(&line, added).await });
        }
    }

    /// Consumes nothing until [`Rabbit::resume`]; the reason is among those of [`Bus::unready`]. What has been delivered
    /// is handed on, and can be settled.
    pub fn pause(&self, why: String) {
        self.signals.pause.send_replace(Some(why));
    }

    /// Whether the broker hands out events to this worker now.
    pub fn consumes(&self) -> bool {
        self.state.consumes()
    }

    /// Consumes again.
    pub fn resume(&self) {
        self.signals.pause.send_replace(None);
    }
}

#[async_trait]
impl Bus for Rabbit {
    async fn deliveries(&self) -> mpsc::Receiver<Delivery> {
        self.signals.consume.cancel();
        // There is one stream; whoever asks again gets one that has ended.
        lock(&self.deliveries).take().unwrap_or_else(|| mpsc::channel(1).1)
    }

    async fn backlogs(&self) -> mpsc::UnboundedReceiver<Backlog> {
        lock(&self.found).take().unwrap_or_else(|| mpsc::unbounded_channel().1)
    }

    async fn waiting(&self, organization: &OrganizationId) -> Option<u64> {
        self.backlogs.waiting(&self.state.line()?, organization).await
    }

    async fn announce(&self, announcement: Announcement) -> Result<Announced, BusError> {
        let line = self.state.line().ok_or(BusError::Away)?;
        let to = Address { exchange: &self.options.outcomes_exchange, routing_key: &announcement.routing_key };
        let message_id = short(&announcement.message_id).map_err(|failure| failure.at(to))?;
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_delivery_mode(copy::PERSISTENT)
            .with_app_id("handoffd".into())
            .with_message_id(message_id)
            .with_timestamp(now())
            .with_headers(copy::table(&announcement.headers));
        line.announce(to, &announcement.message_id, &announcement.body, properties).await
    }

    async fn stop(&self) {
        self.signals.stop.cancel();
        self.outlet.shut();
    }

    async fn close(&self) {
        self.stop().await;
        self.signals.close.cancel();
        let supervisor = lock(&self.supervisor).take();
        if let Some(mut supervisor) = supervisor
            && tokio::time::timeout(CLOSE_LIMIT, &mut supervisor).await.is_err()
        {
            supervisor.abort();
        }
    }

    fn unready(&self) -> Vec<String> {
        self.state.unready()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// AMQP's timestamp: whole seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
