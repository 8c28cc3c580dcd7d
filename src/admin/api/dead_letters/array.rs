//! Response with the entries of a pass: a JSON array, sent as it grows if it is long, so that memory stays bounded.

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use handoffd_engine::dead_letters::DeadLetterEntry;
use serde_json::json;
use tokio::time::{Instant, timeout, timeout_at};

use super::csv;
use super::pass::Pass;
use crate::admin::api::Problem;

/// Number of entries from which a response begins before the pass ends. Until then a failure becomes a problem.
const LONG: usize = 1000;
/// Silence after which the response begins or a line break is sent, so that clients do not give up.
const SILENCE: Duration = Duration::from_secs(5);

/// Text of entries in parts: a JSON array, or CSV.
#[derive(Default)]
struct ArrayText {
    /// Number of entries written.
    entries: usize,
    is_csv: bool,
}

/// Returns the response: a problem if the pass fails before anything was sent; a truncated body if it fails later.
pub(super) async fn array(pass: Pass) -> Result<Response, Problem> {
    respond_with(pass, ArrayText::default()).await
}

/// Returns the entries as a file: CSV or JSON.
pub(super) async fn file(pass: Pass, is_csv: bool) -> Result<Response, Problem> {
    let mut response = respond_with(pass, ArrayText { entries: 0, is_csv }).await?;
    let place =
        if is_csv { "attachment; filename=\"dead-letters.csv\"" } else { "attachment; filename=\"dead-letters.json\"" };
    response.headers_mut().insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(place));
    Ok(response)
}

async fn respond_with(mut pass: Pass, mut text: ArrayText) -> Result<Response, Problem> {
    let mut entries = pass.next().await.unwrap_or_default();
    let begins = Instant::now() + SILENCE;
    while entries.len() < LONG {
        match timeout_at(begins, pass.next()).await {
            Ok(Some(window)) => entries.extend(window),
            Ok(None) => {
                pass.end().await.map_err(|problem| with_results(problem, &entries))?;
                let body = text.part(&entries) + &text.end();
                return Ok(respond(Body::from(body), text.is_csv));
            }
            Err(_) => break,
        }
    }
    let is_csv = text.is_csv;
    let first = stream::iter([Ok(text.part(&entries))]);
    let rest = stream::unfold(Some((pass, text)), |growing| async {
        let (mut pass, mut text) = growing?;
        let part = match timeout(SILENCE, pass.next()).await {
            Ok(None) => return Some((pass.end().await.map(|_| text.end()).map_err(io::Error::other), None)),
            Ok(Some(window)) => text.part(&window),
            // A line of its own in CSV would be a record.
            Err(_) => {
                if text.is_csv {
                    String::new()
                } else {
                    "\n".to_owned()
                }
            }
        };
        Some((Ok(part), Some((pass, text))))
    });
    Ok(respond(Body::from_stream(first.chain(rest)), is_csv))
}

fn respond(body: Body, is_csv: bool) -> Response {
    let kind = if is_csv { "text/csv; charset=utf-8" } else { "application/json" };
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}

/// Adds the results of what was done before the failure.
fn with_results(problem: Problem, entries: &[DeadLetterEntry]) -> Problem {
    if entries.iter().any(|entry| entry.result.is_some()) { problem.with("results", json!(entries)) } else { problem }
}

impl ArrayText {
    /// Returns the text of further entries, one a line.
    fn part(&mut self, entries: &[DeadLetterEntry]) -> String {
        let mut text = String::new();
        if self.is_csv {
            text.push_str(if self.entries == 0 { csv::HEAD } else { "" });
            for entry in entries {
                text.push_str(&csv::line(entry));
            }
            self.entries += entries.len().max(1);
            return text;
        }
        for entry in entries {
            text.push_str(if self.entries == 0 { "[\n" } else { ",\n" });
            // Strings, numbers and nulls always serialize.
            text.push_str(&serde_json::to_string(entry).unwrap_or_default());
            self.entries += 1;
        }
        text
    }

    /// Returns the end of the text.
    fn end(&self) -> String {
        if self.is_csv {
            return String::new();
        }
        if self.entries == 0 { "[]" } else { "\n]" }.to_owned()
    }
}
