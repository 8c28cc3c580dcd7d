//! Keeps a line to the broker up, and a consumer on it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::backlogs::Backlogs;
use super::backoff::Backoff;
use super::broker_deaths::BrokerDeaths;
use super::consumer::{End, Outlet, consume};
use super::declare::{Shortfall, missing_in_words};
use super::depths;
use super::line::{Line, NoLine};
use super::options::Options;
use super::settle::Way;
use super::state::State;
use crate::watch::{Sighting, Watch};

/// For the broker to let us consume. Just after its restart RabbitMQ 3.10 may leave the question unanswered while a
/// quorum queue has no leader, and end the connection with INTERNAL_ERROR after 65 s (measured); asked anew, it answers.
const CONSUME_LIMIT: Duration = Duration::from_secs(5);
/// For it to tell which backlogs there are: some milliseconds for each organization, many at a time.
const FIND_LIMIT: Duration = Duration::from_secs(10);
/// For the broker to answer a good-bye.
const GOODBYE: Duration = Duration::from_secs(4);

/// What it needs to go on until it is told to stop.
pub(super) struct Supervisor {
    pub options: Arc<Options>,
    pub state: Arc<State>,
    pub watch: Arc<dyn Watch>,
    pub outlet: Arc<Outlet>,
    pub backlogs: Arc<Backlogs>,
    pub deaths: Arc<BrokerDeaths>,
    pub signals: Signals,
}

/// What it is told.
#[derive(Clone, Default)]
pub(super) struct Signals {
    /// Begin to consume.
    pub consume: CancellationToken,
    /// Consume nothing for the moment, for this reason.
    pub pause: watch::Sender<Option<String>>,
    /// Consume no more.
    pub stop: CancellationToken,
    /// Close everything.
    pub close: CancellationToken,
}

impl Supervisor {
    /// Runs until it is told to close.
    pub(super) async fn run(self) {
        self.watch.saw(Sighting::BrokerConnected(false));
        let mut backoff = Backoff::new();
        let close = self.signals.close.clone();
        while !close.is_cancelled() {
            let established = tokio::select! {
                established = Line::establish(&self.options) => established,
                () = close.cancelled() => return,
            };
            match established {
                Ok(line) => {
                    let since = Instant::now();
                    self.hold(Arc::new(line)).await;
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

    /// While a line is up.
    async fn hold(&self, line: Arc<Line>) {
        info!(broker = %self.options.place(), "connected to the broker");
        self.state.connected(Arc::clone(&line));
        self.watch.saw(Sighting::BrokerConnected(true));
        let close = self.signals.close.clone();
        let watch = Arc::clone(&self.watch);
        let queues = self.options.queues();
        let why = tokio::select! {
            why = line.broken() => why,
            why = self.work(&line) => why,
            () = depths::report(&line, &queues, &self.backlogs, &self.deaths, watch.as_ref()) => String::new(),
            () = close.cancelled() => "closed".to_owned(),
        };
        line.end(&why);
        self.watch.saw(Sighting::BrokerConnected(false));
        let place = self.options.place();
        let news = format!("the connection to the broker at {place} was lost: {why}");
        self.state.away(news);
        if close.is_cancelled() {
            info!(broker = %place, "closes the connection to the broker");
            line.close(GOODBYE).await;
        } else {
            warn!(broker = %place, reason = %why, "lost the connection to the broker, connects again");
            // In the background: a broker that hangs must not keep us from the one that takes over.
            tokio::spawn(async move { line.close(GOODBYE).await });
        }
    }

    /// Consumes when told so, but for pauses, until told to stop; ends only when something breaks, with the reason.
    async fn work(&self, line: &Arc<Line>) -> String {
        self.signals.consume.cancelled().await;
        if !self.signals.stop.is_cancelled() {
            // First, so that nobody overtakes those who wait already.
            if timeout(FIND_LIMIT, self.backlogs.find_all(line)).await.is_err() {
                warn!("the broker is slow to tell which backlogs there are: what is in the others comes later");
            }
        }
        let way = Way {
            line: line.clone(),
            options: self.options.clone(),
            backlogs: self.backlogs.clone(),
            deaths: self.deaths.clone(),
        };
        let mut pause = self.signals.pause.subscribe();
        while self.may_consume(&mut pause).await {
            let mut subscription = match timeout(CONSUME_LIMIT, consume(line, &self.options)).await {
                Ok(Ok(subscription)) => subscription,
                Ok(Err(error)) => return super::refusal::in_words(&error),
                Err(_) => return "it does not let us consume in time".to_owned(),
            };
            info!(queue = %self.options.queue, prefetch = self.options.prefetch, "consumes");
            self.state.consuming();
            let stop = &self.signals.stop;
            match subscription.forward(&way, &self.outlet, stop, &mut pause).await {
                End::Broken(why) => return why,
                End::Stopped => subscription.cancel().await,
                End::Paused => {}
            }
            info!(queue = %self.options.queue, "consumes no more");
        }
        self.state.not_consuming("consuming has been stopped");
        std::future::pending().await
    }

    /// Waits for the end of a pause; false when it is to stop for good.
    async fn may_consume(&self, pause: &mut watch::Receiver<Option<String>>) -> bool {
        let stop = &self.signals.stop;
        loop {
            let why = pause.borrow_and_update().clone();
            match why {
                None => return !stop.is_cancelled(),
                Some(why) => self.state.not_consuming(&format!("consuming is paused: {why}")),
            }
            tokio::select! {
                // It ends with the signals that it is one of.
                _ = pause.changed() => {}
                () = stop.cancelled() => return false,
            }
        }
    }

    /// While there is no line.
    fn without(&self, reason: NoLine) {
        let place = self.options.place();
        let why = match reason {
            NoLine::Away(why) | NoLine::Unfit(Shortfall::Away(why)) => format!("the broker at {place} is away: {why}"),
            NoLine::Unfit(Shortfall::Missing(missing)) => {
                format!("{} at the broker {place}", missing_in_words(&missing))
            }
            NoLine::Unfit(Shortfall::Failed(what, error)) => {
                format!("the broker at {place} does not give us {what}: {}", super::refusal::in_words(&error))
            }
            NoLine::Unfit(Shortfall::Wrong(wrong)) => {
                self.state.unfit(&wrong);
                let why = wrong.to_string();
                if self.state.away(why.clone()) {
                    error!(broker = %place, "{why}");
                }
                return;
            }
        };
        if self.state.away(why.clone()) {
            warn!(broker = %place, "{why}; tries again");
        }
    }
}
