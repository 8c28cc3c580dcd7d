//! Assertions of a certificate, and tokens of another issuer, are checked as Entra ID checks them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dynamics_simulator::Profile;
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};

use crate::certificates::Minted;
use crate::client::{Client, Reply};

const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Changes to a valid header and valid claims; `null` removes one.
type Changes = (Value, Value);

fn encoded(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

fn merged(mut all: Value, changes: &Value) -> Value {
    for (key, value) in changes.as_object().expect("changes") {
        all[key] = value.clone();
    }
    all.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
    all
}

/// Valid assertion of this certificate with these changes.
fn assertion(client: &Client, minted: &Minted, (header, claims): &Changes) -> String {
    let settings = client.environment().settings();
    let der = CertificateDer::from_pem_slice(minted.certificate.as_bytes()).expect("a certificate");
    let digest = ring::digest::digest(&ring::digest::SHA256, &der);
    let all = json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": URL_SAFE_NO_PAD.encode(digest) });
    let header = merged(all, header);
    let (now, id) = (Timestamp::now().as_second(), &settings.client_id);
    let audience = format!("http://{}/{}/oauth2/v2.0/token", client.running.address(), settings.tenant_id);
    let jti = uuid::Uuid::new_v4();
    let all = json!({
        "aud": audience, "iss": id, "sub": id, "jti": jti, "nbf": now, "iat": now, "exp": now + 300,
    });
    signed(minted, &header, &merged(all, claims))
}

fn signed(minted: &Minted, header: &Value, claims: &Value) -> String {
    let message = format!("{}.{}", encoded(header), encoded(claims));
    let der = PrivatePkcs8KeyDer::from_pem_slice(minted.key.as_bytes()).expect("a key");
    let key = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).expect("an RSA key");
    let mut signature = vec![0; key.public().modulus_len()];
    // With another algorithm in the header the signature is made accordingly.
    let padding: &dyn ring::signature::RsaEncoding =
        if header["alg"] == "RS256" { &RSA_PKCS1_SHA256 } else { &RSA_PSS_SHA256 };
    key.sign(padding, &SystemRandom::new(), message.as_bytes(), &mut signature).expect("a signature");
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

async fn present(client: &Client, assertion: &str) -> Reply {
    let fields = [("client_secret", ""), ("client_assertion_type", TYPE), ("client_assertion", assertion)];
    client.ask_token(&fields).await
}

#[track_caller]
fn refused(reply: &Reply, code: u32, says: &str) {
    let (error, described) = (&reply.body["error"], reply.body["error_description"].as_str().unwrap_or_default());
    assert_eq!((reply.status, error), (401, &json!("invalid_client")), "{reply:?}");
    assert!(described.starts_with(&format!("AADSTS{code}: ")) && described.contains(says), "{described}");
}

#[tokio::test]
async fn an_assertion_is_accepted_once_and_every_flaw_is_refused() {
    let client = Client::start(Profile::OpenCx).await;
    let (minted, stranger, expired) = (Minted::valid_for(30), Minted::valid_for(30), Minted::expired());
    client.configure(&json!({ "client_certificates": [expired.certificate, minted.certificate] }));
    let good = assertion(&client, &minted, &(json!({}), json!({})));
    let reply = present(&client, &good).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    refused(&present(&client, &good).await, 50_027, "was used before");

    let now = Timestamp::now().as_second();
    for (header, claims, code, says) in [
        (json!({ "alg": "RS256" }), json!({}), 700_027, "algorithm"),
        (json!({ "alg": "none" }), json!({}), 700_027, "algorithm"),
        (json!({ "typ": null }), json!({}), 700_027, "algorithm"),
        (
            json!({ "x5t#S256": "AAAA" }),
            json!({}),
            700_027,
            "The key was not found., Thumbprint of key used by client: '000000'",
        ),
        (json!({ "x5t#S256": null }), json!({}), 700_211, "assertion issuer"),
        (json!({}), json!({ "iss": "somebody" }), 700_021, "application identifier"),
        (json!({}), json!({ "sub": "somebody" }), 700_021, "application identifier"),
        (json!({}), json!({ "aud": "https://elsewhere.example/oauth2/v2.0/token" }), 700_023, "audience"),
        (json!({}), json!({ "aud": null }), 700_023, "audience"),
        (json!({}), json!({ "exp": now - 1 }), 700_024, "not within its valid time range"),
        (json!({}), json!({ "exp": null }), 700_024, "not within its valid time range"),
        (json!({}), json!({ "nbf": now + 100 }), 700_024, "not within its valid time range"),
        (json!({}), json!({ "jti": null }), 50_027, "'jti' is missing"),
    ] {
        let flawed = assertion(&client, &minted, &(header, claims));
        refused(&present(&client, &flawed).await, code, says);
    }
    let unknown = assertion(&client, &stranger, &(json!({}), json!({})));
    refused(&present(&client, &unknown).await, 700_027, "The key was not found.");
    let ended = assertion(&client, &expired, &(json!({}), json!({})));
    refused(&present(&client, &ended).await, 700_027, "The key used is expired.");
    // The stranger's key under the registered certificate's name.
    let [header, claims, _] = good.split('.').collect::<Vec<_>>()[..] else { panic!("{good}") };
    let [.., signature] = unknown.split('.').collect::<Vec<_>>()[..] else { panic!("{unknown}") };
    let forged = format!("{header}.{claims}.{signature}");
    refused(&present(&client, &forged).await, 700_027, "did not match the expected signature");
    refused(&present(&client, "not a token").await, 50_027, "malformed");
}

#[tokio::test]
async fn form_fields_of_an_assertion_are_checked() {
    let client = Client::start(Profile::OpenCx).await;
    let minted = Minted::valid_for(30);
    client.configure(&json!({ "client_certificates": [minted.certificate] }));
    let good = assertion(&client, &minted, &(json!({}), json!({})));
    for (secret, kind) in [("", ""), ("", "jwt"), ("simulator-secret", TYPE)] {
        let fields = [("client_secret", secret), ("client_assertion_type", kind), ("client_assertion", &good)];
        let reply = client.ask_token(&fields).await;
        assert_eq!((reply.status, &reply.body["error"]), (400, &json!("invalid_request")), "{reply:?}");
    }
    let text = client.control("GET", "requests?body=1", Value::Null).await.body.to_string();
    assert!(text.contains("client_assertion=***") && !text.contains(&good), "{text}");
}

#[tokio::test]
async fn a_federated_token_is_accepted_while_it_is_trusted_and_valid() {
    let client = Client::start(Profile::OpenCx).await;
    let now = Timestamp::now().as_second();
    let token = |end: i64| {
        let claims = json!({ "iss": "https://issuer", "sub": "system:serviceaccount:a:b", "exp": end });
        format!("{}.{}.c2lnbmF0dXJl", encoded(&json!({ "alg": "RS256", "typ": "JWT" })), encoded(&claims))
    };
    let (valid, ended) = (token(now + 600), token(now - 1));
    refused(&present(&client, &valid).await, 700_211, "assertion issuer 'https://issuer'");
    client.configure(&json!({ "federated_tokens": [valid, ended, "a.b.c"] }));
    for accepted in [&valid, &valid, &"a.b.c".to_owned()] {
        assert_eq!(present(&client, accepted).await.status, 200, "{accepted}");
    }
    refused(&present(&client, &ended).await, 700_024, "not within its valid time range");
}
