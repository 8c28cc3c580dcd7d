//! A worker's HTTP interface, as programs use it.

use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

use super::files::TOKEN;
use super::rig::Rig;
use super::worker::{Worker, http, http_builder};

/// Client of the interface of a rig's worker.
pub struct Api {
    client: reqwest::Client,
    base: String,
    token: Option<&'static str>,
}

impl Api {
    /// Client of the worker started last, with the rig's token.
    pub fn of(rig: &Rig) -> Self {
        Self::with_token(&rig.worker(), Some(TOKEN))
    }

    /// Client of a worker with this token, or without any.
    pub fn with_token(worker: &Worker, token: Option<&'static str>) -> Self {
        // Redirects are responses to look at.
        let client = http_builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { client, base: format!("http://{}", worker.address().expect("an address")), token }
    }

    /// Request to be sent.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        self.token.into_iter().fold(request, RequestBuilder::bearer_auth)
    }

    /// Body of the response to `GET`, with status 200.
    pub async fn get(&self, path: &str) -> Value {
        answer(self.request(Method::GET, path), 200).await
    }

    /// Body of the response to `POST`, with status 200.
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        answer(self.with(Method::POST, path, body), 200).await
    }

    /// Request with a body.
    pub fn with(&self, method: Method, path: &str, body: &Value) -> RequestBuilder {
        self.request(method, path).header("content-type", "application/json").body(body.to_string())
    }
}

/// Sends a request, asserts the status and returns the body as JSON.
pub async fn answer(request: RequestBuilder, status: u16) -> Value {
    json(request.send().await.expect("an answer"), status).await
}

/// Asserts the status and returns the body as JSON. A problem must have all its members.
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
    /// Sends a request below `/api/v1` and returns the status and the body (null if empty).
    pub async fn api(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let url = format!("http://{}/api/v1{path}", self.address().expect("an address"));
        let mut request = http().request(Method::from_bytes(method.as_bytes()).unwrap(), url).bearer_auth(TOKEN);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let (status, body) = (answer.status().as_u16(), answer.bytes().await.unwrap());
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// State of an organization.
    pub async fn stands(&self, organization: &str) -> Value {
        self.api("GET", &format!("/organizations/{organization}"), None).await.1
    }
}

/// Requests in an event's history, without the milestones of its life.
pub fn requests(event: &Value) -> Vec<Value> {
    let history = event["history"].as_array().expect("a history").iter();
    history.filter(|entry| entry["elapsed_ms"].is_u64()).cloned().collect()
}
