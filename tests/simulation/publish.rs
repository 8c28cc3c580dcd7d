//! Publish and confirm. A publish may be refused, lost before or after its effect, or hang in a destination without a leader.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use handoffd_engine::ports::bus::BusError;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::broker::Broker;
use super::destinations::{Destination, Trouble};
use super::scene::ProcessLife;

/// Longest time until a confirm.
const CONFIRM: Duration = Duration::from_millis(20);
/// Time after which the adapter tries another retry queue (`broker.confirm_timeout`).
pub const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest time that the adapter waits for any other confirm: four times as long.
pub const CONFIRM_LIMIT: Duration = Duration::from_secs(120);
/// Probability that a publish is refused.
const REFUSED: f64 = 0.01;

/// Effect of a publish at the broker.
pub type Effect = Box<dyn FnOnce(&Arc<Broker>) + Send>;

/// Hanging publishes in order, with the connections they were sent on.
#[derive(Default)]
pub struct Stalled(BTreeMap<Destination, Vec<Hanging>>);

struct Hanging {
    connection: CancellationToken,
    effect: Effect,
    confirm: oneshot::Sender<()>,
}

impl Stalled {
    pub fn count(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }
}

/// Publish that was sent.
pub struct Sent {
    to: Destination,
    connection: CancellationToken,
    state: State,
}

enum State {
    /// The process died.
    Dead,
    Away,
    Refused,
    /// The connection broke.
    Broken,
    /// The destination may not be written to before this time.
    Forbidden(Duration),
    Hangs(oneshot::Receiver<()>),
    Done,
}

impl Sent {
    /// Represents a publish on a closed connection.
    pub fn away(to: &Destination, connection: &CancellationToken) -> Self {
        Self { to: to.clone(), connection: connection.clone(), state: State::Away }
    }

    pub fn is_forbidden(&self) -> bool {
        matches!(self.state, State::Forbidden(_))
    }
}

impl Broker {
    /// Sends a publish. Effects happen in the order of the calls.
    pub fn send(self: &Arc<Self>, life: &ProcessLife, to: &Destination, effect: Effect) -> Sent {
        let connection = self.connection(life);
        let state = self.begin(life, to, &connection, effect);
        Sent { to: to.clone(), connection, state }
    }

    fn begin(
        self: &Arc<Self>,
        life: &ProcessLife,
        to: &Destination,
        connection: &CancellationToken,
        effect: Effect,
    ) -> State {
        life.may_die("a publish");
        if life.is_over() {
            return State::Dead;
        }
        if self.is_away() {
            return State::Away;
        }
        let window = self.windows.of(to, self.scene.elapsed()).map(|window| (window.trouble, window.until));
        match window {
            Some((Trouble::Refuses, _)) => State::Refused,
            Some((Trouble::Forbidden, until)) => State::Forbidden(until),
            _ if self.scene.fails(REFUSED) => State::Refused,
            _ if self.breaks() => {
                self.disconnect("before a publish");
                State::Broken
            }
            Some((Trouble::Leaderless, until)) => State::Hangs(self.hang(to, until, connection, effect)),
            None => {
                effect(self);
                State::Done
            }
        }
    }

    /// Delays the effect until the destination has a leader again.
    fn hang(
        self: &Arc<Self>,
        to: &Destination,
        until: Duration,
        connection: &CancellationToken,
        effect: Effect,
    ) -> oneshot::Receiver<()> {
        let (confirm, confirmed) = oneshot::channel();
        let hanging = Hanging { connection: connection.clone(), effect, confirm };
        self.scene.log(|| format!("a publish to {to:?} hangs"));
        let is_first = self.look(|state| {
            let all = state.stalled.0.entry(to.clone()).or_default();
            all.push(hanging);
            all.len() == 1
        });
        if is_first {
            let (broker, to) = (self.clone(), to.clone());
            tokio::spawn(async move {
                sleep(until.saturating_sub(broker.scene.elapsed())).await;
                broker.come_through(&to);
            });
        }
        confirmed
    }

    fn come_through(self: &Arc<Self>, to: &Destination) {
        let all = self.look(|state| state.stalled.0.remove(to).unwrap_or_default());
        for Hanging { connection, effect, confirm } in all {
            // Messages sent before the end of a connection may have arrived or not.
            if !connection.is_cancelled() || self.scene.happens(0.5) {
                effect(self);
                // The caller may no longer be waiting.
                _ = confirm.send(());
            }
        }
    }

    /// Waits for the confirm.
    pub async fn confirmed(self: &Arc<Self>, life: &ProcessLife, sent: Sent, limit: Instant) -> Result<(), BusError> {
        let Sent { to, connection, state } = sent;
        let name = format!("{to:?}");
        let answer = match state {
            State::Dead => Ok(()),
            State::Away => Err(BusError::Away),
            State::Refused => {
                self.scene.sleep_up_to(CONFIRM).await;
                self.scene.log(|| format!("REFUSED: a publish to {name}"));
                Err(BusError::Refused { to: name, problem: "simulated refusal".to_owned() })
            }
            State::Broken => Err(broken(name)),
            State::Forbidden(until) => {
                tokio::select! {
                    biased;
                    () = sleep(until.saturating_sub(self.scene.elapsed())) => Err(BusError::Refused { to: name, problem: "403".to_owned() }),
                    () = connection.cancelled() => Err(BusError::Away),
                    () = sleep_until(limit) => Err(BusError::Unconfirmed { to: name }),
                }
            }
            State::Hangs(confirmed) => {
                tokio::select! {
                    biased;
                    () = connection.cancelled() => Err(BusError::Away),
                    _ = confirmed => Ok(()),
                    () = sleep_until(limit) => {
                        self.scene.log(|| format!("UNCONFIRMED: a publish to {name}"));
                        Err(BusError::Unconfirmed { to: name })
                    }
                }
            }
            State::Done => {
                life.pass("a confirm").await;
                if self.breaks() {
                    self.disconnect("before a confirm");
                }
                self.scene.sleep_up_to(CONFIRM).await;
                if connection.is_cancelled() { Err(broken(name)) } else { Ok(()) }
            }
        };
        life.until_dead().await;
        answer
    }
}

fn broken(to: String) -> BusError {
    BusError::Broken { to, source: Arc::new(io::Error::from(io::ErrorKind::ConnectionReset)) }
}
