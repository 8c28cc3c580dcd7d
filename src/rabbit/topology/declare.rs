//! Declares the topology at the broker, or checks it.
//!
//! Each name is first looked up by a passive declaration, which needs no permissions, and then declared. A declaration
//! changes nothing on an existing object and shows whether its arguments are right. The lookup distinguishes new queues
//! from old ones.
//!
//! All of this happens on separate connections. The broker closes the channel of a request that it refuses, and lapin
//! (4.12.3) never forgets that a channel was closed over an error: a new channel of the same number fails with the old
//! error. So a connection serves fewer requests than it has channel numbers, and is closed afterwards.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Error, ExchangeKind};
use tokio::time::timeout;
use tracing::{info, warn};

use super::{Declaration, encode};
use crate::rabbit::connection::addresses::Reached;
use crate::rabbit::connection::confirm_pool::{hang_up, open};
use crate::rabbit::options::Declare;
use crate::rabbit::refusal::{self, StartError};
use crate::rabbit::shared::lock;

/// Concurrent requests to the broker; 2,000 organizations take some seconds.
const AT_ONCE: usize = 16;
/// Declarations on one connection; each uses up one channel number at most.
const ON_ONE_CONNECTION: usize = 1000;
/// Questions on one connection about queues that differ.
const QUESTIONS: i32 = 500;
/// Longest wait for one answer. The broker may never answer for a quorum queue without a leader (measured, 3.10, just
/// after a restart).
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Reason for which the topology is incomplete.
#[derive(Debug)]
pub(in crate::rabbit) enum TopologyError {
    /// An object exists with other arguments, or can't be declared as required. Waiting does not help.
    Wrong(StartError),
    /// These objects are missing, and must not be declared.
    Missing(Vec<Declaration>),
    /// The broker refused a request, or the connection broke.
    Failed(String, Error),
    /// No connection could be opened.
    Away(String),
}

/// Result of declaring or checking, also if it failed midway.
#[derive(Default, Debug)]
pub(in crate::rabbit) struct Declared {
    /// New queues that were declared, or may have been.
    pub made: BTreeSet<String>,
    /// Declarations of what is missing, and must not be declared.
    pub missing: Vec<Declaration>,
    /// Declarations that the broker did not answer in time.
    pub unanswered: Vec<Declaration>,
    /// Declarations that the broker refused, in order, and the reasons.
    pub refused: Vec<(Declaration, TopologyError)>,
}

/// Declares or checks all declarations.
///
/// # Errors
/// If the connection fails. The refusal of one declaration is no failure of the others, and is part of `declared`.
pub(in crate::rabbit) async fn declare(
    reached: &Reached,
    declarations: &[Declaration],
    mode: Declare,
    declared: &mut Declared,
) -> Result<(), TopologyError> {
    let is_binding = |declaration: &&Declaration| matches!(declaration, Declaration::Binding { .. });
    let (bindings, first): (Vec<_>, Vec<_>) = declarations.iter().partition(is_binding);
    // A binding requires both of its ends.
    for mut rest in [first.as_slice(), bindings.as_slice()] {
        while !rest.is_empty() {
            let session = DeclareSession::open(reached).await.map_err(TopologyError::Away)?;
            let (batch, after) = rest.split_at(session.room.min(rest.len()));
            session.declare_all(batch, mode, declared).await?;
            rest = after;
        }
    }
    Ok(())
}

/// Result of one declaration.
enum DeclareResult {
    /// It already existed.
    There,
    /// It was declared.
    Made,
    /// The broker has none of this name.
    Missing,
    /// The broker did not answer; it may have been declared.
    Unanswered { made: bool },
}

/// Reason for which a request failed.
enum NoAnswer {
    /// The broker refused it.
    Refused(Error),
    /// The broker did not answer in time.
    Silence,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum DeclareMode {
    Create,
    IsItThere,
}

/// One connection, and its channels without a request in progress.
struct DeclareSession {
    connection: Option<Connection>,
    idle: Mutex<Vec<Channel>>,
    /// Number of declarations that the connection can serve.
    room: usize,
    /// Number of further questions about queues that differ. Each uses up a channel number.
    questions: AtomicI32,
}

impl DeclareSession {
    async fn open(reached: &Reached) -> Result<Self, String> {
        let connection = open(reached, "declares").await?;
        // A `channel_max` of 0 means no limit. An operator may allow few channels.
        let numbers = match usize::from(connection.configuration().channel_max()) {
            0 => ON_ONE_CONNECTION,
            numbers => numbers.saturating_sub(AT_ONCE).max(1),
        };
        let room = numbers.min(ON_ONE_CONNECTION);
        // An operator who allows few channels gets the broker's own answer.
        let questions = AtomicI32::new(if room == ON_ONE_CONNECTION { QUESTIONS } else { 0 });
        Ok(Self { connection: Some(connection), idle: Mutex::default(), room, questions })
    }

