//! The one who talks HTTP: request out, answer in, and nothing decided here.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use uuid::Uuid;

use super::answer::Answer;
use super::mask::one_line;
use super::request::{Method, Request};
use super::token::{Token, TokenCache};

/// The longest answer that is read: what the worker asks for is a few hundred bytes, an error page a few thousand.
const LONGEST_ANSWER: usize = 1 << 20;

/// An HTTP client for all organizations.
pub(super) struct Client(reqwest::Client);

/// The HTTP client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the HTTP client: {0}")]
pub struct ClientError(#[from] reqwest::Error);

/// A request without an answer: why, in one line, without the URL (its filter holds an email).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Unanswered {
    /// Nothing came back in time.
    Silent(String),
    /// No connection, a broken one, or an answer without end.
    Broken(String),
}

impl Client {
    /// A client that gives up on a request after so long.
    pub(super) fn new(request_timeout: Duration) -> Result<Self, ClientError> {
        // A process has one TLS provider; a second installation is refused, and that is fine.
        _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(request_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .default_headers(standing_headers())
            .tcp_nodelay(true)
            .build()?;
        Ok(Self(client))
    }

    /// Asks an environment.
    pub(super) async fn ask(&self, environment: &str, asked: &Request, token: &Token) -> Result<Answer, Unanswered> {
        let url = format!("{environment}/api/data/v9.2/{}", asked.path);
        let mut builder = match asked.method {
            Method::Get => self.0.get(url),
            Method::Post => self.0.post(url),
            Method::Patch => self.0.patch(url),
        };
        builder = builder.header(AUTHORIZATION, token.authorization.clone());
        builder = builder.header("x-ms-client-request-id", Uuid::new_v4().to_string());
        for (name, value) in asked.headers {
            builder = builder.header(*name, *value);
        }
        if let Some(body) = &asked.body {
            builder = builder.header(CONTENT_TYPE, HeaderValue::from_static("application/json")).body(body.to_string());
        }
        fetch(builder).await
    }

    /// Asks for a token.
    pub(super) async fn ask_token(&self, cache: &TokenCache) -> Result<Answer, Unanswered> {
        fetch(cache.request(&self.0)).await
    }
}

async fn fetch(builder: reqwest::RequestBuilder) -> Result<Answer, Unanswered> {
    let response = builder.send().await.map_err(|error| unanswered(&error))?;
    let text = |headers: &HeaderMap, name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
    let mut answer = Answer {
        status: response.status().as_u16(),
        retry_after: text(response.headers(), "retry-after"),
        request_id: text(response.headers(), "x-ms-service-request-id"),
        dop_hint: response.headers().get("x-ms-dop-hint").and_then(|hint| hint.to_str().ok()?.trim().parse().ok()),
        body: Bytes::new(),
    };
    answer.body = read_body(response).await?;
    Ok(answer)
}

async fn read_body(mut response: reqwest::Response) -> Result<Bytes, Unanswered> {
    let Some(first) = response.chunk().await.map_err(|error| unanswered(&error))? else {
        return Ok(Bytes::new());
    };
    let mut body = BytesMut::from(first);
    while let Some(chunk) = response.chunk().await.map_err(|error| unanswered(&error))? {
        if body.len() + chunk.len() > LONGEST_ANSWER {
            return Err(Unanswered::Broken(format!("the answer is longer than {LONGEST_ANSWER} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// What went wrong on the way, down to the cause.
fn unanswered(error: &reqwest::Error) -> Unanswered {
    let what = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "cannot connect"
    } else {
        "the connection broke"
    };
    let mut cause = std::error::Error::source(error);
    let mut text = what.to_owned();
    while let Some(source) = cause {
        if source.source().is_none() {
            text = format!("{what}: {source}");
        }
        cause = source.source();
    }
    let text = one_line(&text);
    if error.is_timeout() { Unanswered::Silent(text) } else { Unanswered::Broken(text) }
}

fn standing_headers() -> HeaderMap {
    HeaderMap::from_iter([
        (ACCEPT, HeaderValue::from_static("application/json")),
        (USER_AGENT, HeaderValue::from_static(concat!("handoffd/", env!("CARGO_PKG_VERSION")))),
        (reqwest::header::HeaderName::from_static("odata-version"), HeaderValue::from_static("4.0")),
        (reqwest::header::HeaderName::from_static("odata-maxversion"), HeaderValue::from_static("4.0")),
    ])
}
