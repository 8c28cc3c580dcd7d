//! In: events of `tracing` and `log`, from every room and library.
//! Out: one line each on standard error, for people or for machines.
//! Absent: rotation, shipping; whoever starts the worker keeps its standard error.

mod line;

use handoffd_engine::ports::trace;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use super::traces::Traces;
use crate::config::{Log, LogFormat};

/// Logging that could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// `log.level` is neither a level nor directives.
    #[error("log.level is {level:?}: {source}")]
    Level {
        /// What it is.
        level: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Something else has set up logging in this process.
    #[error("logging is set up already: {0}")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Logs to standard error from now on, standard output being for what commands print; and takes spans, where traces are
/// exported.
pub fn init(log: &Log, traces: Option<&Traces>) -> Result<(), LogsError> {
    match traces {
        None => {
            let lines = layer(log.format, std::io::stderr);
            // For the whole process, so that the place of a span knows once and for all that nobody wants it.
            Registry::default().with(filter(&log.level)?).with(filter_fn(may_be_logged)).with(lines).try_init()?;
        }
        Some(traces) => {
            let lines = layer(log.format, std::io::stderr);
            let lines = lines.with_filter(filter(&log.level)?.and(filter_fn(may_be_logged)));
            Registry::default().with(lines).with(traces.layer()).try_init()?;
        }
    }
    Ok(())
}

/// What is logged. A level alone is the worker's own; libraries stay at warnings, for their `info` says
/// nothing about an event, and sled is silent: what it could not do, the store says once and in its own words. Directives are
/// taken as they are.
pub fn filter(level: &str) -> Result<EnvFilter, LogsError> {
    let directives = match level.trim().to_lowercase().as_str() {
        quiet @ ("off" | "error" | "warn") => format!("{quiet},sled=off"),
        loud @ ("info" | "debug" | "trace") => format!("warn,sled=off,handoffd={loud},dynamics_simulator={loud}"),
        _ => level.to_owned(),
    };
    EnvFilter::try_new(directives).map_err(|source| LogsError::Level { level: level.to_owned(), source })
}

/// lapin writes returned messages into its warnings, body and all, which is customer text: it is not logged at all,
/// whatever `log.level` says. What matters of it, the bus adapter says itself. Spans are for who exports traces.
fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    !metadata.target().starts_with("lapin") && metadata.target() != trace::TARGET
}

/// Lines of this format, written there.
pub fn layer<S, W>(format: LogFormat, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false);
    match format {
        LogFormat::Text => layer.event_format(line::Line).fmt_fields(line::Line).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
    }
}

#[cfg(test)]
mod tests;
