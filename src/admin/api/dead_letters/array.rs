//! Response with the entries of a pass: a JSON array, sent as it grows if it is long, so that memory stays bounded.

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use handoffd_engine::dead_letters::DeadLetterEntry;
use serde_json::json;
use tokio::time::{Instant, timeout, timeout_at};

use super::pass::Pass;
use crate::admin::api::Problem;

/// Number of entries from which a response begins before the pass ends. Until then a failure becomes a problem.
const LONG: usize = 1000;
/// Silence after which the response begins or a line break is sent, so that clients do not give up.
const SILENCE: Duration = Duration::from_secs(5);

/// Text of an array in parts.
#[derive(Default)]
struct ArrayText {
    /// Number of entries written.
    entries: usize,
}

/// Returns the response: a problem if the pass fails before anything was sent; a truncated body if it fails later.
pub(super) async fn array(mut pass: Pass) -> Result<Response, Problem> {
    let mut entries = pass.next().await.unwrap_or_default();
    let begins = Instant::now() + SILENCE;
    let mut text = ArrayText::default();
    while entries.len() < LONG {
        match timeout_at(begins, pass.next()).await {
            Ok(Some(window)) => entries.extend(window),
            Ok(None) => {
                pass.end().await.map_err(|problem| with_results(problem, &entries))?;
                return Ok(respond(Body::from(text.part(&entries) + &text.end())));
            }
            Err(_) => break,
        }
    }
    let first = stream::iter([Ok(text.part(&entries))]);
    let rest = stream::unfold(Some((pass, text)), |growing| async {
        let (mut pass, mut text) = growing?;
        let part = match timeout(SILENCE, pass.next()).await {
            Ok(None) => return Some((pass.end().await.map(|_| text.end()).map_err(io::Error::other), None)),
            Ok(Some(window)) => text.part(&window),
            Err(_) => "\n".to_owned(),
        };
        Some((Ok(part), Some((pass, text))))
    });
    Ok(respond(Body::from_stream(first.chain(rest))))
}

fn respond(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Adds the results of what was done before the failure.
fn with_results(problem: Problem, entries: &[DeadLetterEntry]) -> Problem {
    if entries.iter().any(|entry| entry.result.is_some()) { problem.with("results", json!(entries)) } else { problem }
}

impl ArrayText {
    /// Returns the text of further entries, one a line.
    fn part(&mut self, entries: &[DeadLetterEntry]) -> String {
        let mut text = String::new();
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
        if self.entries == 0 { "[]" } else { "\n]" }.to_owned()
    }
}