    async fn declare_all(
        &self,
        batch: &[&Declaration],
        mode: Declare,
        declared: &mut Declared,
    ) -> Result<(), TopologyError> {
        let asked: Vec<_> = batch
            .iter()
            .map(|declaration| async move { (*declaration, self.declare_one(declaration, mode).await) })
            .collect();
        // In order, so that the names in messages are too.
        let mut answers = stream::iter(asked).buffered(AT_ONCE);
        let mut first_shortfall = Ok(());
        while let Some((declaration, found)) = answers.next().await {
            match found {
                Ok(result) => declared.note(declaration, &result),
                Err(shortfall) if shortfall.is_refusal() => declared.refused.push((declaration.clone(), shortfall)),
                // Objects requested concurrently may have been declared, so their answers are awaited.
                Err(shortfall) => first_shortfall = first_shortfall.and(Err(shortfall)),
            }
        }
        first_shortfall
    }

    async fn declare_one(&self, declaration: &Declaration, mode: Declare) -> Result<DeclareResult, TopologyError> {
        let exists = match declaration {
            // AMQP has no lookup for bindings.
            Declaration::Binding { .. } if mode == Declare::Check => return Ok(DeclareResult::There),
            Declaration::Binding { .. } => true,
            _ => match self.ask(declaration, DeclareMode::IsItThere).await {
                Ok(()) => true,
                Err(NoAnswer::Refused(error)) if refusal::is_missing(&error) => false,
                Err(NoAnswer::Refused(error)) => return Err(shortfall(declaration, error)),
                Err(NoAnswer::Silence) => return Ok(DeclareResult::Unanswered { made: false }),
            },
        };
        if !exists && mode == Declare::Check {
            return Ok(DeclareResult::Missing);
        }
        match self.ask(declaration, DeclareMode::Create).await {
            Ok(()) => Ok(if exists { DeclareResult::There } else { DeclareResult::Made }),
            Err(NoAnswer::Silence) => Ok(DeclareResult::Unanswered { made: !exists }),
            Err(NoAnswer::Refused(error)) if exists && is_no_fault(declaration, mode, &error) => {
                Ok(DeclareResult::There)
            }
            Err(NoAnswer::Refused(error)) => match self.other_type(declaration, &error).await {
                Some(differs) => Err(TopologyError::Wrong(differs)),
                None => Err(shortfall(declaration, error)),
            },
        }
    }

    /// Returns the difference in `x-queue-type`, if a queue that differs is of another type.
    ///
    /// It explains all others, but the broker names the first that it compares. So the queue is declared as it is found
    /// to be, one argument after the other, until the type is named or nothing differs. Should the queue be deleted
    /// meanwhile, what this declares differs and is reported in its turn.
    async fn other_type(&self, declaration: &Declaration, error: &Error) -> Option<StartError> {
        let Declaration::Queue { name, arguments } = declaration else { return None };
        let mut text = refusal::said(error)?.1.to_owned();
        let mut table = encode(arguments).inner().clone();
        while self.questions.fetch_sub(1, Ordering::Relaxed) > 0 {
            let (argument, value) = refusal::argument_at_broker(&text)?;
            if argument == "x-queue-type" {
                return refusal::differs(&text);
            }
            table.remove(argument.as_str());
            table.extend(value.map(|value| (argument.into(), value)));
            let NoAnswer::Refused(next) = self.ask_for(name, table.clone().into()).await.err()? else { return None };
            refusal::said(&next)?.1.clone_into(&mut text);
        }
        None
    }

    /// Declares an existing queue with these arguments.
    async fn ask_for(&self, queue: &str, arguments: FieldTable) -> Result<(), NoAnswer> {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let answer = timeout(ANSWER_LIMIT, async {
            self.channel().await?.queue_declare(queue.into(), options, arguments).await.map(drop)
        });
        answer.await.map_err(|_| NoAnswer::Silence)?.map_err(NoAnswer::Refused)
    }

    /// Sends a request on a channel without any other: the broker closes the channel when it refuses, and answers in
    /// order.
    async fn ask(&self, declaration: &Declaration, ask: DeclareMode) -> Result<(), NoAnswer> {
        let answer = timeout(ANSWER_LIMIT, async {
            let channel = self.channel().await?;
            put(&channel, declaration, ask).await?;
            lock(&self.idle).push(channel);
            Ok(())
        });
        answer.await.map_err(|_| NoAnswer::Silence)?.map_err(NoAnswer::Refused)
    }

