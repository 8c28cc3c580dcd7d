//! Text format of log lines: `2026-11-22T10:15:00.123456Z  INFO a sentence event_id=evt_1 elapsed_ms=12`.
//!
//! An event is always one line, for any values, so that a publisher can't forge log lines.

use std::fmt::{self, Debug, Write};

use handoffd_engine::text::{is_hidden, visible};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Formatter of events and of the fields of spans.
pub(super) struct LogLine;

impl<S, N> FormatEvent<S, N> for LogLine
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        SystemTime.format_time(&mut writer)?;
        write!(writer, " {:>5}", event.metadata().level())?;
        let target = event.metadata().target();
        if !target.starts_with("handoffd") {
            write!(writer, " {target}:")?;
        }
        context.format_fields(writer.by_ref(), event)?;
        for span in context.event_scope().into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                writer.write_str(fields)?;
            }
        }
        writer.write_str("\n")
    }
}

impl<'writer> FormatFields<'writer> for LogLine {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut fields_of = LineFields { sentence: String::new(), rest: String::new() };
        fields.record(&mut fields_of);
        writer.write_str(&fields_of.sentence)?;
        writer.write_str(&fields_of.rest)
    }
}

/// Message, followed by the fields in their order.
struct LineFields {
    sentence: String,
    rest: String,
}

impl LineFields {
    fn put(&mut self, field: &Field, value: &str) {
        // Writing to a string can't fail.
        let _ = match field.name() {
            "message" => write!(self.sentence, " {}", visible(value)),
            // The bridge from the `log` crate repeats metadata in these fields.
            name if name.starts_with("log.") => Ok(()),
            name if is_plain(value) => write!(self.rest, " {name}={value}"),
            name => write!(self.rest, " {name}=\"{}\"", visible(&value.replace('\\', "\\\\").replace('"', "\\\""))),
        };
    }
}

impl Visit for LineFields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, &format!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            // Most of this program's errors quote their cause already.
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                let _ = write!(text, ": {cause_text}");
            }
            source = cause.source();
        }
        self.put(field, &text);
    }
}

/// Returns true if a value needs no quotes.
fn is_plain(value: &str) -> bool {
    let odd = |char: char| char.is_whitespace() || is_hidden(char) || matches!(char, '"' | '\\' | '=');
    !value.is_empty() && !value.contains(odd)
}
