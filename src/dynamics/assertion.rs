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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_and_claims_are_those_that_entra_id_requires() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let message = unsigned("thumb", "client", "https://login/tenant/oauth2/v2.0/token", Uuid::from_u128(1), now);
        let parts: Vec<Value> = message
            .split('.')
            .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
            .collect();
        let header = json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": "thumb" });
        let claims = json!({
            "aud": "https://login/tenant/oauth2/v2.0/token", "iss": "client", "sub": "client",
            "jti": "00000000-0000-0000-0000-000000000001",
            "nbf": 1_800_000_000, "iat": 1_800_000_000, "exp": 1_800_000_300,
        });
        assert_eq!(parts, [header, claims]);
    }

    #[test]
    fn a_token_has_three_parts_in_base64url() {
        for (text, expected) in [
            ("a.b-_9.c", true),
            ("", false),
            ("a.b", false),
            ("a.b.c.d", false),
            ("a..c", false),
            ("a.b.c\nd", false),
            ("a.b.c=", false),
            ("-----BEGIN PRIVATE KEY-----", false),
        ] {
            assert_eq!(is_token(text), expected, "{text}");
        }
    }
}