    async fn channel(&self) -> lapin::Result<Channel> {
        let idle = lock(&self.idle).pop();
        match (idle, &self.connection) {
            (Some(channel), _) => Ok(channel),
            (None, Some(connection)) => connection.create_channel().await,
            // `None` only after the drop.
            (None, None) => Err(lapin::ErrorKind::InvalidConnectionState(lapin::ConnectionState::Closed).into()),
        }
    }
}

impl Drop for DeclareSession {
    /// Closes the connection in the background and keeps its channels until then: lapin (4.12.3) occasionally hangs up
    /// without waiting for the broker's answer if they are dropped just before.
    fn drop(&mut self) {
        let (connection, channels) = (self.connection.take(), std::mem::take(&mut *lock(&self.idle)));
        if let (Some(connection), Ok(runtime)) = (connection, tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                hang_up(&connection).await;
                drop(channels);
            });
        }
    }
}

impl Declared {
    fn note(&mut self, declaration: &Declaration, result: &DeclareResult) {
        match result {
            DeclareResult::There => {}
            DeclareResult::Made => self.note_made(declaration),
            DeclareResult::Missing => self.missing.push(declaration.clone()),
            DeclareResult::Unanswered { made } => {
                warn!("the broker did not answer the declaration of {declaration}");
                self.unanswered.push(declaration.clone());
                if *made {
                    self.note_made(declaration);
                }
            }
        }
    }

    fn note_made(&mut self, declaration: &Declaration) {
        if let Declaration::Queue { name, .. } = declaration {
            info!(queue = name, "declared a new queue");
            self.made.insert(name.clone());
        }
    }
}

async fn put(channel: &Channel, declaration: &Declaration, ask: DeclareMode) -> lapin::Result<()> {
    let passive = ask == DeclareMode::IsItThere;
    match declaration {
        Declaration::Exchange { name } => {
            let options = ExchangeDeclareOptions { durable: true, passive, ..ExchangeDeclareOptions::default() };
            let name = name.as_str().into();
            channel.exchange_declare(name, ExchangeKind::Topic, options, FieldTable::default()).await
        }
        Declaration::Queue { name, arguments } => {
            let options = QueueDeclareOptions { durable: true, passive, ..QueueDeclareOptions::default() };
            channel.queue_declare(name.as_str().into(), options, encode(arguments)).await.map(drop)
        }
        Declaration::Binding { exchange, queue, key } => {
            let (queue, exchange, key) = (queue.as_str().into(), exchange.as_str().into(), key.as_str().into());
            channel.queue_bind(queue, exchange, key, QueueBindOptions::default(), FieldTable::default()).await
        }
    }
}

/// Returns true if an existing object is acceptable although the broker refuses to declare it.
///
/// Exchanges belong to OpenCX. They only have to be durable and of type topic (the broker compares these two first),
/// and the worker needs no permission to configure them. If a queue is only checked, a user without that permission
/// learns no more than that it exists.
fn is_no_fault(declaration: &Declaration, mode: Declare, error: &Error) -> bool {
    match declaration {
        Declaration::Exchange { .. } => {
            let differs = refusal::said(error).and_then(|(_, text)| refusal::differs(text));
            let foreign = |differs: StartError| match differs {
                StartError::Differs { argument, .. } => !matches!(argument.as_str(), "type" | "durable"),
                _ => false,
            };
            refusal::is_forbidden(error) || differs.is_some_and(foreign)
        }
        Declaration::Queue { .. } => mode == Declare::Check && refusal::is_forbidden(error),
        Declaration::Binding { .. } => false,
    }
}

fn shortfall(declaration: &Declaration, error: Error) -> TopologyError {
    let what = declaration.to_string();
    if let Some(differs) = refusal::said(&error).and_then(|(_, text)| refusal::differs(text)) {
        return TopologyError::Wrong(differs);
    }
    if refusal::is_wrong(&error) {
        let problem = refusal::in_words(&error);
        return TopologyError::Wrong(StartError::Refused { what, problem });
    }
    if refusal::is_missing(&error) {
        return TopologyError::Missing(vec![declaration.clone()]);
    }
    TopologyError::Failed(what, error)
}

impl TopologyError {
    /// Returns true if the broker has refused one declaration, as opposed to a connection that broke.
    fn is_refusal(&self) -> bool {
        match self {
            Self::Wrong(_) | Self::Missing(_) => true,
            Self::Failed(_, error) => error.is_amqp_soft_error(),
            Self::Away(_) => false,
        }
    }

    /// Describes the shortfall for people.
    pub(in crate::rabbit) fn in_words(&self) -> String {
        match self {
            Self::Wrong(wrong) => wrong.to_string(),
            Self::Missing(missing) => {
                let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
                format!("missing: {}; create what is missing (`handoffd topology`)", names.join(", "))
            }
            Self::Failed(what, error) => format!("can't declare {what}: {}", refusal::in_words(error)),
            Self::Away(why) => why.clone(),
        }
    }
}
