//! Client of a running worker's HTTP interface, for commands.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::listener;
use crate::config::Config;

/// Connection timeout. A worker on the same machine accepts at once; otherwise none is running.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// Timeout of a health check, whose caller does not wait long.
const HEALTH_LIMIT: Duration = Duration::from_secs(4);
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Timeout of requests for which the worker calls Dynamics several times.
const DYNAMICS_LIMIT: Duration = Duration::from_secs(300);

/// Header that names the user, for the worker's record.
const USER: &str = "x-handoffd-user";

/// Client of a worker's HTTP interface.
pub(super) struct Remote {
    client: reqwest::Client,
    address: SocketAddr,
    base: String,
    token: Option<SecretString>,
    /// Path of the worker's store, whose owner may listen.
    store: PathBuf,
}

impl Remote {
    /// Connects to the worker that runs with this configuration. Returns `None` if nothing listens at its address.
    pub(super) async fn find(config: &Config) -> Result<Option<Self>> {
        _ = rustls::crypto::ring::default_provider().install_default();
        let address = reachable_address(config.http.listen);
        if tokio::time::timeout(CONNECT_LIMIT, tokio::net::TcpStream::connect(address))
            .await
            .is_ok_and(|link| link.is_ok())
        {
            let client = reqwest::Client::builder().timeout(ANSWER_LIMIT).no_proxy().build()?;
            return Ok(Some(Self {
                client,
                address,
                base: format!("http://{address}"),
                token: config.http.token.clone(),
                store: config.store.path.clone(),
            }));
        }
        Ok(None)
    }

    /// Checks a health endpoint. Returns `None` if the worker is healthy, else the reasons, as in `/readyz`.
    pub(super) async fn check_health(&self, path: &str) -> Result<Option<Vec<String>>> {
        let asked = self.client.get(format!("{}{path}", self.base)).timeout(HEALTH_LIMIT);
        let answer = asked.send().await.with_context(|| self.silent())?;
        let status = answer.status();
        if status.is_success() {
            return Ok(None);
        }
        let body: Value = serde_json::from_slice(&answer.bytes().await?).unwrap_or_default();
        let reasons = body["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        let reasons: Vec<String> = reasons.collect();
        Ok(Some(if reasons.is_empty() { vec![format!("HTTP status {status}")] } else { reasons }))
    }

    /// Response to `GET <path>`; `None` for 404, unless that has an `event`, which has no outcome yet.
    pub(super) async fn get(&self, path: &str) -> Result<Option<Value>> {
        self.answer(self.client.get(format!("{}{path}", self.base))).await
    }

    /// Response to `POST <path>` without a body; `None` for 404. The worker may call Dynamics before it responds.
    pub(super) async fn post(&self, path: &str) -> Result<Option<Value>> {
        self.answer(self.client.post(format!("{}{path}", self.base)).timeout(DYNAMICS_LIMIT)).await
    }

    /// Sends `POST <path>` with a JSON body.
    pub(super) async fn report(&self, path: &str, body: &Value) -> Result<()> {
        let request = self.client.post(format!("{}{path}", self.base)).body(body.to_string());
        let answer = self.send(request.header(CONTENT_TYPE, "application/json")).await?;
        answer.error_for_status()?;
        Ok(())
    }

    /// Sends a request with the token, which only the worker may get, and with the user's name.
    async fn send(&self, mut request: reqwest::RequestBuilder) -> Result<reqwest::Response> {
        if let Some(token) = &self.token {
            listener::check(self.address, &self.store)?;
            request = request.bearer_auth(token.expose_secret());
        }
        let request = request.header(USER, user());
        request.send().await.with_context(|| self.silent())
    }

    /// Returns the error of a worker that does not respond.
    fn silent(&self) -> String {
        format!("the worker at {} does not respond; start it, or see its log", self.base)
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Option<Value>> {
        let answer = self.send(request).await?;
        let status = answer.status();
        let body = answer.bytes().await?;
        if status == StatusCode::NOT_FOUND {
            let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
            return Ok(problem.get("event").cloned());
        }
        let value: Value = serde_json::from_slice(&body).with_context(|| {
            format!("the server at {} (http.listen) is not handoffd; its response has status {status}", self.base)
        })?;
        if status == StatusCode::UNAUTHORIZED {
            bail!(
                "the worker at {} refuses this command's token; give the command the worker's http.token \
                 (HANDOFFD_HTTP__TOKEN, or the configuration that the worker runs with)",
                self.base
            );
        }
        if !status.is_success() {
            bail!("the worker at {} responded {status}: {}", self.base, value["detail"].as_str().unwrap_or_default());
        }
        Ok(Some(value))
    }
}

/// Name of the system's user, and of the one that became it by `sudo`; ASCII only.
pub(super) fn user() -> String {
    let name = whoami::username().unwrap_or_else(|_| "unknown".to_owned());
    let name = match std::env::var("SUDO_USER") {
        Ok(from) if from != name => format!("{name} (sudo by {from})"),
        _ => name,
    };
    name.chars().map(|char| if char.is_ascii_graphic() || char == ' ' { char } else { '?' }).take(100).collect()
}

/// Address for reaching the worker: loopback if it listens on all interfaces.
fn reachable_address(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
