//! HTTP client with a token, connected to its own simulator.

use dynamics_simulator::{Environment, EnvironmentOptions, Profile, Running, SimulatorOptions, serve};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

pub const OWNER: &str = "33333333-3333-3333-3333-333333333333";
pub const QUEUE: &str = "44444444-4444-4444-4444-444444444444";
pub const SUBJECT: &str = "55555555-5555-5555-5555-555555555555";
pub const ACCOUNT: &str = "77777777-7777-7777-7777-777777777777";
/// Keys of rows created by tests.
pub const ONE: &str = "00000000-0000-0000-0000-000000000001";
pub const TWO: &str = "00000000-0000-0000-0000-000000000002";
/// Key that no row has.
pub const NOBODY: &str = "99999999-9999-9999-9999-999999999999";

/// Simulator and a client of its first environment.
pub struct Client {
    pub running: Running,
    pub http: reqwest::Client,
    pub token: String,
}

/// Parsed answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Client {
    pub async fn start(profile: Profile) -> Self {
        Self::with(SimulatorOptions::one("acme", profile)).await
    }

    pub async fn options(options: EnvironmentOptions) -> Self {
        Self::with(SimulatorOptions { environments: vec![options] }).await
    }

    pub async fn with(options: SimulatorOptions) -> Self {
        let running = serve(options).await.expect("the simulator starts");
        let mut client = Self { running, http: http(), token: String::new() };
        client.token = client.fresh_token().await;
        client
    }

    pub fn environment(&self) -> &Environment {
        self.running.first()
    }

    pub async fn fresh_token(&self) -> String {
        let reply = self.ask_token(&[]).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.body["access_token"].as_str().expect("a token").to_owned()
    }

    /// Requests a token; `changed` fields replace the valid ones, empty ones are left out.
    pub async fn ask_token(&self, changed: &[(&str, &str)]) -> Reply {
        let settings = self.environment().settings();
        let scope = format!("{}/.default", self.environment().url());
        let mut fields = vec![
            ("tenant", settings.tenant_id.as_str()),
            ("grant_type", "client_credentials"),
            ("client_id", settings.client_id.as_str()),
            ("client_secret", settings.client_secrets[0].as_str()),
            ("scope", scope.as_str()),
        ];
        for (name, value) in changed {
            fields.retain(|(known, _)| known != name);
            fields.push((name, value));
        }
        let tenant = fields.iter().find(|(name, _)| *name == "tenant").expect("a tenant").1;
        let url = format!("http://{}/{tenant}/oauth2/v2.0/token", self.running.address());
        let form = fields.iter().filter(|(name, value)| *name != "tenant" && !value.is_empty());
        let body = Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.http.post(url).header("content-type", "application/x-www-form-urlencoded").body(body);
        reply(request.send().await.expect("an answer")).await
    }

    /// Builds a request to the Web API with all required headers.
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let url = format!("http://{}/api/data/v9.2/{}", self.running.address(), path.replace(' ', "%20"));
        let request = self.http.request(method.parse::<Method>().expect("a method"), url);
        let request = request.bearer_auth(&self.token).header("accept", "application/json");
        request.header("odata-version", "4.0").header("odata-maxversion", "4.0")
    }

    pub async fn send_with(&self, method: &str, path: &str, body: Value, headers: &[(&str, &str)]) -> Reply {
        let mut request = self.request(method, path);
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        reply(request.send().await.expect("an answer")).await
    }

    pub async fn send(&self, method: &str, path: &str, body: Value) -> Reply {
        self.send_with(method, path, body, &[]).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, Value::Null).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.send("POST", path, body).await
    }

    /// Creates a contact with this key.
    pub async fn contact(&self, key: &str, email: &str) {
        let body = json!({"contactid": key, "lastname": "Somebody", "emailaddress1": email});
        assert_eq!(self.post("contacts", body).await.status, 204);
    }

    /// Sends a request to `/_simulator/…`.
    pub async fn control(&self, method: &str, path: &str, body: Value) -> Reply {
        let url = format!("http://{}/_simulator/{path}", self.running.address());
        let mut request = self.http.request(method.parse::<Method>().expect("a method"), url);
        if !body.is_null() {
            request = request.body(body.to_string());
        }
        reply(request.send().await.expect("an answer")).await
    }

    /// Adds a fault script.
    pub async fn fault(&self, script: Value) {
        let reply = self.control("POST", "faults", script).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }

    pub fn configure(&self, changes: &Value) {
        self.environment().configure(changes).expect("settings");
    }

    /// Restores the initial state, then applies these settings.
    pub async fn again(&mut self, changes: &Value) {
        self.environment().reset();
        self.token = self.fresh_token().await;
        self.configure(changes);
    }
}

impl Reply {
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    pub fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns one column of all rows.
    pub fn column(&self, name: &str) -> Vec<&str> {
        let rows = self.body["value"].as_array().expect("rows");
        rows.iter().map(|row| row[name].as_str().unwrap_or_default()).collect()
    }

    #[track_caller]
    pub fn refused(&self, status: u16, code: &str, message: &str) {
        assert_eq!((self.status, self.code()), (status, code), "{self:?}");
        assert!(self.message().contains(message), "{} has no {message:?}", self.message());
    }
}

pub fn http() -> reqwest::Client {
    // Fails if another test has already installed the provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder().no_proxy().timeout(std::time::Duration::from_secs(30));
    builder.build().expect("a client")
}

pub async fn reply(response: reqwest::Response) -> Reply {
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.expect("a body");
    assert!(status != StatusCode::NO_CONTENT || text.is_empty(), "204 has no body");
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Reply { status: status.as_u16(), headers, body }
}
