//! HTTP client: sends requests and reads answers, without interpreting either.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::answer::Answer;
use super::mask::one_line;
use super::request::{Method, Request};
use super::resolver::Resolver;
use super::token::{Token, TokenRequest};
use crate::regular::{self, LONGEST_PEM};

/// Longest answer that is read. The worker's own requests return a few hundred bytes, error pages a few thousand.
const LONGEST_ANSWER: usize = 1 << 20;
/// Hosts that are never reached through a proxy: on the proxy, these names mean the proxy's own machine.
const THIS_MACHINE: &str = "localhost,127.0.0.0/8,::1";

/// HTTP client shared by all organizations.
pub(super) struct Client(reqwest::Client);

/// Proxy for outgoing connections. Used for `https://` only, as real hosts offer nothing else.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Value of `HTTPS_PROXY`; may contain a password.
    pub url: SecretString,
    /// Value of `NO_PROXY`: hosts that are reached directly. The local machine always is.
    pub except: String,
}

/// Failure to set up the HTTP client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The HTTP library refused, most likely because the system's TLS roots can't be read.
    #[error("can't set up the HTTP client: {0}; check the system's TLS root certificates")]
    Client(#[source] reqwest::Error),
    /// `dynamics.ca_file` is unusable. It was valid when the configuration was read, and has changed since.
    #[error("dynamics.ca_file {}: {problem}; expected a PEM file of certificates", path.display())]
    CaFile {
        /// Path of the file.
        path: PathBuf,
        /// Reason why the file is unusable.
        problem: String,
    },
    /// `HTTPS_PROXY` is invalid. Its value may contain a password and is not quoted.
    #[error("HTTPS_PROXY is not the URL of a proxy; expected http://host:port")]
    Proxy,
}

/// Reason why a request received no answer, in one line. Never contains the URL, whose filter may hold an email.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Unanswered {
    /// No answer within the time-out.
    TimedOut(String),
    /// No connection, a broken one, or an answer that is too long.
    Disconnected(String),
}

