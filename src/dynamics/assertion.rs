//! Assertions that stand for a client secret: JSON Web Tokens that an application signs for itself.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};
use uuid::Uuid;

use super::certificate::ClientCertificate;

/// Value of `client_assertion_type`.
pub(super) const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Validity of an assertion, in seconds. Microsoft recommends at most 5 to 10 minutes.
const VALIDITY: i64 = 300;

/// Signs an assertion for a token request to the address `audience`.
pub(super) fn signed(
    certificate: &ClientCertificate,
    client_id: &str,
    audience: &str,
    id: Uuid,
    now: Timestamp,
) -> Result<SecretString, rustls::Error> {
    let message = unsigned(certificate.thumbprint(), client_id, audience, id, now);
    let signature = certificate.sign(message.as_bytes())?;
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)).into())
}

/// Returns header and claims, encoded as they are signed.
fn unsigned(thumbprint: &str, client_id: &str, audience: &str, id: Uuid, now: Timestamp) -> String {
    let now = now.as_second();
    let header = json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint });
    let claims = json!({
        "aud": audience, "iss": client_id, "sub": client_id, "jti": id,
        "nbf": now, "iat": now, "exp": now + VALIDITY,
    });
    [header, claims].map(|part| encoded(&part)).join(".")
}

fn encoded(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

/// Reports whether a text has the form of a signed JSON Web Token: three parts in base64url, divided by dots.
pub fn is_token(text: &str) -> bool {
    let legal = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    text.split('.').count() == 3 && text.split('.').all(legal)
}
