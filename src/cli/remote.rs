//! The HTTP interface of a running worker, asked by a command.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::config::Config;

/// A worker on the same machine answers at once; one that does not is not there.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// For what asks Dynamics several times.
const ASKING_LIMIT: Duration = Duration::from_secs(300);

/// A worker's HTTP interface.
pub(super) struct Remote {
    client: reqwest::Client,
    base: String,
    token: Option<SecretString>,
}

impl Remote {
    /// The interface of the worker that this configuration would start; none when nothing listens there.
    pub(super) async fn find(config: &Config) -> Result<Option<Self>> {
        _ = rustls::crypto::ring::default_provider().install_default();
        let address = reachable(config.http.listen);
        if tokio::time::timeout(CONNECT_LIMIT, tokio::net::TcpStream::connect(address))
            .await
            .is_ok_and(|link| link.is_ok())
        {
            let client = reqwest::Client::builder().timeout(ANSWER_LIMIT).no_proxy().build()?;
            return Ok(Some(Self { client, base: format!("http://{address}"), token: config.http.token.clone() }));
        }
        Ok(None)
    }

    /// What it answers to `GET <path>`; none for 404.
    pub(super) async fn get(&self, path: &str) -> Result<Option<Value>> {
        self.answer(self.client.get(format!("{}{path}", self.base))).await
    }

    /// What it answers to `POST <path>` without a body; none for 404. It may ask Dynamics before it answers.
    pub(super) async fn post(&self, path: &str) -> Result<Option<Value>> {
        self.answer(self.client.post(format!("{}{path}", self.base)).timeout(ASKING_LIMIT)).await
    }

    async fn answer(&self, mut request: reqwest::RequestBuilder) -> Result<Option<Value>> {
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        let answer = request.send().await.with_context(|| format!("the worker at {} does not answer", self.base))?;
        let status = answer.status();
        let body = answer.bytes().await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let value: Value = serde_json::from_slice(&body).with_context(|| {
            format!("what listens at {} (http.listen) is no handoffd: it answered {status}", self.base)
        })?;
        if !status.is_success() {
            bail!("the worker at {} answered {status}: {}", self.base, value["detail"].as_str().unwrap_or_default());
        }
        Ok(Some(value))
    }
}

/// A worker that listens everywhere is reached on loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
