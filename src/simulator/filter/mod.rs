//! `$filter`, parsed into an expression.
//!
//! Supports `eq ne gt ge lt le and or not`, parentheses, `contains startswith endswith` and constants. Everything else
//! that Dataverse supports is refused, never ignored.

use super::lexer::{self, Lexeme};
use super::literal::Literal;
use super::refusal::Refusal;

/// Condition.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Filter {
    /// Conjunction. Flat rather than nested in pairs, so that a long chain does not recurse deeply.
    All(Vec<Filter>),
    /// Disjunction.
    Any(Vec<Filter>),
    /// Negation.
    Not(Box<Filter>),
    /// `title eq 'x'`
    Compare(String, Comparison, Literal),
    /// `contains(title,'x')`
    Search(Search, String, String),
}

/// Comparison operator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Comparison {
    /// `eq`
    Equal,
    /// `ne`
    NotEqual,
    /// `gt`
    Greater,
    /// `ge`
    GreaterOrEqual,
    /// `lt`
    Less,
    /// `le`
    LessOrEqual,
}

/// Text search function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Search {
    /// `contains`
    Contains,
    /// `startswith`
    StartsWith,
    /// `endswith`
    EndsWith,
}

/// Limit on the nesting of parentheses and `not`s. The service refuses deep nesting too.
const DEEPEST: usize = 100;

impl Filter {
    /// Parses a filter.
    pub(super) fn parse(source: &str) -> Result<Self, Refusal> {
        let mut parser = Parser { source, tokens: lexer::split(source)?, at: 0, depth: 0 };
        let filter = parser.either()?;
        match parser.tokens.get(parser.at) {
            None => Ok(filter),
            Some(_) => Err(parser.bad()),
        }
    }
}

impl Filter {
    /// Adds the names of all columns that the filter uses.
    pub(super) fn columns<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.columns(names)),
            Self::Not(part) => part.columns(names),
            Self::Compare(name, ..) | Self::Search(_, name, _) => names.push(name),
        }
    }
}

struct Parser<'a> {
    source: &'a str,
    tokens: Vec<(usize, Lexeme)>,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn either(&mut self) -> Result<Filter, Refusal> {
        let mut filters = vec![self.both()?];
        while self.takes_word("or") {
            filters.push(self.both()?);
        }
        Ok(single(filters).unwrap_or_else(Filter::Any))
    }

    fn both(&mut self) -> Result<Filter, Refusal> {
        let mut filters = vec![self.one()?];
        while self.takes_word("and") {
            filters.push(self.one()?);
        }
        Ok(single(filters).unwrap_or_else(Filter::All))
    }

    fn one(&mut self) -> Result<Filter, Refusal> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(Refusal::query("The node count limit of '100' has been exceeded."));
        }
        let filter = if self.takes_word("not") {
            Filter::Not(Box::new(self.one()?))
        } else if self.takes(&Lexeme::Open) {
            let inner = self.either()?;
            self.expect(&Lexeme::Close)?;
            inner
        } else {
            self.condition()?
        };
        self.depth -= 1;
        Ok(filter)
    }

    fn condition(&mut self) -> Result<Filter, Refusal> {
        let Some((_, Lexeme::Word(name))) = self.next() else {
            return Err(self.bad_before());
        };
        if self.takes(&Lexeme::Open) {
            return self.search(&name);
        }
        if name.contains('/') {
            return Err(Refusal::not_simulated(&format!("filters across tables ('{name}')")));
        }
        let comparison = match self.next() {
            Some((_, Lexeme::Word(word))) => Comparison::of(&word),
            _ => None,
        };
        let comparison = comparison.ok_or_else(|| self.bad_before())?;
        let value = self.literal()?;
        Ok(Filter::Compare(name, comparison, value))
    }

    fn search(&mut self, function: &str) -> Result<Filter, Refusal> {
        let search = match function {
            "contains" => Search::Contains,
            "startswith" => Search::StartsWith,
            "endswith" => Search::EndsWith,
            _ => {
                return Err(Refusal::query(format!("An unknown function with name '{function}' was found.")));
            }
        };
        let Some((_, Lexeme::Word(name))) = self.next() else {
            return Err(self.bad_before());
        };
        self.expect(&Lexeme::Comma)?;
        let Some((_, Lexeme::Text(text))) = self.next() else {
            return Err(self.bad_before());
        };
        self.expect(&Lexeme::Close)?;
        Ok(Filter::Search(search, name, text))
    }

    fn literal(&mut self) -> Result<Literal, Refusal> {
        let literal = match self.next() {
            Some((_, Lexeme::Text(text))) => Some(Literal::Text(text)),
            Some((_, Lexeme::Word(word))) => Literal::of(&word),
            _ => None,
        };
        literal.ok_or_else(|| self.bad_before())
    }

    fn next(&mut self) -> Option<(usize, Lexeme)> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn takes(&mut self, token: &Lexeme) -> bool {
        let there = self.tokens.get(self.at).is_some_and(|(_, next)| next == token);
        self.at += usize::from(there);
        there
    }

    fn takes_word(&mut self, word: &str) -> bool {
        self.takes(&Lexeme::Word(word.to_owned()))
    }

    fn expect(&mut self, token: &Lexeme) -> Result<(), Refusal> {
        if self.takes(token) { Ok(()) } else { Err(self.bad()) }
    }

    /// Returns a syntax error at the next token.
    fn bad(&self) -> Refusal {
        let end = self.source.len();
        lexer::bad(self.source, self.tokens.get(self.at).map_or(end, |(at, _)| *at))
    }

    /// Returns a syntax error at the token just consumed.
    fn bad_before(&mut self) -> Refusal {
        self.at = self.at.saturating_sub(1);
        self.bad()
    }
}

impl Comparison {
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "eq" => Self::Equal,
            "ne" => Self::NotEqual,
            "gt" => Self::Greater,
            "ge" => Self::GreaterOrEqual,
            "lt" => Self::Less,
            "le" => Self::LessOrEqual,
            _ => return None,
        })
    }

    /// Returns the name used in error texts.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Equal => "Equal",
            Self::NotEqual => "NotEqual",
            Self::Greater => "GreaterThan",
            Self::GreaterOrEqual => "GreaterThanOrEqual",
            Self::Less => "LessThan",
            Self::LessOrEqual => "LessThanOrEqual",
        }
    }
}

/// Returns the only filter, or all of them if there are several.
fn single(mut filters: Vec<Filter>) -> Result<Filter, Vec<Filter>> {
    match filters.pop() {
        Some(filter) if filters.is_empty() => Ok(filter),
        Some(filter) => {
            filters.push(filter);
            Err(filters)
        }
        None => Err(filters),
    }
}

#[cfg(test)]
mod tests;
