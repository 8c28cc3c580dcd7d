//! Tokens of a filter.

use super::refusal::Refusal;

/// Token of a filter.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Lexeme {
    /// Name, operator or unquoted constant.
    Word(String),
    /// String with its quotes undoubled.
    Text(String),
    /// `(`
    Open,
    /// `)`
    Close,
    /// `,`
    Comma,
}

/// Splits a filter into tokens with their positions.
pub(super) fn split(source: &str) -> Result<Vec<(usize, Lexeme)>, Refusal> {
    let mut tokens = Vec::new();
    let mut rest = source.char_indices().peekable();
    while let Some(&(at, c)) = rest.peek() {
        let token = match c {
            ' ' | '\t' => {
                rest.next();
                continue;
            }
            '(' | ')' | ',' => {
                rest.next();
                mark(c)
            }
            '\'' => {
                rest.next();
                Lexeme::Text(text(source, at, &mut rest)?)
            }
            _ if in_word(c) => Lexeme::Word(word(&mut rest)),
            _ => return Err(bad(source, at)),
        };
        tokens.push((at, token));
    }
    Ok(tokens)
}

/// Returns a syntax error at this position.
pub(super) fn bad(source: &str, at: usize) -> Refusal {
    Refusal::query(format!("Syntax error at position {at} in '{source}'."))
}

type Chars<'a> = std::iter::Peekable<std::str::CharIndices<'a>>;

fn mark(c: char) -> Lexeme {
    match c {
        '(' => Lexeme::Open,
        ')' => Lexeme::Close,
        _ => Lexeme::Comma,
    }
}

/// Reads up to the closing quote. A doubled quote represents a single one.
fn text(source: &str, start: usize, rest: &mut Chars<'_>) -> Result<String, Refusal> {
    let mut text = String::new();
    while let Some((_, c)) = rest.next() {
        if c != '\'' {
            text.push(c);
        } else if rest.next_if(|(_, next)| *next == '\'').is_some() {
            text.push('\'');
        } else {
            return Ok(text);
        }
    }
    Err(Refusal::query(format!("There is an unterminated string literal at position {start} in '{source}'.")))
}

fn word(rest: &mut Chars<'_>) -> String {
    let mut word = String::new();
    while let Some((_, c)) = rest.next_if(|(_, c)| in_word(*c)) {
        word.push(c);
    }
    word
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '+' | '.' | ':' | '/' | '@' | '$')
}
