//! Long words that are masked by their shape, whoever they belong to: texts in base64 and hex, keys, tokens.

use std::ops::Range;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

use super::names::is_own_name;
use super::shapes::{pieces, without_ids};

/// Length of a word that is longer than names of Dataverse are, in bytes.
const LONG: usize = 40;
/// Fewest bytes in a row that decode to a text; by chance a name of Dataverse decodes to fewer.
const READABLE: usize = 9;
/// Shortest word with letters and digits that is masked in messages of Entra ID, in bytes. Its secrets have 40; a time has 13, an
/// AADSTS number 14.
const KEY: usize = 16;
/// Ends of the names of Microsoft's hosts and of its customers' tenants.
const HOSTS: &[&str] = &[
    ".dynamics.com",
    ".dynamics.cn",
    ".microsoftdynamics.us",
    ".appsplatform.us",
    ".microsoft.com",
    ".microsoftonline.com",
    ".microsoftonline.us",
    ".onmicrosoft.com",
    ".azure.com",
    ".windows.net",
    ".chinacloudapi.cn",
];
/// Decoder of a part of a text in base64, whose last bits may be cut off.
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, NO_PAD.with_decode_allow_trailing_bits(true));

/// Finds every word that is longer than names are, and every one that is a text in base64 or hex. GUIDs are none.
pub(super) fn encoded(text: &str) -> Vec<Range<usize>> {
    let blanked = without_ids(text);
    let words = pieces(&blanked, |c| !(c.is_ascii_alphanumeric() || "+/_-".contains(c))).filter(|word| {
        let word = blanked[word.clone()].trim_matches(['_', '-', '/']);
        let is_masked = || (word.len() >= LONG && !is_identifier(word)) || is_base64(word) || is_hex(word);
        is_masked() && !is_own_name(word)
    });
    // The end of a text in base64.
    let padding = |end: usize| blanked[end..].bytes().take_while(|byte| *byte == b'=').count();
    words.map(|word| word.start..word.end + padding(word.end)).collect()
}

/// Finds every word that may be a secret: a long one with letters and digits. GUIDs and names of Microsoft's hosts are none.
pub(super) fn keys(text: &str) -> Vec<Range<usize>> {
    let blanked = without_ids(text);
    let apart = |c: char| !(c.is_ascii_alphanumeric() || "~._+/=-".contains(c));
    let mut found = Vec::new();
    for word in pieces(&blanked, apart) {
        let said = &blanked[word.clone()];
        if !said.starts_with("//") {
            found.extend(is_key(said).then_some(word));
            continue;
        }
        // The address of a page or of an environment.
        let parts = pieces(said, |c| c == '/').filter(|part| is_key(&said[part.clone()]));
        found.extend(parts.map(|part| word.start + part.start..word.start + part.end));
    }
    found
}

fn is_key(word: &str) -> bool {
    let is_host = HOSTS.iter().any(|host| word.trim_end_matches('.').ends_with(host));
    let has = |is: fn(&u8) -> bool| word.bytes().any(|byte| is(&byte));
    word.len() >= KEY && has(u8::is_ascii_alphabetic) && has(u8::is_ascii_digit) && !is_host
}

/// Returns true for words joined to a name, as of a relationship: almost all of their letters are small, and they have no digit.
fn is_identifier(word: &str) -> bool {
    let capitals = word.bytes().filter(u8::is_ascii_uppercase).count();
    word.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_') && capitals * 4 <= word.len()
}

/// Returns true for base64 or base64url of a text, of which the beginning may be missing.
fn is_base64(word: &str) -> bool {
    let standard: Vec<u8> = word.bytes().map(|byte| if byte == b'-' { b'+' } else { byte }).collect();
    let standard: Vec<u8> = standard.into_iter().map(|byte| if byte == b'_' { b'/' } else { byte }).collect();
    (0..4).filter_map(|start| standard.get(start..)).any(|part| {
        // One character alone is less than a byte.
        let end = part.len() - usize::from(part.len() % 4 == 1);
        BASE64.decode(&part[..end]).is_ok_and(|bytes| is_text(&bytes))
    })
}

/// Returns true if a part of a word is a text in hex, of which a digit may be missing.
fn is_hex(word: &str) -> bool {
    let digits = word.split(|c: char| !c.is_ascii_hexdigit()).filter(|digits| digits.len() >= READABLE * 2);
    let decoded = |digits: &[u8]| -> Vec<u8> {
        let pairs = digits.chunks_exact(2).filter_map(|pair| std::str::from_utf8(pair).ok());
        pairs.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
    };
    digits.map(str::as_bytes).any(|digits| is_text(&decoded(digits)) || is_text(&decoded(&digits[1..])))
}

/// Returns true if a part of these bytes is readable.
fn is_text(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let readable = text.split(|c: char| c == char::REPLACEMENT_CHARACTER || (c.is_control() && !c.is_whitespace()));
    readable.into_iter().any(|part| part.len() >= READABLE)
}
