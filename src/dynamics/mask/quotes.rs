//! Quoted parts of a message, complete or cut off.

use std::ops::Range;

use super::names::is_own_name;

/// Opening quotes with the quotes that close them, in the languages of environments.
const QUOTES: &[(char, &str)] = &[
    ('\'', "'"),
    ('"', "\""),
    ('`', "`'"),
    ('´', "´"),
    ('＇', "＇"),
    ('＂', "＂"),
    ('‘', "’‘"),
    ('’', "’"),
    ('‚', "‘’"),
    ('‛', "’"),
    ('“', "”“"),
    ('”', "”"),
    ('„', "“”"),
    ('‟', "”"),
    ('«', "»"),
    ('»', "«»"),
    ('‹', "›"),
    ('›', "‹›"),
    ('「', "」"),
    ('『', "』"),
    ('《', "》"),
    ('〈', "〉"),
    ('〝', "〞〟"),
];

/// Finds every quoted part but names of Dataverse. A part that is not closed ends with the text.
pub(super) fn quoted(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(character) = text[at..].chars().next() {
        let start = at + character.len_utf8();
        let quote = QUOTES.iter().find(|(open, _)| *open == character);
        let Some((_, close)) = quote.filter(|_| opens(text, at, character)) else {
            at = start;
            continue;
        };
        let end = start + closing(&text[start..], close);
        let part = text[start..end].trim_end_matches('\\');
        if !part.is_empty() && !is_own_name(part) {
            found.push(start..start + part.len());
        }
        at = end + text[end..].chars().next().map_or(0, char::len_utf8);
    }
    found
}

/// Returns true for a quote that opens a part, false for an apostrophe and for a quote that closes one.
fn opens(text: &str, at: usize, quote: char) -> bool {
    // `\"` is a quote in JSON.
    let mut before = text[..at].trim_end_matches('\\').chars().rev();
    let (before, earlier) = (before.next(), before.next());
    let after = text[at + quote.len_utf8()..].chars().next();
    let is_letter = |character: Option<char>| character.is_some_and(char::is_alphanumeric);
    if is_letter(before) {
        // `N'…'` is a text in SQL.
        let of_sql = before == Some('N') && !is_letter(earlier);
        return of_sql || (!is_apostrophe(quote) && is_letter(after));
    }
    let leads = before.is_none_or(|before| before.is_whitespace() || "([{<=:,".contains(before));
    leads || after.is_some_and(|after| !after.is_whitespace())
}

/// Returns the position of the quote that closes a part, or its end. Within it, single quotes are doubled, others paired.
fn closing(text: &str, close: &str) -> usize {
    let mut depth = 1;
    let mut characters = text.char_indices().peekable();
    let mut before = None;
    while let Some((at, character)) = characters.next() {
        if close.contains(character) {
            let after = characters.peek().map(|(_, after)| *after);
            let goes_on = after.is_some_and(char::is_alphanumeric);
            if after == Some(character) && before.is_some() && is_apostrophe(character) {
                characters.next();
            } else if goes_on && before.is_some_and(char::is_whitespace) {
                depth += 1;
            } else if !(goes_on && (is_apostrophe(character) || character == '"')) {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
        }
        if character != '\\' {
            before = Some(character);
        }
    }
    text.len()
}

fn is_apostrophe(quote: char) -> bool {
    matches!(quote, '\'' | '’' | '＇' | '´' | '`')
}
