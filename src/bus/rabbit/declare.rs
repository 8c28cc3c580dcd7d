//! Makes the broker have what the topology says, or finds out that it does not.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Connection, Error, ExchangeKind};

use super::options::Declare;
use super::refusal::{self, StartError};
use super::topology::{Declaration, encode};

/// Why the topology does not stand.
#[derive(Debug)]
pub(super) enum Shortfall {
    /// Something is there but other than it must be, or can't be as it must: waiting is no use.
    Wrong(StartError),
    /// Something is not there, and is not to be created.
    Missing(String),
    /// The broker refused, or went away.
    Failed(String, Error),
}

/// Declares or checks one after another.
pub(super) async fn declare(connection: &Connection, topology: &[Declaration], mode: Declare) -> Result<(), Shortfall> {
    for declaration in topology {
        match mode {
            Declare::Create => create(connection, declaration).await?,
            Declare::Check => check(connection, declaration).await?,
        }
    }
    Ok(())
}

async fn create(connection: &Connection, declaration: &Declaration) -> Result<(), Shortfall> {
    ask(connection, declaration, Ask::Create).await.map_err(|error| shortfall(declaration, error))
}

/// Is it there, and is it as it must be? The first needs no rights; the second can only be found out by
/// declaring it, which changes nothing where it is there, but needs the right to configure: a user
/// without it gets the first answer only. Bindings can't be asked for.
async fn check(connection: &Connection, declaration: &Declaration) -> Result<(), Shortfall> {
    if matches!(declaration, Declaration::Binding { .. }) {
        return Ok(());
    }
    ask(connection, declaration, Ask::IsItThere).await.map_err(|error| shortfall(declaration, error))?;
    match ask(connection, declaration, Ask::Create).await {
        Err(error) if refusal::is_forbidden(&error) => Ok(()),
        answer => answer.map_err(|error| shortfall(declaration, error)),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask {
    Create,
    IsItThere,
}

/// On a channel of its own: the broker closes the channel of a declaration that it refuses.
async fn ask(connection: &Connection, declaration: &Declaration, ask: Ask) -> Result<(), Error> {
    let channel = connection.create_channel().await?;
    match declaration {
        Declaration::Exchange { name } => {
            let options = ExchangeDeclareOptions {
                durable: true,
                passive: ask == Ask::IsItThere,
                ..ExchangeDeclareOptions::default()
            };
            channel.exchange_declare(name.as_str().into(), ExchangeKind::Topic, options, FieldTable::default()).await?;
        }
        Declaration::Queue { name, arguments } => {
            let options =
                QueueDeclareOptions { durable: true, passive: ask == Ask::IsItThere, ..QueueDeclareOptions::default() };
            channel.queue_declare(name.as_str().into(), options, encode(arguments)).await?;
        }
        Declaration::Binding { exchange, queue, key } => {
            channel
                .queue_bind(
                    queue.as_str().into(),
                    exchange.as_str().into(),
                    key.as_str().into(),
                    QueueBindOptions::default(),
                    FieldTable::default(),
                )
                .await?;
        }
    }
    // Closed in the background as it is dropped.
    Ok(())
}

fn shortfall(declaration: &Declaration, error: Error) -> Shortfall {
    let what = declaration.to_string();
    if let Some(differs) = refusal::said(&error).and_then(|(_, text)| refusal::differs(text)) {
        return Shortfall::Wrong(differs);
    }
    if refusal::is_wrong(&error) {
        let problem = refusal::in_words(&error);
        return Shortfall::Wrong(StartError::Refused { what, problem });
    }
    if refusal::is_missing(&error) {
        return Shortfall::Missing(what);
    }
    Shortfall::Failed(what, error)
}
