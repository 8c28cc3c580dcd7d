//! Secrets and tokens, quoted in the forms that servers quote them in.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::*;

const SECRETS: [&str; 2] = ["abC8Q~pisadohalivaxadizexizifejucosetezi", "q1W8Q~+/pisadohalivaxadizexizifeju=="];
/// Token without the form of a JSON Web Token.
const OPAQUE: &str = "AbCdEfGhQwRtYpLkMnBvCxZaSdFgHjKl";
/// Shortest part that is found, less one.
const UNFOUND: usize = 5;

fn hex(text: &str) -> String {
    text.bytes()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// Returns a secret as servers quote it.
fn forms(secret: &str) -> Vec<String> {
    let each = |write: fn(char) -> String| secret.chars().map(write).collect::<String>();
    let (first, last) = secret.split_at(secret.len() / 2);
    let cut = &secret[3..secret.len() - 4];
    vec![
        secret.to_owned(),
        secret.to_uppercase(),
        secret.to_lowercase(),
        format!("{cut}..."),
        secret[..12].to_owned(),
        secret[secret.len() - 14..].to_owned(),
        format!("{first}\n{last}"),
        format!("{first}\\r\\n{last}"),
        each(|c| format!("{c} ")),
        each(|c| format!("\u{200b}{c}")),
        each(|c| format!("%{:02X}", u32::from(c))),
        each(|c| format!("\\u{:04x}", u32::from(c))),
        each(|c| format!("\\\\u{:04x}", u32::from(c))),
        each(|c| format!("&#{};", u32::from(c))),
        each(|c| char::from_u32(u32::from(c) + 0xfee0).unwrap().to_string()),
        percent_encoding::utf8_percent_encode(secret, percent_encoding::NON_ALPHANUMERIC).to_string(),
        STANDARD.encode(secret),
        STANDARD_NO_PAD.encode(format!("x{secret}")),
        URL_SAFE_NO_PAD.encode(format!("xy:{cut}")),
        STANDARD.encode(secret)[5..].to_owned(),
        hex(secret),
        hex(secret).to_uppercase()[1..].to_owned(),
    ]
}

/// Returns the letters and digits of a text, by which it would be recognized.
fn letters(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Returns what is left of the text between two `=7=`. The digits keep the words around it from being parts of a secret.
fn left(masked: &str) -> String {
    let between = masked.split("=7=").nth(1).unwrap_or_else(|| panic!("{masked}"));
    assert!(between.contains("***"), "{masked}");
    letters(between)
}

#[test]
fn a_secret_is_masked_in_any_form() {
    for secret in SECRETS {
        for form in forms(secret) {
            let message =
                format!("AADSTS7000215: Invalid client secret is provided: =7= {form} =7= for the application.");
            let masked = without_secrets(&message, &[secret]);
            assert!(left(&masked).len() <= UNFOUND, "{form}: {masked}");
            assert!(masked.starts_with("AADSTS7000215: Invalid client secret is provided: =7="), "{masked}");
            assert!(masked.ends_with("=7= for the application."), "{masked}");
        }
    }
}

#[test]
fn a_token_is_masked_in_any_form_in_messages_of_dynamics() {
    let mask = |message: &str| {
        let event = email();
        let mut masking = Masking::new(message, Some(&event)).hiding(OPAQUE);
        while masking.advance() {}
        masking.finish()
    };
    for form in forms(OPAQUE) {
        let masked = mask(&format!("The token =7= {form} =7= is no field of the entity"));
        assert!(left(&masked).len() <= UNFOUND, "{form}: {masked}");
        assert!(masked.starts_with("The token =7=") && masked.ends_with("=7= is no field of the entity"), "{masked}");
    }
    assert_eq!(mask("the entity's token is refused"), "the entity's token is refused");
}

/// Half a signature completes nothing, but is half of a secret.
#[test]
fn half_of_an_assertion_is_masked() {
    let assertion = "eyJhbGciOiJ.FEDCANARYzqcifoxewowajinatihuparemi.bevoxuzagidolafejicuqoxezuhi";
    for part in [&assertion[..40], &assertion[5..45], &assertion[50..], "FEDCANARYz", "zqcifo"] {
        let masked = without_secrets(&format!("AADSTS90014: bad request: {part}"), &[assertion]);
        assert_eq!(masked, "AADSTS90014: bad request: ***", "{part}");
    }
}

#[test]
fn what_may_be_a_secret_is_masked_in_messages_of_entra_id() {
    for other in ["Zc~4bepixunolare.Q9!", "key=0123456789abcdef", "bm8tc2VjcmV0LWhlcmU", "/etc/x/abcdefgh12345678"] {
        let masked = without_secrets(&format!("no: {other} here"), &["another"]);
        assert!(masked.starts_with("no: ***") && masked.ends_with(" here"), "{other}: {masked}");
    }
    let masked = without_secrets("see https://login.microsoftonline.com/abcdefgh12345678/x", &[]);
    assert_eq!(masked, "see https://login.microsoftonline.com/***/x");
}

/// Messages of Entra ID, from its documentation, public reports and the simulator.
#[test]
fn what_operators_need_of_entra_id_stays_readable() {
    // One of words, as for tests, and one as Entra ID makes them.
    let secrets = ["invalid-client-secret-simulated-0001", SECRETS[0]];
    for message in [
        "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not \
         the client secret ID, for a secret added to app '22222222-2222-2222-2222-222222222222'.",
        "AADSTS7000222: The provided client secret keys for app '22222222-2222-2222-2222-222222222222' are expired. Visit the Azure \
         portal to create new keys for your app: https://aka.ms/certCreds",
        "AADSTS90002: Tenant 'contoso365.onmicrosoft.com' not found. Check to make sure you have the correct tenant ID and are \
         signing into the correct cloud.",
        "AADSTS700016: Application with identifier '22222222-2222-2222-2222-222222222222' was not found in the directory \
         'Contoso'. This can happen if the application has not been installed by the administrator of the tenant.",
        "AADSTS500011: The resource principal named https://acme-2026-test.crm4.dynamics.com was not found in the tenant named \
         11111111-1111-1111-1111-111111111111.",
        "AADSTS700024: Client assertion is not within its valid time range. Current time: 2026-11-30T20:00:55.1234567Z, assertion \
         valid from 2026-11-30T19:00:55.0000000Z, expiry time of assertion 2026-11-30T19:05:55.0000000Z.",
        "AADSTS50027: JWT token is invalid or malformed: its 'jti' was used before.",
        "AADSTS90014: The required field 'client_assertion_type' is missing from the credential. Only \
         'urn:ietf:params:oauth:client-assertion-type:jwt-bearer' is supported at http://127.0.0.1:19620/x.",
    ] {
        assert_eq!(without_secrets(message, &secrets), one_line(message));
    }
}

#[test]
fn an_encoded_text_is_masked_in_messages_of_dynamics() {
    let document = "Annabella: I was charged twice for order 1182. Please call me back, the bank says no.";
    for encoded in [
        STANDARD.encode(document),
        STANDARD.encode(document)[3..30].to_owned(),
        STANDARD.encode("Annabella"),
        URL_SAFE_NO_PAD.encode("王小明的案件无法关闭?>~"),
        hex("Annabella"),
        format!("0x{}", hex("Annabella Z")),
        "Q".repeat(40),
        format!("{}7", "0aF".repeat(13)),
    ] {
        for message in [
            format!("Cannot convert the literal {encoded} to the expected type Edm.Binary"),
            format!("Cannot convert the literal\\n{encoded}\\nto the expected type Edm.Binary"),
        ] {
            let expected = message.replace(&encoded, "***");
            assert_eq!(mask(&message, &said("x")), expected);
        }
    }
    for message in [
        "msdyn_ocliveworkitem_regardingobjectid_msdyn_ocsession of Microsoft.Dynamics.CRM.incidentresolutioncollection",
        "prvAppendTomsdyn_liveworkstreamcapacityprofile1 and new_liveworkstreamcapacityprofile1_incident_customerid",
        "GenericSqlError ObjectDoesNotExist InvalidOperationException IncidentResolutionActivityPointer",
        "7d0ba8ad-8d4f-4d4e-8a8c-0d6a1c1d5a11 0x80040237 ------------------------------------------------",
    ] {
        assert_eq!(mask(message, &said("x")), message);
    }
}
