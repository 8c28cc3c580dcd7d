use handoffd_engine::event::samples::{email, handoff};
use handoffd_engine::event::{Body, Channel, Customer, SessionId};
use proptest::prelude::*;

use super::*;

fn of(change: impl FnOnce(&mut Handoff)) -> Handoff {
    match handoff(change).body {
        Body::Handoff(handoff) => *handoff,
        Body::Resolution(_) => panic!("a handoff"),
    }
}

fn message(text: &str) -> Message {
    Message { timestamp: None, sender: Some("customer".into()), name: None, text: Some(text.into()) }
}

fn said(texts: &[&str]) -> Handoff {
    of(|it| it.transcript = texts.iter().map(|text| message(text)).collect())
}

/// Returns the header lines, which stand above the transcript.
fn head(handoff: &Handoff) -> String {
    header(handoff, handoff.summary.as_deref().unwrap_or("-"))
}

#[test]
fn the_description_is_the_contracts_example_letter_by_letter() {
    let Body::Handoff(handoff) = email().body else { panic!("a handoff") };
    let expected = "Channel: email
Summary: Customer was charged twice for order 1182.
Classification: Billing
Sentiment: negative
Customer Details:
  Name: Ann O'Brien
  Email: ann.o'brien+vip@example.com
  Phone: +14155550100

Transcript:
[2026-11-22T10:11:02Z] Ann O'Brien (customer): I was charged twice.
[2026-11-22T10:11:05Z] AI: Let me check that for you.";
    assert_eq!(describe(&handoff, 2000), Description { text: expected.to_owned(), fit: Fit::Whole });
    assert_eq!(whole(&handoff), expected);
}

#[test]
fn absent_values_are_a_dash_and_without_messages_transcript_is_the_last_line() {
    let bare = of(|it| {
        (it.summary, it.classification, it.sentiment) = (None, None, None);
        (it.customer, it.transcript) = (Customer::default(), Vec::new());
        it.channel = Channel::new(" Phone_Voice ");
    });
    let expected = "Channel: phone_voice\nSummary: -\nClassification: -\nSentiment: -\nCustomer Details:\n  Name: -\n  Email: -\n  Phone: -\n\nTranscript:";
    assert_eq!(whole(&bare), expected);
}

#[test]
fn the_speaker_of_a_message_is_named() {
    for (name, sender, expected) in [
        (Some("Ann"), Some("customer"), "Ann (customer)"),
        (Some("Ann"), Some("human_agent"), "Ann (human_agent)"),
        (Some("Ann"), Some("Supervisor"), "Ann (Supervisor)"),
        (Some("Ann"), None, "Ann"),
        (None, Some("customer"), "Customer"),
        (None, Some("contact"), "Customer"),
        (None, Some("ai"), "AI"),
        (None, Some("agent"), "Agent"),
        (None, Some("human_agent"), "Agent"),
        (None, Some("system"), "System"),
        (None, Some("Supervisor"), "Supervisor"),
        (None, None, "-"),
    ] {
        let one = of(|it| {
            it.transcript = vec![Message {
                timestamp: None,
                sender: sender.map(Into::into),
                name: name.map(Into::into),
                text: Some("hi".into()),
            }];
        });
        assert_eq!(whole(&one).lines().last(), Some(format!("[-] {expected}: hi").as_str()));
    }
}

#[test]
fn times_are_utc_with_seconds_and_a_dash_when_absent() {
    for (time, expected) in [
        (Some("2026-11-22T10:11:02.987"), "[2026-11-22T10:11:02Z]"),
        (Some("9999-12-31T23:59:59.999999"), "[9999-12-31T23:59:59Z]"),
        (None, "[-]"),
    ] {
        let timestamp = time.map(|text| text.parse().expect("a time"));
        let one = of(|it| it.transcript = vec![Message { timestamp, ..message("x") }]);
        assert!(whole(&one).contains(&format!("\n{expected} Customer: x")), "{time:?}");
    }
}

#[test]
fn the_text_ends_without_a_line_break() {
    assert!(whole(&said(&["one\n", "two\n\n"])).ends_with("Customer: one\n\n[-] Customer: two"));
}

