//! Encodings of a text in URLs, HTML and JSON, as gateways quote requests.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::form_urlencoded;

use super::super::request::LITERAL;

/// Longest text that is searched for in other spellings, in bytes: names, addresses and numbers, but no whole transcripts.
const LONGEST_ENCODED: usize = 512;
/// Encoding of a URL that leaves single quotes, as most programs do.
const BARE_QUOTES: &AsciiSet = &LITERAL.remove(b'\'');

/// Returns the other spellings of a text that differ from it.
pub(super) fn of(text: &str) -> Vec<String> {
    if text.len() > LONGEST_ENCODED {
        return Vec::new();
    }
    let doubled = text.replace('\'', "''");
    let html = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let json = serde_json::Value::from(text).to_string();
    let forms = [
        utf8_percent_encode(text, NON_ALPHANUMERIC).to_string(),
        utf8_percent_encode(text, LITERAL).to_string(),
        utf8_percent_encode(&doubled, LITERAL).to_string(),
        utf8_percent_encode(text, BARE_QUOTES).to_string(),
        utf8_percent_encode(&doubled, BARE_QUOTES).to_string(),
        form_urlencoded::byte_serialize(text.as_bytes()).collect(),
        html.replace('\'', "&#39;"),
        html.replace('\'', "&#x27;"),
        html.replace('\'', "&apos;"),
        html,
        json[1..json.len() - 1].to_owned(),
    ];
    forms.into_iter().filter(|form| form != text).collect()
}
