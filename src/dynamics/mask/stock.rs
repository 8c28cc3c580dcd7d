//! Words of stock messages, for messages about an event that holds none of the texts of its customer.
//!
//! A resolution names a session only; the case that it closes is full of its customer's texts, and a plug-in may quote them. There
//! is nothing to search for, so what is no word of Dynamics is masked. Code and advice say what is wrong all the same.

use std::ops::Range;

use super::fold::is_invisible;
use super::names::{is_code, is_listed, is_own_word, is_privilege};
use super::shapes::{pieces, without_ids};

/// Further words of stock messages, in lower case. Customers say them too, so their own texts are not compared with them.
const WORDS: &str = "
    action address aren associated busy cancel cause closed closes closing com community complete completed
    completion continues count deadlock deadlocked elapsed empty entitlement ex expired finally finish fwlink
    happened hr instance ip isn lib like linkid mandatory many missed mode now occurs opened otc period prior problem
    reasons rerun resolve resolving responding sec solutions support then transition unit victim wasn workflow";

/// Words of Dynamics that are names of people where a sentence has them with a capital, in lower case.
const NAMESAKES: &[&str] = &["case", "field", "link", "may", "rule", "will"];
/// Prefixes of custom tables and columns: of Microsoft's, and those that a publisher has by default.
const PREFIXES: &[&str] = &["cr", "msdyn", "new", "oc"];

/// Marks within names. Names joined by them or by blanks are masked as one, so that their number is not shown.
const WITHIN: &str = "'’-.";

/// Finds the words that no stock message has.
pub(super) fn unknown_words(text: &str) -> Vec<Range<usize>> {
    let blanked = without_ids(text);
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut before = 0;
    for word in pieces(text, |c| !(c.is_alphanumeric() || c == '_' || is_invisible(c))) {
        let is_id = text[word.clone()] != blanked[word.clone()];
        let said = &text[word.clone()];
        let gap = &text[before..word.start];
        let follows = before > 0 && gap.chars().all(|c| c.is_whitespace() || c == ',');
        if !is_id && (!is_stock(said) || (follows && is_namesake(said))) {
            let joins = gap.chars().all(|c| c.is_whitespace() || WITHIN.contains(c));
            match found.last_mut().filter(|last| joins && last.end == before) {
                Some(last) => last.end = word.end,
                None => found.push(word.clone()),
            }
        }
        before = word.end;
    }
    found
}

/// Returns true for a word of Dynamics, several in one, a privilege, a custom table or column, and an error code.
fn is_stock(word: &str) -> bool {
    let is_own = |word: &str| is_own_word(word) || is_listed(WORDS, word);
    let is_compound = || parts(word).all(is_own);
    is_own(word) || is_code(word) || is_privilege(word) || is_custom(word) || (word.is_ascii() && is_compound())
}

fn is_custom(word: &str) -> bool {
    let is_lower = word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    let prefix = word.split_once('_').map(|(prefix, _)| prefix);
    // Such as `cr5a1`.
    let is_generated = |prefix: &str| {
        prefix.strip_prefix("cr").is_some_and(|rest| rest.len() <= 5 && rest.bytes().any(|byte| byte.is_ascii_digit()))
    };
    is_lower && prefix.is_some_and(|prefix| PREFIXES.contains(&prefix) || is_generated(prefix))
}

/// Returns the words that a name such as `IncidentState` or `_customerid_value` is made of.
fn parts(word: &str) -> impl Iterator<Item = &str> {
    let capital =
        |(at, pair): (usize, &[u8])| (pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase()).then_some(at + 1);
    word.split('_').filter(|part| !part.is_empty()).flat_map(move |part| {
        let starts: Vec<usize> = part.as_bytes().windows(2).enumerate().filter_map(capital).collect();
        let ends = starts.clone().into_iter().chain([part.len()]);
        std::iter::once(0).chain(starts).zip(ends).map(|(start, end)| &part[start..end])
    })
}

fn is_namesake(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_uppercase()) && NAMESAKES.iter().any(|name| word.eq_ignore_ascii_case(name))
}
