//! A worker's HTTP interface, asked as an operator's program would.

use reqwest::Method;
use serde_json::Value;

use super::worker::{Worker, http};

impl Worker {
    /// Asks; status and body (null where there is none).
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
