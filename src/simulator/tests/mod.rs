//! Tests of a whole environment, without HTTP.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::answer::SimulatedAnswer;
use super::call::{self, IncomingRequest};
use super::environment::Environment;
use super::options::EnvironmentOptions;
use super::profile::Profile;
use super::target::Target;

mod closing;
mod customers;
mod notes;
mod people;
mod queueing;
mod rules;
mod versions;

const QUEUE: &str = "44444444-4444-4444-4444-444444444444";
const ACCOUNT: &str = "77777777-7777-7777-7777-777777777777";
/// Keys of rows created by tests.
const ONE: &str = "00000000-0000-0000-0000-000000000001";
const TWO: &str = "00000000-0000-0000-0000-000000000002";
const NOBODY: &str = "99999999-9999-9999-9999-999999999999";

const URL: &str = "http://acme.test";

/// Environment, with a token of an application for it.
struct Client {
    environment: Arc<Environment>,
    token: String,
}

/// Parsed answer.
#[derive(Debug)]
struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Value,
}

impl Client {
    fn start(profile: Profile) -> Self {
        let options = EnvironmentOptions::new("acme", profile);
        let environment = Arc::new(Environment::new(options, vec![URL.into()], CancellationToken::new()));
        let mut client = Self { environment, token: String::new() };
        let settings = client.environment.settings();
        let path = format!("/{}/oauth2/v2.0/token", settings.tenant_id);
        let (id, secret) = (&settings.client_id, &settings.client_secrets[0]);
        let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}&scope={URL}/.default");
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let reply = client.perform("POST", &path, form, &headers);
        client.token = reply.body["access_token"].as_str().expect("a token").to_owned();
        client
    }

    fn configure(&self, changes: &Value) {
        self.environment.configure(changes).expect("settings");
    }

    /// Adds a rep's script.
    fn rep(&self, script: Value) {
        self.environment.add_rep_script(serde_json::from_value(script).expect("a script"));
    }

    /// Changes rows as a person in Dynamics would.
    fn edit(&self, table: &str, row: &Value) {
        let path = "/_simulator/records".to_owned();
        let query = vec![("table".to_owned(), table.to_owned())];
        let body = Bytes::from(row.to_string());
        let call =
            IncomingRequest { method: Method::POST, uri: path.clone(), path, query, headers: HeaderMap::new(), body };
        let answer = super::control::answer(&self.environment, &call, "records");
        assert_eq!(answer.status, 204, "{}", String::from_utf8_lossy(&answer.body));
    }

    fn rows(&self, table: &str) -> Vec<Value> {
        self.environment.records(table)
    }

    fn get(&self, path: &str) -> Reply {
        self.send("GET", path, Value::Null, &[])
    }

    fn post(&self, path: &str, body: Value) -> Reply {
        self.send("POST", path, body, &[])
    }

    fn patch(&self, path: &str, body: Value) -> Reply {
        self.send("PATCH", path, body, &[("if-match", "*")])
    }

    /// Creates a case with this key.
    fn case(&self, key: &str) {
        let customer = format!("/accounts({ACCOUNT})");
        let body = json!({"incidentid": key, "title": "x", "customerid_account@odata.bind": customer});
        assert_eq!(self.post("incidents", body).status, 204);
    }

    /// Creates a contact with this key.
    fn contact(&self, key: &str) {
        let body = json!({"contactid": key, "lastname": "Ann", "emailaddress1": "ann@example.com"});
        assert_eq!(self.post("contacts", body).status, 204);
    }

    /// Sends a request to the Web API with all required headers.
    fn send(&self, method: &str, path: &str, body: Value, headers: &[(&str, &str)]) -> Reply {
        let bearer = format!("Bearer {}", self.token);
        let wanted = [
            ("authorization", bearer.as_str()),
            ("accept", "application/json"),
            ("odata-version", "4.0"),
            ("odata-maxversion", "4.0"),
            ("content-type", "application/json"),
        ];
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        self.perform(method, &format!("/api/data/v9.2/{path}"), body, &[&wanted, headers].concat())
    }

    fn perform(&self, method: &str, uri: &str, body: String, headers: &[(&str, &str)]) -> Reply {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let headers = headers.iter().map(|(name, value)| {
            let name: HeaderName = name.parse().expect("a name");
            (name, HeaderValue::from_str(value).expect("a value"))
        });
        let call = IncomingRequest {
            method: method.parse().expect("a method"),
            path: path.into(),
            uri: uri.into(),
            query: call::pairs(query),
            headers: headers.collect(),
            body: body.into(),
        };
        self.environment.perform(&call, &Target::of(path), 1).into()
    }
}

impl From<SimulatedAnswer> for Reply {
    fn from(answer: SimulatedAnswer) -> Self {
        let body = serde_json::from_slice(&answer.body).unwrap_or_default();
        Self { status: answer.status, headers: answer.headers, body }
    }
}

impl Reply {
    fn header(&self, wanted: &str) -> Option<&str> {
        self.headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }

    #[track_caller]
    fn refused(&self, status: u16, code: &str, message: &str) {
        let error = &self.body["error"];
        assert_eq!((self.status, error["code"].as_str()), (status, Some(code)), "{self:?}");
        let text = error["message"].as_str().unwrap_or_default();
        assert!(text.contains(message), "{text} has no {message:?}");
    }

    /// Returns the rows of a query.
    fn found(&self) -> &[Value] {
        self.body["value"].as_array().map(Vec::as_slice).expect("rows")
    }
}

fn closing(case: &str) -> Value {
    let resolution = json!({"subject": "Solved", "incidentid@odata.bind": format!("/incidents({case})")});
    json!({"IncidentResolution": resolution, "Status": 5})
}

fn resolved() -> Value {
    json!({"statecode": 1, "statuscode": 5})
}

fn target(case: &str) -> Value {
    json!({"Target": {"@odata.type": "Microsoft.Dynamics.CRM.incident", "incidentid": case}})
}

fn add_to(queue: &str) -> String {
    format!("queues({queue})/Microsoft.Dynamics.CRM.AddToQueue")
}
