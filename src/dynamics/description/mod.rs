//! Description of an incident, the text that a rep reads first.

use handoffd_engine::event::{Handoff, Message};
use handoffd_engine::text::{cut, units};
use handoffd_engine::workflow::Fit;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Upper bound of the fixed bytes in a description's header lines.
const HEADER: usize = 128;

/// Upper bound of the fixed bytes in a transcript line: line break, time, brackets, a predefined sender name.
const LINE: usize = 48;

/// Description of an incident within the organization's limit.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Description {
    /// Text for the incident.
    pub(super) text: String,
    /// [`Fit::Whole`] if the text is the complete description.
    pub(super) fit: Fit,
}

/// Returns the description of a handoff, cut to `limit` UTF-16 units (contract 4).
pub(super) fn describe(handoff: &Handoff, limit: usize) -> Description {
    match whole_within(handoff, limit) {
        Some(text) => Description { text, fit: Fit::Whole },
        None => Description { text: shortened(handoff, limit), fit: Fit::Cut },
    }
}

/// Reports whether the complete description of a handoff fits into `limit` UTF-16 units.
pub(super) fn fit(handoff: &Handoff, limit: usize) -> Fit {
    // A byte yields at most one UTF-16 unit, and the fixed parts are counted generously.
    if bytes(handoff) <= limit { Fit::Whole } else { describe(handoff, limit).fit }
}

/// Returns an upper bound of the uncut description's length in bytes.
fn bytes(handoff: &Handoff) -> usize {
    let length = |text: Option<&str>| text.map_or(1, str::len);
    let customer = &handoff.customer;
    let header = [
        handoff.summary.as_deref(),
        handoff.classification.as_deref(),
        handoff.sentiment.as_deref(),
        customer.name.as_deref(),
        customer.email.as_deref(),
        customer.phone.as_deref(),
    ];
    let line = |message: &Message| {
        let texts = [message.name.as_deref(), message.sender.as_deref(), message.text.as_deref()];
        LINE + texts.into_iter().map(length).sum::<usize>()
    };
    let header = HEADER + handoff.channel.as_str().len() + header.into_iter().map(length).sum::<usize>();
    header + handoff.transcript.iter().map(line).sum::<usize>()
}

/// Returns the uncut description.
pub(super) fn whole(handoff: &Handoff) -> String {
    whole_within(handoff, usize::MAX).unwrap_or_default()
}

/// Returns the uncut description if it has at most `limit` UTF-16 units. Of a longer one hardly more than that is written.
fn whole_within(handoff: &Handoff, limit: usize) -> Option<String> {
    let mut text = header(handoff, handoff.summary.as_deref().unwrap_or("-"));
    let mut length = units(&text);
    for message in &handoff.transcript {
        if length > limit {
            return None;
        }
        let start = text.len();
        line(&mut text, message);
        length += units(&text[start..]);
    }
    let trimmed = text.trim_end_matches('\n').len();
    length -= text.len() - trimmed;
    text.truncate(trimmed);
    (length <= limit).then_some(text)
}

fn shortened(handoff: &Handoff, limit: usize) -> String {
    let total = handoff.transcript.len();
    let room = limit.saturating_sub(units(&tail(total)));
    let mut text = fitting_header(handoff, room);
    let fitting = cut(&text, room).len();
    if fitting < text.len() {
        // The other header lines alone exceed the limit; the note contains them in full.
        text.truncate(fitting);
        text.push_str(&tail(total));
        return cut(&text, limit).trim_end_matches('\n').to_owned();
    }
    let shown = push_fitting_lines(&mut text, &handoff.transcript, limit);
    let mut left = total - shown;
    if let Some(first) = handoff.transcript.first()
        && shown == 0
    {
        // Not even the first message fits; show as much of it as possible.
        let room = limit.saturating_sub(units(&text) + units(&tail(left - 1)));
        let mut part = String::new();
        line(&mut part, first);
        let part = cut(&part, room);
        if part.len() > 1 {
            text.push_str(part);
            left -= 1;
        }
    }
    text.push_str(&tail(left));
    text
}

/// Adds the leading messages that fit together with the last line, which counts the missing ones. Returns their number.
fn push_fitting_lines(text: &mut String, transcript: &[Message], limit: usize) -> usize {
    let mut used = units(text);
    for (index, message) in transcript.iter().enumerate() {
        let start = text.len();
        line(text, message);
        used += units(&text[start..]);
        if used + units(&tail(transcript.len() - index - 1)) > limit {
            text.truncate(start);
            return index;
        }
    }
    transcript.len()
}

fn fitting_header(handoff: &Handoff, limit: usize) -> String {
    let summary = handoff.summary.as_deref().unwrap_or("-");
    let text = header(handoff, summary);
    let over = units(&text).saturating_sub(limit);
    if over == 0 {
        return text;
    }
    header(handoff, cut(summary, units(summary).saturating_sub(over)))
}

fn tail(left: usize) -> String {
    format!("\n[… {left} more messages in the attached transcript]")
}

fn header(handoff: &Handoff, summary: &str) -> String {
    let customer = &handoff.customer;
    format!(
        "Channel: {}\nSummary: {summary}\nClassification: {}\nSentiment: {}\nCustomer Details:\n  Name: {}\n  Email: {}\n  \
         Phone: {}\n\nTranscript:",
        handoff.channel,
        handoff.classification.as_deref().unwrap_or("-"),
        handoff.sentiment.as_deref().unwrap_or("-"),
        customer.name.as_deref().unwrap_or("-"),
        customer.email.as_deref().unwrap_or("-"),
        customer.phone.as_deref().unwrap_or("-"),
    )
}

/// Adds the line of a message, with the line break before it.
fn line(text: &mut String, message: &Message) {
    text.push_str("\n[");
    match message.timestamp {
        Some(time) => text.push_str(&in_seconds(time)),
        None => text.push('-'),
    }
    text.push_str("] ");
    text.push_str(&speaker(message));
    text.push_str(": ");
    text.push_str(message.text.as_deref().unwrap_or("-"));
}

fn speaker(message: &Message) -> String {
    let sender = message.sender.as_deref();
    if let Some(name) = &message.name {
        return match sender {
            Some(sender) => format!("{name} ({sender})"),
            None => name.to_string(),
        };
    }
    match sender {
        Some("customer" | "contact") => "Customer".to_owned(),
        Some("ai") => "AI".to_owned(),
        Some("agent" | "human_agent") => "Agent".to_owned(),
        Some("system") => "System".to_owned(),
        Some(other) => other.to_owned(),
        None => "-".to_owned(),
    }
}

/// Formats a time as RFC 3339 in UTC, without fractions of a second.
fn in_seconds(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests;
