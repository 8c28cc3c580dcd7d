use proptest::prelude::*;

use super::*;

fn compare(name: &str, comparison: Comparison, literal: Literal) -> Filter {
    Filter::Compare(name.into(), comparison, literal)
}

fn text(value: &str) -> Literal {
    Literal::Text(value.into())
}

#[test]
fn quotes_are_undoubled() {
    let filter = Filter::parse("emailaddress1 eq 'ann.o''brien+vip@example.com'");
    let expected = compare("emailaddress1", Comparison::Equal, text("ann.o'brien+vip@example.com"));
    assert_eq!(filter, Ok(expected));
}

#[test]
fn constants_have_types() {
    let id = "44444444-4444-4444-4444-444444444444";
    let cases = [
        ("null", Literal::Null),
        ("true", Literal::Flag(true)),
        ("'null'", text("null")),
        ("''", text("")),
        ("-12", Literal::Number(-12.0)),
        ("0.5", Literal::Number(0.5)),
        (id, Literal::Guid(id.parse().expect("a guid"))),
        ("2026-11-22T10:15:00Z", Literal::Time("2026-11-22T10:15:00Z".parse().expect("a time"))),
        ("2026-11-22", Literal::Time("2026-11-22T00:00:00Z".parse().expect("a time"))),
    ];
    for (source, literal) in cases {
        let filter = Filter::parse(&format!("x ne {source}"));
        assert_eq!(filter, Ok(compare("x", Comparison::NotEqual, literal)), "{source}");
    }
}

#[test]
fn and_binds_closer_than_or_and_not_closest() {
    let [a, b, c] = ["a", "b", "c"].map(|name| compare(name, Comparison::Equal, Literal::Null));
    let (not_a, b_and_c) = (Filter::Not(a.clone().into()), Filter::All(vec![b.clone(), c.clone()]));
    let expected = Filter::Any(vec![not_a, b_and_c]);
    assert_eq!(Filter::parse("not a eq null or b eq null and c eq null"), Ok(expected));
    let grouped = Filter::All(vec![Filter::Any(vec![a, b]), c]);
    assert_eq!(Filter::parse("( a eq null or b eq null)and c eq null"), Ok(grouped));
}

#[test]
fn searches_are_functions() {
    let filter = Filter::parse("startswith(title, 'Bill')");
    assert_eq!(filter, Ok(Filter::Search(Search::StartsWith, "title".into(), "Bill".into())));
}

#[test]
fn syntax_errors_name_their_position() {
    let cases = [
        ("", "Syntax error at position 0 in ''."),
        ("a eq", "Syntax error at position 4 in 'a eq'."),
        ("a = 1", "Syntax error at position 2 in 'a = 1'."),
        ("a eq b", "Syntax error at position 5 in 'a eq b'."),
        ("a eq 1 2", "Syntax error at position 7 in 'a eq 1 2'."),
        ("(a eq 1", "Syntax error at position 7 in '(a eq 1'."),
        ("a eq 'b", "There is an unterminated string literal at position 5 in 'a eq 'b'."),
        ("a eq 'O'Brien'", "There is an unterminated string literal at position 13 in 'a eq 'O'Brien''."),
        ("soundex(a,'b')", "An unknown function with name 'soundex' was found."),
        ("contains(a,1)", "Syntax error at position 11 in 'contains(a,1)'."),
        ("a/b eq 1", "The simulator does not support filters across tables ('a/b')."),
    ];
    for (source, message) in cases {
        let refusal = Filter::parse(source).expect_err(source);
        assert_eq!(refusal.message, message, "{source}");
    }
}

#[test]
fn depth_is_bounded() {
    let deep = format!("{}a eq 1{}", "(".repeat(100_000), ")".repeat(100_000));
    assert_eq!(Filter::parse(&deep).expect_err("too deep").status, 400);
    assert_eq!(Filter::parse(&"not ".repeat(100_000)).expect_err("too deep").status, 400);
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(source in ".{0,80}") {
        let _ = Filter::parse(&source);
    }

    #[test]
    fn any_tokens_are_parsed_or_refused(words in proptest::collection::vec(
        prop::sample::select(vec!["a", "eq", "and", "or", "not", "(", ")", ",", "'x'", "'", "1", "null", "contains", "é"]), 0..24,
    )) {
        let _ = Filter::parse(&words.join(" "));
    }

    #[test]
    fn any_string_round_trips(value in ".{0,40}") {
        let source = format!("a eq '{}'", value.replace('\'', "''"));
        prop_assert_eq!(Filter::parse(&source), Ok(compare("a", Comparison::Equal, text(&value))));
    }
}
