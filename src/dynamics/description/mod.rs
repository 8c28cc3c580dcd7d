//! Description of an incident, the text that a rep reads first.

use handoffd_engine::event::{Handoff, Message};
use handoffd_engine::text::{cut, units};
use handoffd_engine::workflow::Fit;
use jiff::civil::DateTime;

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
    if units(&text) > room {
        return without_transcript(handoff, limit);
    }
    let mut shown = push_fitting_lines(&mut text, &handoff.transcript, limit);
    if let Some(first) = handoff.transcript.first()
        && shown == 0
        && let Some(part) = part_of(first, limit, limit.saturating_sub(units(&text) + units(&tail(total - 1))))
    {
        text.push_str(&part);
        shown = 1;
    }
    text.push_str(&tail(total - shown));
    text
}

/// Returns the description of a handoff whose header lines leave no room for anything else. Where they alone exceed the
/// limit, the note contains them in full.
fn without_transcript(handoff: &Handoff, limit: usize) -> String {
    let header = fitting_header(handoff, limit);
    if units(&header) <= limit {
        return header;
    }
    let tail = tail(handoff.transcript.len());
    let header = cut(&header, limit.saturating_sub(units(&tail)));
    cut(&format!("{header}{tail}"), limit).trim_end_matches('\n').to_owned()
}

/// Returns the beginning of a huge message's line: one that takes more than half of the limit. Any other is left out.
fn part_of(message: &Message, limit: usize, room: usize) -> Option<String> {
    let mut text = String::new();
    line(&mut text, message);
    let is_huge = units(&text) > limit / 2;
    let before_text = units(&text) - message.text.as_deref().map_or(1, units);
    text.truncate(cut(&text, room).len());
    (is_huge && room > before_text).then_some(text)
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

/// Formats a time in UTC as RFC 3339, without fractions of a second.
fn in_seconds(utc: DateTime) -> String {
    utc.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests;
