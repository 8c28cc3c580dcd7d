//! Problems as pages, for browsers.

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::middleware::Next;
use axum::response::Response;
use maud::{DOCTYPE, html};
use serde_json::Value;

use super::answer::with_security_headers;
use crate::admin::api::login::wants_a_page;
use crate::admin::page::layout::head;
use crate::admin::page::text;

/// Longest problem that becomes a page, in bytes.
const LONGEST: usize = 64 << 10;

/// Renders a problem for a browser. It shows nothing of the worker, because the reader may not be signed in.
pub async fn problems_as_pages(request: Request, next: Next) -> Response {
    let wanted = wants_a_page(request.headers()) && !request.uri().path().starts_with("/api/");
    let response = next.run(request).await;
    let is_problem = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
    if !wanted || !is_problem {
        return response;
    }
    let (parts, body) = response.into_parts();
    // A problem is small and complete.
    let body = to_bytes(body, LONGEST).await.unwrap_or_default();
    let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
    let title = problem["title"].as_str().unwrap_or("Request failed");
    let shown = html! {
        (DOCTYPE)
        html lang="en" {
            (head(title))
            body {
                main id="main" class="signin" {
                    h1 { (title) }
                    p class="verdict bad" role="alert" { (text::foreign_text(problem["detail"].as_str().unwrap_or_default())) }
                    p class="actions" { a class="button" href="/" { "Back to overview" } }
                }
            }
        }
    };
    let mut page = with_security_headers(parts.status, &shown);
    for (name, value) in parts.headers.iter().filter(|(name, _)| ![CONTENT_TYPE, CONTENT_LENGTH].contains(name)) {
        page.headers_mut().entry(name).or_insert(value.clone());
    }
    page
}
