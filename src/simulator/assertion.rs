//! Assertions in place of a client secret: signed by a certificate of the application, or issued by an issuer that it
//! trusts. Stricter than Entra ID: no tolerance of clocks, and no assertion is accepted twice.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use ring::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::Value;
use x509_parser::pem::Pem;

use super::live_settings::LiveSettings;
use super::token_refusal::{TokenRefusal, invalid, refused};

/// Only form of an assertion.
const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Token request that carries an assertion.
pub(super) struct AssertionContext<'a> {
    /// Registered application.
    pub live: &'a LiveSettings,
    /// Directory in the URL.
    pub tenant: &'a str,
    /// Host that the client addressed.
    pub host: Option<&'a str>,
}

/// SignedToken JSON Web Token.
struct SignedToken<'a> {
    header: Value,
    claims: Value,
    /// Part that is signed.
    message: &'a str,
    signature: Vec<u8>,
}

/// Certificate registered with the application.
struct Registered {
    thumbprint: Vec<u8>,
    public_key: Vec<u8>,
    not_after: i64,
}

/// Checks `client_assertion_type`.
pub(super) fn check_type(given: &str) -> Result<(), TokenRefusal> {
    if given == TYPE {
        return Ok(());
    }
    let message =
        format!("The request body must contain the following parameter: 'client_assertion_type'. Expected '{TYPE}'.");
    Err(invalid(900_144, &message))
}

/// Checks an assertion. Returns the id of a signed one, which may be used once.
pub(super) fn check(presented: &str, context: &AssertionContext<'_>) -> Result<Option<String>, TokenRefusal> {
    let settings = &context.live.settings;
    let decoded = SignedToken::read(presented);
    if settings.federated_tokens.iter().any(|known| known == presented) {
        // A trusted token need not be a real one.
        let times = decoded.map_or(Ok(()), |decoded| within_times(&decoded.claims, context.live.now()));
        return times.map(|()| None);
    }
    let Some(decoded) = decoded else {
        return Err(client_refused(context, 50_027, "JWT token is invalid or malformed.".to_owned()));
    };
    let Some(thumbprint) = decoded.header["x5t#S256"].as_str() else {
        return Err(client_refused(context, 700_211, no_issuer(&decoded.claims)));
    };
    signed_by_application(&decoded, thumbprint, context)?;
    if decoded.claims["iss"] != settings.client_id.as_str() || decoded.claims["sub"] != settings.client_id.as_str() {
        let message = "Client assertion application identifier doesn't match 'client_id' parameter. Review the \
                       documentation at https://docs.microsoft.com/azure/active-directory/develop/\
                       active-directory-certificate-credentials ."
            .to_owned();
        return Err(client_refused(context, 700_021, message));
    }
    if !decoded.claims["aud"].as_str().is_some_and(|audience| context.is_here(audience)) {
        let message = "Client assertion audience claim does not match Realm issuer. Review the documentation at \
                       https://docs.microsoft.com/azure/active-directory/develop/\
                       active-directory-certificate-credentials ."
            .to_owned();
        return Err(client_refused(context, 700_023, message));
    }
    within_times(&decoded.claims, context.live.now())
        .map_err(|refusal| TokenRefusal { status: settings.invalid_client_status, ..refusal })?;
    match decoded.claims["jti"].as_str() {
        Some(id) if !id.is_empty() => Ok(Some(id.to_owned())),
        _ => Err(client_refused(context, 50_027, "JWT token is invalid or malformed: 'jti' is missing.".to_owned())),
    }
}

/// Refuses an assertion that was accepted before.
pub(super) fn replayed(context: &AssertionContext<'_>) -> TokenRefusal {
    client_refused(context, 50_027, "JWT token is invalid or malformed: its 'jti' was used before.".to_owned())
}

