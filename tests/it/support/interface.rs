//! A worker's HTTP interface, as programs ask it.

use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

use super::rig::Rig;
use super::worker::{Worker, http};

/// The interface of a rig's worker.
pub struct Api {
    client: reqwest::Client,
    base: String,
}

impl Api {
    /// Of the worker started last.
    pub fn of(rig: &Rig) -> Self {
        Self { client: http(), base: format!("http://{}", rig.worker().address().expect("an address")) }
    }

    /// Where it listens.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A request to be sent.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    /// What `GET` answers, with status 200.
    pub async fn get(&self, path: &str) -> Value {
        answer(self.request(Method::GET, path), 200).await
    }

    /// What `POST` of this answers, with status 200.
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        answer(self.with(Method::POST, path, body), 200).await
    }

    /// A request with a body.
    pub fn with(&self, method: Method, path: &str, body: &Value) -> RequestBuilder {
        self.request(method, path).header("content-type", "application/json").body(body.to_string())
    }
}

/// Sends it; its body as JSON, when it has this status.
pub async fn answer(request: RequestBuilder, status: u16) -> Value {
    json(request.send().await.expect("an answer"), status).await
}

/// The body as JSON, when it has this status. A problem is one in all its parts.
pub async fn json(response: Response, status: u16) -> Value {
    let (found, kind) = (response.status().as_u16(), response.headers().get("content-type").cloned());
    let text = response.text().await.expect("a body");
    assert_eq!(found, status, "{text}");
    let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    if status >= 400 {
        assert_eq!(kind.expect("a content type"), "application/problem+json");
        assert_eq!((&value["status"], value["detail"].is_string()), (&Value::from(status), true), "{value}");
    }
    value
}

impl Worker {
    /// Asks below `/api/v1`, whatever comes of it: status and body (null where there is none).
    pub async fn api(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let url = format!("http://{}/api/v1{path}", self.address().expect("an address"));
        let mut request = http().request(Method::from_bytes(method.as_bytes()).unwrap(), url);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let (status, body) = (answer.status().as_u16(), answer.bytes().await.unwrap());
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// How an organization stands.
    pub async fn stands(&self, organization: &str) -> Value {
        self.api("GET", &format!("/organizations/{organization}"), None).await.1
    }
}