impl Client {
    /// Creates a client with a time-out for each request.
    pub(super) fn new(
        request_timeout: Duration,
        ca_file: Option<&Path>,
        proxy: Option<&Proxy>,
    ) -> Result<Self, ClientError> {
        // A process has one TLS provider; a second installation is refused, which is harmless.
        _ = rustls::crypto::ring::default_provider().install_default();
        // The library's own reading of the environment would send even loopback traffic through HTTP_PROXY.
        let mut builder = reqwest::Client::builder().no_proxy();
        if let Some(proxy) = proxy {
            builder = builder.proxy(proxy_of(proxy)?);
        }
        if let Some(path) = ca_file {
            builder = builder.tls_certs_merge(roots(path)?);
        }
        let client = builder
            .timeout(request_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .default_headers(standing_headers())
            .tcp_nodelay(true)
            .dns_resolver(Arc::new(Resolver::new()))
            .build()
            .map_err(ClientError::Client)?;
        Ok(Self(client))
    }

    /// Sends a request to an environment.
    pub(super) async fn ask(&self, environment: &str, asked: &Request, token: &Token) -> Result<Answer, Unanswered> {
        let url = format!("{environment}/api/data/v9.2/{}", asked.path);
        let mut builder = match asked.method {
            Method::Get => self.0.get(url),
            Method::Post => self.0.post(url),
            Method::Patch => self.0.patch(url),
        };
        builder = builder.header(AUTHORIZATION, token.authorization.clone());
        builder = builder.header("x-ms-client-request-id", Uuid::new_v4().to_string());
        for (name, value) in &asked.headers {
            builder = builder.header(*name, value.as_ref());
        }
        if let Some(body) = &asked.body {
            builder = builder.header(CONTENT_TYPE, HeaderValue::from_static("application/json")).body(body.bytes());
        }
        fetch(builder).await
    }

    /// Requests a token.
    pub(super) async fn ask_token(&self, asked: &TokenRequest) -> Result<Answer, Unanswered> {
        fetch(asked.build(&self.0)).await
    }
}

fn roots(path: &Path) -> Result<Vec<reqwest::Certificate>, ClientError> {
    let failed = |problem: String| ClientError::CaFile { path: path.to_owned(), problem };
    let pem = regular::read(path, LONGEST_PEM).map_err(|problem| failed(problem.to_string()))?;
    reqwest::Certificate::from_pem_bundle(pem.as_bytes()).map_err(|error| failed(error.to_string()))
}

fn proxy_of(proxy: &Proxy) -> Result<reqwest::Proxy, ClientError> {
    let spared = format!("{},{THIS_MACHINE}", proxy.except);
    let way = reqwest::Proxy::https(proxy.url.expose_secret()).map_err(|_| ClientError::Proxy)?;
    Ok(way.no_proxy(reqwest::NoProxy::from_string(&spared)))
}

async fn fetch(builder: reqwest::RequestBuilder) -> Result<Answer, Unanswered> {
    let response = builder.send().await.map_err(|error| unanswered(&error))?;
    let text = |headers: &HeaderMap, name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
    let mut answer = Answer {
        status: response.status().as_u16(),
        retry_after: text(response.headers(), "retry-after"),
        date: text(response.headers(), "date"),
        etag: text(response.headers(), "etag"),
        request_id: request_id(response.headers()),
        dop_hint: response.headers().get("x-ms-dop-hint").and_then(|hint| hint.to_str().ok()?.trim().parse().ok()),
        ..Answer::default()
    };
    answer.body = read_body(response).await?;
    Ok(answer)
}

/// Returns the request's id for Microsoft's support. Anything but a GUID may be a customer's text.
fn request_id(headers: &HeaderMap) -> Option<Uuid> {
    headers.get("x-ms-service-request-id")?.to_str().ok()?.trim().parse().ok()
}

async fn read_body(mut response: reqwest::Response) -> Result<Bytes, Unanswered> {
    let Some(first) = response.chunk().await.map_err(|error| unanswered(&error))? else {
        return Ok(Bytes::new());
    };
    let mut body = BytesMut::from(first);
    while let Some(chunk) = response.chunk().await.map_err(|error| unanswered(&error))? {
        if body.len() + chunk.len() > LONGEST_ANSWER {
            return Err(Unanswered::Disconnected(format!("the answer exceeds {LONGEST_ANSWER} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Describes a transport error, including its root cause.
fn unanswered(error: &reqwest::Error) -> Unanswered {
    let what = if error.is_timeout() {
        "no answer within dynamics.request_timeout"
    } else if error.is_connect() {
        "can't connect"
    } else {
        "connection lost"
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
    if error.is_timeout() { Unanswered::TimedOut(text) } else { Unanswered::Disconnected(text) }
}

fn standing_headers() -> HeaderMap {
    HeaderMap::from_iter([
        (ACCEPT, HeaderValue::from_static("application/json")),
        (USER_AGENT, HeaderValue::from_static(concat!("handoffd/", env!("CARGO_PKG_VERSION")))),
        (reqwest::header::HeaderName::from_static("odata-version"), HeaderValue::from_static("4.0")),
        (reqwest::header::HeaderName::from_static("odata-maxversion"), HeaderValue::from_static("4.0")),
    ])
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::test_authority::Authority;

    const LIMIT: Duration = Duration::from_secs(20);

    async fn listener() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (listener, address)
    }

    /// Answers the first request and returns its first line.
    async fn first_line(listener: TcpListener) -> String {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut start = [0; 256];
        let count = stream.read(&mut start).await.unwrap();
        stream.write_all(b"HTTP/1.1 418 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await.unwrap();
        String::from_utf8_lossy(&start[..count]).lines().next().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn a_proxy_is_used_for_real_hosts_and_never_for_the_local_machine() {
        let (proxy, proxy_address) = listener().await;
        let way = Proxy { url: format!("http://{proxy_address}").into(), except: "example.org".to_owned() };
        let client = Client::new(LIMIT, None, Some(&way)).unwrap();

        let (here, here_address) = listener().await;
        let heard = tokio::spawn(first_line(here));
        let answer = fetch(client.0.get(format!("http://{here_address}/here"))).await.unwrap();
        assert_eq!((answer.status, heard.await.unwrap().as_str()), (418, "GET /here HTTP/1.1"));
        let (here, here_address) = listener().await;
        let heard = tokio::spawn(first_line(here));
        // The listener has no TLS; only the recipient of the request matters.
        assert!(fetch(client.0.get(format!("https://{here_address}/here"))).await.is_err());
        assert!(!heard.await.unwrap().starts_with("CONNECT"));

        let heard = tokio::spawn(first_line(proxy));
        assert!(fetch(client.0.get("https://acme.crm.dynamics.invalid/api")).await.is_err());
        assert_eq!(heard.await.unwrap(), "CONNECT acme.crm.dynamics.invalid:443 HTTP/1.1");
    }

    #[tokio::test]
    async fn roots_are_read_from_a_file_too() {
        let authority = Authority::new();
        let server = authority.serve("-www");
        let url = format!("https://localhost:{}/", server.port);
        let unknown = fetch(Client::new(LIMIT, None, None).unwrap().0.get(&url)).await.expect_err("an unknown root");
        assert!(format!("{unknown:?}").to_lowercase().contains("unknownissuer"), "{unknown:?}");
        let root = authority.file("root.pem");
        let client = Client::new(LIMIT, Some(&root), None).unwrap();
        assert_eq!(fetch(client.0.get(&url)).await.unwrap().status, 200);
    }

    #[test]
    fn a_request_id_is_a_guid_or_nothing() {
        let id = "7d0ba8ad-8d4f-4d4e-8a8c-0d6a1c1d5a11";
        for (value, expected) in [(id, Some(id)), ("", None), ("Ann O'Brien", None), ("4155550100", None)] {
            let headers = HeaderMap::from_iter([(
                reqwest::header::HeaderName::from_static("x-ms-service-request-id"),
                HeaderValue::from_static(value),
            )]);
            assert_eq!(request_id(&headers).map(|id| id.to_string()).as_deref(), expected);
        }
    }

    #[test]
    fn an_invalid_proxy_is_reported_without_its_password() {
        let way = Proxy { url: "http://user:hunter2@".to_owned().into(), except: String::new() };
        let problem = Client::new(LIMIT, None, Some(&way)).err().expect("no proxy").to_string();
        assert!(problem.contains("HTTPS_PROXY") && !problem.contains("hunter2"), "{problem}");
    }
}