#[test]
fn the_limit_counts_utf16_units_and_a_text_of_exactly_that_length_is_whole() {
    let exact = said(&["é😀é"]);
    let length = units(&whole(&exact));
    assert_eq!(length, whole(&exact).encode_utf16().count());
    assert_eq!(describe(&exact, length).fit, Fit::Whole);
    let cut = describe(&exact, length - 1);
    assert_eq!(cut.fit, Fit::Cut);
    assert!(units(&cut.text) < length);
}

#[test]
fn a_transcript_is_cut_at_a_message_boundary_and_counts_the_missing_messages() {
    let texts: Vec<String> = (0..20).map(|n| format!("message {n:02} {}", "x".repeat(40))).collect();
    let long = said(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let shown = |limit| {
        let text = describe(&long, limit).text;
        let count = text.lines().filter(|line| line.starts_with("[-] Customer: message")).count();
        let whole_lines = text.lines().filter(|line| line.ends_with(&"x".repeat(40))).count();
        assert_eq!(count, whole_lines, "no message is cut: {text}");
        let last = text.lines().last().map(str::to_owned);
        assert_eq!(last, Some(format!("[… {} more messages in the attached transcript]", 20 - count)));
        count
    };
    let head = units(&head(&long));
    let line = 1 + "[-] Customer: message 00 ".len() + 40;
    let tail = units(&tail(10));
    assert_eq!(shown(head + 10 * line + tail), 10);
    assert_eq!(shown(head + 10 * line + tail - 1), 9);
    assert_eq!(shown(head + 11 * line + tail), 11);
}

#[test]
fn a_single_huge_message_is_cut_inside_and_0_more_are_missing() {
    let text = describe(&said(&[&"y".repeat(5000)]), 1000).text;
    assert_eq!(units(&text), 1000);
    assert!(text.contains("\n[-] Customer: yyyy"));
    assert!(text.ends_with("yyyy\n[… 0 more messages in the attached transcript]"));
}

#[test]
fn a_huge_first_message_is_cut_inside_and_counts_as_shown() {
    let text = describe(&said(&[&"😀".repeat(5000), "two", "three"]), 1000).text;
    assert!(matches!(units(&text), 999 | 1000), "a pair is never split: {}", units(&text));
    assert!(text.ends_with("😀\n[… 2 more messages in the attached transcript]"));
}

#[test]
fn a_huge_later_message_is_left_out() {
    let text = describe(&said(&["one", &"y".repeat(5000), "three"]), 1000).text;
    assert!(text.ends_with("Transcript:\n[-] Customer: one\n[… 2 more messages in the attached transcript]"));
}

#[test]
fn a_header_that_is_too_long_has_only_its_summary_cut() {
    let huge = of(|it| it.summary = Some(format!("S{}", "😀".repeat(3000)).into()));
    let text = describe(&huge, 1000).text;
    let lines: Vec<&str> = text.lines().collect();
    assert!(matches!(units(&text), 999 | 1000));
    assert!(lines[1].starts_with("Summary: S😀") && lines[1].ends_with('😀'));
    let others: Vec<&str> = head(&huge).leak().lines().skip(2).collect();
    assert_eq!(lines[2..2 + others.len()], others);
    assert_eq!(lines.last(), Some(&"[… 2 more messages in the attached transcript]"));
}

#[test]
fn other_header_lines_that_alone_exceed_the_limit_are_cut_before_the_last_line() {
    let huge = of(|it| it.classification = Some("c".repeat(3000).into()));
    let Description { text, fit } = describe(&huge, 500);
    assert_eq!((units(&text), fit), (500, Fit::Cut));
    assert!(text.ends_with("ccc\n[… 2 more messages in the attached transcript]"));
}

#[test]
fn header_lines_that_fit_are_whole_even_if_the_last_line_does_not() {
    let full = of(|it| it.customer.name = Some("n".repeat(300).into()));
    let limit = units(&header(&full, "Cus"));
    assert_eq!(describe(&full, limit), Description { text: header(&full, "Cus"), fit: Fit::Cut });
}

#[test]
fn a_small_message_is_not_cut_inside() {
    let small = said(&["hello"; 9]);
    let limit = units(&head(&small)) + units(&tail(9)) + "\n[-] Customer: he".len();
    assert_eq!(describe(&small, limit).text, format!("{}{}", head(&small), tail(9)));
}

#[test]
fn a_huge_summary_without_messages_is_cut_and_0_are_missing() {
    let huge = of(|it| (it.summary, it.transcript) = (Some("s".repeat(3000).into()), Vec::new()));
    let Description { text, fit } = describe(&huge, 500);
    assert_eq!((units(&text), fit), (500, Fit::Cut));
    assert!(text.ends_with("\nTranscript:\n[… 0 more messages in the attached transcript]"));
}

fn texts() -> impl Strategy<Value = Option<String>> {
    prop::option::of("([a-z é😀\n']{1,40}){1,8}")
}

prop_compose! {
    fn handoffs()(
        summary in prop::option::of("[a-zé😀 ]{1,900}"),
        (classification, sentiment, name) in (texts(), texts(), texts()),
        transcript in prop::collection::vec((texts(), texts(), prop::option::of("[a-z😀]{0,400}")), 0..12),
    ) -> Handoff {
        Handoff {
            session_id: SessionId::from("ses_1"),
            channel: Channel::new("email"),
            summary: summary.map(Into::into),
            classification: classification.map(Into::into),
            sentiment: sentiment.map(Into::into),
            customer: Customer { name: name.map(Into::into), email: None, phone: None },
            transcript: transcript
                .into_iter()
                .map(|(sender, name, text)| Message {
                    timestamp: Some(DateTime::default()),
                    sender: sender.map(Into::into),
                    name: name.map(Into::into),
                    text: text.map(Into::into),
                })
                .collect(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_description_is_never_longer_than_its_limit(handoff in handoffs(), limit in 200usize..3000) {
        let Description { text, fit } = describe(&handoff, limit);
        prop_assert!(units(&text) <= limit, "{} of {limit}", units(&text));
        prop_assert_eq!(fit == Fit::Whole, units(&whole(&handoff)) <= limit);
        prop_assert_eq!(super::fit(&handoff, limit), fit);
        prop_assert!(bytes(&handoff) >= whole(&handoff).len());
        prop_assert!(!text.ends_with('\n'));
    }

    #[test]
    fn the_other_header_lines_are_whole_wherever_they_fit(handoff in handoffs(), limit in 200usize..3000) {
        let text = describe(&handoff, limit).text;
        let bare = header(&handoff, "");
        let rest = bare.split_once("\nClassification: ").map(|(_, rest)| rest).unwrap_or_default();
        let fits = units(&bare) + units(&tail(handoff.transcript.len())) <= limit;
        prop_assert!(!fits || text.contains(rest), "{text}");
        prop_assert!(text.starts_with("Channel: email\nSummary: "));
    }

    #[test]
    fn a_cut_description_ends_with_the_count_of_missing_messages(handoff in handoffs(), limit in 200usize..3000) {
        let Description { text, fit } = describe(&handoff, limit);
        let other_lines = units(&header(&handoff, ""));
        let has_room = other_lines > limit || other_lines + units(&tail(handoff.transcript.len())) <= limit;
        if fit == Fit::Cut && has_room {
            let tail = text.lines().last().unwrap_or_default();
            let left = tail.strip_prefix("[… ").and_then(|it| it.strip_suffix(" more messages in the attached transcript]"));
            let left: Option<usize> = left.and_then(|it| it.parse().ok());
            prop_assert!(left.is_some_and(|left| left <= handoff.transcript.len()), "{tail}");
        }
    }

    #[test]
    fn the_uncut_text_holds_every_message(handoff in handoffs()) {
        let whole = whole(&handoff);
        for message in &handoff.transcript {
            prop_assert!(whole.contains(message.text.as_deref().unwrap_or("-")), "{message:?}");
        }
        prop_assert!(whole.contains(handoff.summary.as_deref().unwrap_or("Summary: -")));
    }
}
