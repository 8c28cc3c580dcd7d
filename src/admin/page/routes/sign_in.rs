//! `/login`: the sign-in form. The HTTP interface handles what it submits.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{DOCTYPE, html};
use url::form_urlencoded;

use super::answer::with_security_headers;
use super::state::PageState;
use crate::admin::api::login::{go, local};
use crate::admin::page::layout::head;

/// Shows the form, with an error after a wrong token.
pub(super) async fn form(State(page): State<Arc<PageState>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let field =
        |wanted| form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == wanted).map(|(_, value)| value);
    let next = field("next").unwrap_or_default();
    let next = local(&next);
    if page.parts.authenticator.is_open() {
        return go(next);
    }
    let failed = field("failed").is_some();
    let shown = html! {
        (DOCTYPE)
        html lang="en" {
            (head("Sign in"))
            body {
                main id="main" class="signin" {
                    h1 { "handoffd" }
                    @if failed { p class="verdict bad" role="alert" { "Wrong token." } }
                    form method="post" action="/login" {
                        input type="hidden" name="next" value=(next);
                        label for="token" { "Token (http.token or http.reader_token)" }
                        input id="token" name="token" type="password" autocomplete="current-password" required autofocus;
                        p class="actions" { button class="primary" { "Sign in" } }
                    }
                }
            }
        }
    };
    with_security_headers(if failed { StatusCode::UNAUTHORIZED } else { StatusCode::OK }, &shown)
}
