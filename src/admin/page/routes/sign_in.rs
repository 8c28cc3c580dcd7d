//! `/login`: the sign-in form. The HTTP interface handles what it submits.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{DOCTYPE, html};

use super::answer::with_security_headers;
use super::state::PageState;
use crate::admin::api::login::go;
use crate::admin::page::layout::head;

/// Shows the form, with an error after a wrong token.
pub(super) async fn form(State(page): State<Arc<PageState>>, RawQuery(query): RawQuery) -> Response {
    if page.parts.token.is_none() {
        return go("/");
    }
    let failed = query.is_some_and(|query| query.starts_with("failed"));
    let shown = html! {
        (DOCTYPE)
        html lang="en" {
            (head("Sign in"))
            body {
                main id="main" class="signin" {
                    h1 { "handoffd" }
                    @if failed { p class="verdict bad" role="alert" { "Wrong token." } }
                    form method="post" action="/login" {
                        label for="token" { "Token (http.token)" }
                        input id="token" name="token" type="password" autocomplete="current-password" required autofocus;
                        p class="actions" { button class="primary" { "Sign in" } }
                    }
                }
            }
        }
    };
    with_security_headers(if failed { StatusCode::UNAUTHORIZED } else { StatusCode::OK }, &shown)
}
