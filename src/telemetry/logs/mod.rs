//! In: events of `tracing` and `log`, from all modules and libraries.
//! Out: one line per event on standard error, as text or JSON.
//! Absent: rotation and shipping; the service manager stores standard error.

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
use crate::config::{LogConfig, LogFormat};

/// Target of the record of operators' actions.
pub const AUDIT: &str = "audit";

/// Failure to set up logging.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// `log.level` is neither a level nor a list of directives.
    #[error("log.level is {level:?}: {source}")]
    Level {
        /// Configured value.
        level: String,
        /// Parse error.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Logging is already set up in this process.
    #[error("logging is already set up in this process: {0}")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Starts logging to standard error, because standard output is for the output of commands, and collects spans if traces are
/// exported.
pub fn init(log: &LogConfig, traces: Option<&Traces>) -> Result<(), LogsError> {
    match traces {
        None => {
            let lines = layer(log.format, std::io::stderr);
            // A filter for the whole process, so that the call sites of spans are disabled once and for all.
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

/// Builds the filter for `log.level`. A plain level applies to the worker itself; libraries stay at warnings, because
/// their `info` is not about events, and sled is silent, because the store logs its failures. Directives are used
/// unchanged. The record of operators' actions is logged at every level but `off`.
pub fn filter(level: &str) -> Result<EnvFilter, LogsError> {
    let directives = match level.trim().to_lowercase().as_str() {
        "off" => "off".to_owned(),
        quiet @ ("error" | "warn") => format!("{quiet},sled=off,{AUDIT}=info"),
        loud @ ("info" | "debug" | "trace") => {
            format!("warn,sled=off,{AUDIT}=info,handoffd={loud},dynamics_simulator={loud}")
        }
        own if own.contains(AUDIT) => level.to_owned(),
        _ => format!("{level},{AUDIT}=info"),
    };
    EnvFilter::try_new(directives).map_err(|source| LogsError::Level { level: level.to_owned(), source })
}

/// Filters out all events of lapin, whatever `log.level` is, because its warnings hold whole returned messages and so
/// customer text; the bus adapter logs what matters. Also filters out spans, which are only for exported traces.
fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    !metadata.target().starts_with("lapin") && metadata.target() != trace::TARGET
}

/// Returns a layer that writes lines of this format.
pub fn layer<S, W>(format: LogFormat, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false);
    match format {
        LogFormat::Text => layer.event_format(line::LogLine).fmt_fields(line::LogLine).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
    }
}

#[cfg(test)]
mod tests;