fn signed_by_application(
    decoded: &SignedToken<'_>,
    thumbprint: &str,
    context: &AssertionContext<'_>,
) -> Result<(), TokenRefusal> {
    let bad = |reason: &str| {
        let shown = URL_SAFE_NO_PAD.decode(thumbprint).unwrap_or_default();
        let shown = shown.iter().fold(String::new(), |text, byte| text + &format!("{byte:02X}"));
        let message = format!(
            "Client assertion contains an invalid signature. [Reason - {reason}, Thumbprint of key used by client: \
             '{shown}', Please visit the Azure Portal, Graph Explorer or directly use MS Graph to see configured keys \
             for app Id '{}'.]",
            context.live.settings.client_id
        );
        client_refused(context, 700_027, message)
    };
    if decoded.header["typ"] != "JWT" || decoded.header["alg"] != "PS256" {
        return Err(bad("The algorithm of the header is not supported."));
    }
    let certificates = context.live.settings.client_certificates.iter().filter_map(|pem| Registered::read(pem));
    let named = URL_SAFE_NO_PAD.decode(thumbprint).unwrap_or_default();
    let Some(certificate) = certificates.into_iter().find(|known| known.thumbprint == named) else {
        return Err(bad("The key was not found."));
    };
    let key = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, &certificate.public_key);
    if key.verify(decoded.message.as_bytes(), &decoded.signature).is_err() {
        return Err(bad("The provided signature value did not match the expected signature value."));
    }
    if certificate.not_after <= context.live.now().as_second() {
        return Err(bad("The key used is expired."));
    }
    Ok(())
}

fn within_times(claims: &Value, now: Timestamp) -> Result<(), TokenRefusal> {
    let time = |name: &str| claims[name].as_i64();
    let (from, until, second) = (time("nbf").unwrap_or(0), time("exp"), now.as_second());
    if from <= second && until.is_some_and(|until| until > second) {
        return Ok(());
    }
    let shown = |second: i64| Timestamp::from_second(second).unwrap_or_default();
    let message = format!(
        "Client assertion is not within its valid time range. Current time: {now}, assertion valid from {}, expiry time \
         of assertion {}. Review the documentation at \
         https://learn.microsoft.com/entra/identity-platform/certificate-credentials .",
        shown(from),
        shown(until.unwrap_or(0)),
    );
    Err(refused(401, "invalid_client", 700_024, message))
}

fn no_issuer(claims: &Value) -> String {
    format!(
        "No matching federated identity record found for presented assertion issuer '{}'. Check your federated identity \
         credential Subject, Audience and Issuer against the presented assertion. \
         https://learn.microsoft.com/entra/workload-id/workload-identity-federation",
        claims["iss"].as_str().unwrap_or_default()
    )
}

fn client_refused(context: &AssertionContext<'_>, code: u32, message: String) -> TokenRefusal {
    refused(context.live.settings.invalid_client_status, "invalid_client", code, message)
}

impl AssertionContext<'_> {
    /// Returns true for the URL of this token endpoint, by any name of the listener.
    fn is_here(&self, audience: &str) -> bool {
        let addressed = self.host.map(|host| format!("http://{host}"));
        let bases = self.live.urls.iter().chain(&addressed);
        bases.into_iter().any(|base| audience == format!("{base}/{}/oauth2/v2.0/token", self.tenant))
    }
}

impl<'a> SignedToken<'a> {
    fn read(token: &'a str) -> Option<Self> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let json = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
        Some(Self {
            header: json(header)?,
            claims: json(claims)?,
            message,
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }
}

impl Registered {
    fn read(pem: &str) -> Option<Self> {
        let pem = Pem::iter_from_buffer(pem.as_bytes()).flatten().find(|pem| pem.label == "CERTIFICATE")?;
        let certificate = pem.parse_x509().ok()?;
        Some(Self {
            thumbprint: digest(&SHA256, &pem.contents).as_ref().to_vec(),
            public_key: certificate.public_key().subject_public_key.data.to_vec(),
            not_after: certificate.validity().not_after.timestamp(),
        })
    }
}
