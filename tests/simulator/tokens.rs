use dynamics_simulator::{EnvironmentOptions, Profile, SimulatorOptions};
use serde_json::{Value, json};

use crate::client::Client;

/// Settings, form fields, expected status, error and AADSTS code.
type Case = (Value, &'static [(&'static str, &'static str)], u16, &'static str, u32);

#[tokio::test]
async fn invalid_token_requests_are_refused() {
    let mut client = Client::start(Profile::OpenCx).await;
    let cases: [Case; 14] = [
        (json!({}), &[("client_secret", "the secret's id")], 401, "invalid_client", 7_000_215),
        (json!({"invalid_client_status": 400}), &[("client_secret", "x")], 400, "invalid_client", 7_000_215),
        (json!({"secret": "expired"}), &[], 401, "invalid_client", 7_000_222),
        (json!({}), &[("tenant", "nowhere")], 400, "invalid_request", 90_002),
        (json!({}), &[("client_id", "somebody")], 400, "unauthorized_client", 700_016),
        (json!({"application": "unknown"}), &[], 400, "unauthorized_client", 700_016),
        (json!({"application": "disabled"}), &[], 400, "unauthorized_client", 7_000_112),
        (json!({}), &[("grant_type", "password")], 400, "unsupported_grant_type", 70_003),
        (json!({}), &[("grant_type", "")], 400, "invalid_request", 900_144),
        (json!({}), &[("client_id", "")], 400, "invalid_request", 900_144),
        (json!({}), &[("client_secret", "")], 400, "invalid_request", 900_144),
        (json!({}), &[("scope", "")], 400, "invalid_request", 900_144),
        (json!({}), &[("scope", "https://elsewhere.example.com")], 400, "invalid_scope", 1_002_012),
        (json!({}), &[("scope", "https://elsewhere.example.com/.default")], 400, "invalid_resource", 500_011),
    ];
    for (settings, fields, status, error, code) in cases {
        client.again(&settings).await;
        let reply = client.ask_token(fields).await;
        assert_eq!((reply.status, reply.body["error"].as_str()), (status, Some(error)), "{reply:?}");
        assert_eq!(reply.body["error_codes"], json!([code]));
        let described = reply.body["error_description"].as_str().expect("a description");
        assert!(described.starts_with(&format!("AADSTS{code}: ")), "{described}");
        assert!(reply.body["trace_id"].is_string());
    }
}

#[tokio::test]
async fn a_token_is_valid_until_it_expires() {
    let mut client = Client::start(Profile::OpenCx).await;
    let reply = client.ask_token(&[]).await;
    assert_eq!((&reply.body["token_type"], &reply.body["expires_in"]), (&json!("Bearer"), &json!(3599)));
    assert_eq!(client.get("WhoAmI").await.status, 200);

    client.environment().revoke_tokens();
    let reply = client.get("WhoAmI").await;
    assert_eq!(reply.status, 401);
    assert!(reply.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer ")));

    client.configure(&json!({"token_lifetime_s": 0}));
    client.token = client.fresh_token().await;
    assert_eq!(client.get("WhoAmI").await.status, 401);
}

#[tokio::test]
async fn both_secrets_are_valid_during_rotation() {
    let client = Client::start(Profile::OpenCx).await;
    client.configure(&json!({"client_secrets": ["new", "simulator-secret"]}));
    for (secret, status) in [("new", 200), ("simulator-secret", 200), ("other", 401)] {
        assert_eq!(client.ask_token(&[("client_secret", secret)]).await.status, status, "{secret}");
    }
}

#[tokio::test]
async fn a_token_belongs_to_the_environment_its_scope_names() {
    let environments = ["acme", "globex"].map(|name| EnvironmentOptions::new(name, Profile::OpenCx));
    let mut client = Client::with(SimulatorOptions { environments: environments.into() }).await;
    let globex = client.running.environment("globex").expect("it exists");
    let scope = format!("{}/.default", globex.url());
    let reply = client.ask_token(&[("scope", &scope)]).await;
    assert_eq!(reply.status, 200, "any listener issues tokens for all");
    assert_eq!(
        (client.environment().count("token"), globex.count("token")),
        (1, 1),
        "the request counts for the other environment"
    );

    client.token = reply.body["access_token"].as_str().expect("a token").to_owned();
    assert_eq!(client.get("WhoAmI").await.status, 401, "the token is invalid here");
}

#[tokio::test]
async fn the_journal_masks_the_secret() {
    let client = Client::start(Profile::OpenCx).await;
    client.get("WhoAmI").await;
    let text = client.control("GET", "requests?body=1", Value::Null).await.body.to_string();
    assert!(text.contains("client_secret=***") && !text.contains("simulator-secret"), "{text}");
    assert!(!text.contains(&client.token), "{text}");
}
