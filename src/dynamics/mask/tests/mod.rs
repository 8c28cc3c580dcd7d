//! Masking, by tables. `scripts` has what is drawn at random, `messages` what must stay readable, `secrets` secrets and tokens.

mod messages;
mod names;
mod scripts;
mod secrets;
mod stock;

use handoffd_engine::event::samples::{email, handoff, resolution};
use handoffd_engine::event::{Customer, Event, Message};
use proptest::prelude::*;

use super::*;

fn mask(message: &str, event: &Event) -> String {
    let mut masking = Masking::new(message, Some(event));
    while masking.advance() {}
    masking.finish()
}

fn masked(message: &str) -> String {
    mask(message, &email())
}

/// Returns an event that no text of a message is from.
fn nobody() -> Event {
    handoff(|it| {
        it.customer = Customer::default();
        (it.summary, it.classification, it.transcript) = (None, None, Vec::new());
    })
}

fn named(name: &str) -> Event {
    handoff(|it| it.customer.name = Some(name.into()))
}

fn said(text: &str) -> Event {
    let message = Message { timestamp: None, sender: None, name: None, text: Some(text.into()) };
    handoff(|it| it.transcript = vec![message])
}

#[test]
fn customer_text_is_masked() {
    for (message, expected) in [
        ("Invalid value 'ann.o'brien+vip@example.com'.", "Invalid value '***'."),
        ("Invalid value 'ann.o''brien+vip@example.com'.", "Invalid value '***'."),
        ("Invalid value \"ANN.O'BRIEN+VIP@EXAMPLE.COM\" here", "Invalid value \"***\" here"),
        ("No such person: Ann O'Brien", "No such person: ***"),
        ("ann, please", "***, please"),
        ("O'Brien is too long", "*** is too long"),
        ("no 'Ann' here, Ann O'Brien", "no '***' here, ***"),
        ("Brien of annobrien", "*** of ***"),
        ("mobilephone +14155550100 is wrong", "mobilephone *** is wrong"),
        ("the number that ends in 0100 and 555-0100", "the number that ends in *** and ***"),
        ("status 400 of 2026, port 5432", "status 400 of 2026, port 5432"),
        ("'Customer was charged twice for order 1182.' is too long", "'***' is too long"),
        ("said 'I was charged twice.'", "said '***'"),
        ("»Let me check that for you.« «Let me check that for you.»", "»***« «***»"),
        ("„Ann O'Brien“ und “Ann O'Brien”", "„***“ und “***”"),
    ] {
        assert_eq!(masked(message), expected);
    }
}

#[test]
fn every_quoted_part_is_masked_whoever_it_belongs_to() {
    for (message, expected) in [
        ("by 'Bob Stone' and \"Bob\" of `Bob's`", "by '***' and \"***\" of `***`"),
        ("‘Bob’, ‚Bob‘, ’Bob’, ”Bob”, »Bob«, ‹Bob›", "‘***’, ‚***‘, ’***’, ”***”, »***«, ‹***›"),
        ("用户「王小明」和『张三』《李四》不存在", "用户「***」和『***』《***》不存在"),
        ("the users' value 'Bob's' isn't it", "the users' value '***' isn't it"),
        ("'He said 'no' to Bob.' is too long", "'***' is too long"),
        ("\"He said \"no\" to Bob\" is too long", "\"***\" is too long"),
        ("eq 'O''Neil' or '' or ' x' end", "eq '***' or '' or '***' end"),
        ("converting N'O''Neil' to int", "converting N'***' to int"),
        ("The value 'Bob Sto", "The value '***"),
        (
            "The value \\u0027Bob\\u0027 and &quot;Bob&quot; or &#39;Bob&#x27;",
            "The value \\u0027***\\u0027 and &quot;***&quot; or &#39;***&#x27;",
        ),
        (r#"{\"lastname\":\"Bob \\\"B\\\" Stone\"}"#, r#"{\"lastname\":\"***\"}"#),
        (
            r"\\u0027Bob\\u0027 is _x0027_Bob_x0027_ %27Bob%27 %u0027Bob%u0027",
            r"\\u0027***\\u0027 is _x0027_***_x0027_ %27***%27 %u0027***%u0027",
        ),
    ] {
        assert_eq!(mask(message, &nobody()), expected);
    }
}

#[test]
fn addresses_and_numbers_are_masked_whoever_they_belong_to() {
    for (message, expected) in [
        ("ask bob.o'neil@example.org, <b@c>, first", "ask ***, <***>, first"),
        ("ask bob%40example.org or bob&#64;example.org or bob＠example.org", "ask *** or *** or ***"),
        ("用户@例子.中国 不存在", "*** 不存在"),
        ("call +1 (415) 555-0100.", "call ***."),
        ("phone=4155550100 is 415.555.0100 is ٤١٥٥٥٥", "phone=*** is *** is ***"),
        ("card 4111-1111 1111/1111, 12345", "card ***, ***"),
        ("1234 is short, 0x800402370 is no code", "1234 is short, *** is no code"),
        ("the key 'queueid@odata.bind' of bob@odatafan.org", "the key 'queueid@odata.bind' of ***"),
    ] {
        let expected = expected.replace("*** is no code", "0x*** is no code");
        assert_eq!(mask(message, &nobody()), expected);
    }
}

#[test]
fn parts_of_texts_are_masked_without_quotes_too() {
    for (message, expected) in [
        ("Bad value (as charged twice for o)", "Bad value (***)"),
        ("Bad value [ustomer_WAS-charged]", "Bad value [***]"),
        ("Bad: n.o'brien+vip", "Bad: ***"),
        ("the host example.com and 41,55;55:01_00, Billing", "the host *** and ***, ***"),
        ("email=ann.o%27brien%2Bvip%40example.com&phone=%2B14155550100", "email=***&phone=***"),
        ("summary=Customer+was+charged+twice+for+order+1182.", "summary=***."),
        ("<p>Ann O&#x27;Brien &lt;ann.o&apos;brien+vip@example.com&gt;</p>", "<p>*** &lt;***&gt;</p>"),
        ("Channel: email\\nSummary: Customer was charged tw", "Channel: email\\nSummary: ***"),
        ("[2026] Ann O'Brien (customer): I was cha", "[2026] *** (customer): I was cha"),
    ] {
        assert_eq!(masked(message), expected);
    }
    let short = handoff(|it| it.customer.email = Some("zoe@x.io".into()));
    assert_eq!(mask("Zoe, the record of queue zoeb", &short), "***, the record of queue zoeb");
    assert_eq!(mask("Bad: First line\n\nSECOND line, sorry", &said("first line\r\nsecond   line")), "Bad: ***, sorry");
}

#[test]
fn any_case_normal_form_and_script_is_masked() {
    for (name, message, expected) in [
        ("İpek Kaya", "İpek Kaya, IPEK and ipek", "***, *** and ***"),
        ("Jörg Groß", "JO\u{308}RG GROSS, jo\u{308}rg-Gross", "***, ***"),
        ("Jo\u{308}rg", "J\\u00F6rg J&ouml;rg J&#246;rg J%C3%B6rg J%F6rg", "*** *** *** *** ***"),
        ("Ｊörg ﬁnk", "jörg FINK", "***"),
        ("Σίσυφος", "ΣΊΣΥΦΟΣ", "***"),
        ("王小明", "用户王小明不存在", "用户***不存在"),
        ("王小明", "小明 \\u738b\\u5c0f %E7%8E%8B%E5%B0%8F", "*** *** ***"),
        ("Zoé", "Zoe\u{301}: no", "***: no"),
        ("𠮷野", "\\uD842\\uDFB7\\u91CE 不存在", "*** 不存在"),
        ("محمد علي", "المستخدم ومُحَمَّد غير موجود", "المستخدم و*** غير موجود"),
        // Without the blank of the name, the next letter is a part of it too.
        ("สมชาย ใจดี", "ไม่พบสมชายในระบบ", "ไม่พบ***นระบบ"),
        ("김민수", "사용자 김민수는 없습니다", "사용자 ***는 없습니다"),
        ("Ann\u{ad}a \u{200f}B", "Anna and An\u{200b}na", "*** and ***"),
        ("Zoë Brân", "\\x5a\\x6f\\xc3\\xab \\xC3\\xA9 Br\\xE2n", "*** \\xC3\\xA9 ***"),
    ] {
        assert_eq!(mask(message, &named(name)), expected, "{name}");
    }
    assert_eq!(mask("原因：我被收取了两次费用吗", &said("昨天我被收取了两次费用。")), "原因：***吗");
    assert_eq!(mask("原因：被收取了", &said("昨天我被收取了两次费用。")), "原因：***");
}

#[test]
fn names_are_found_as_words_only() {
    for (name, message) in [
        ("Ann", "Annotation and Annex, susann"),
        ("Li", "is a list"),
        ("Jo", "Jo\u{308}rg"),
        ("A B", "a, c, b and ab1"),
    ] {
        assert_eq!(mask(message, &named(name)), message, "{name}");
    }
    // A speaker's name may be a word of Dynamics, the customer's never is.
    let name = Some("Record".into());
    let event = handoff(|it| it.transcript = vec![Message { timestamp: None, sender: None, name, text: None }]);
    assert_eq!(mask("the record is new", &event), "the record is new");
    assert_eq!(mask("the record is new", &named("Anna Record")), "the *** is new");
    assert_eq!(
        mask("okafor and Sam Okafor", &handoff(|it| it.transcript[0].name = Some("Sam Okafor".into()))),
        "*** and ***"
    );
}

#[test]
fn an_access_token_is_masked() {
    for (message, expected) in [
        ("Authorization: Bearer simulated-token-0001 refused", "Authorization: Bearer *** refused"),
        ("header 'eyJhbGciOiJSUzI1NiJ9.eyJvaWQiOiIx.c2ln' is bad", "header '***' is bad"),
        ("the bearer of this is a bearer token", "the bearer of this is a bearer token"),
    ] {
        assert_eq!(masked(message), expected);
    }
}

#[test]
fn a_long_message_is_read_to_a_limit_and_the_rest_dropped() {
    let long = format!("{}Ann O'Brien", "x ".repeat(LONGEST_READ / 2 - 1));
    assert_eq!(masked(&long), one_line(&long));
    let quote = format!("no '{}' Bob", "é".repeat(LONGEST_READ));
    assert_eq!(masked(&quote), "no '***…");
}

/// One step compares at most a stride, so that no event waits for another one's texts.
#[test]
fn a_hostile_event_is_compared_in_short_steps() {
    let words: Vec<String> = (0..50_000).map(|number| format!("w{number}x{}", number * 7919)).collect();
    let names = words.iter().map(|word| Message {
        timestamp: None,
        sender: None,
        name: Some(word.as_str().into()),
        text: Some(word.as_str().into()),
    });
    for event in [said(&words.join(" ")), handoff(|it| it.transcript = names.collect())] {
        let mut masking = Masking::new("Bad: w49999x395942081 and w777x6153063", Some(&event));
        let steps = std::iter::from_fn(|| masking.advance().then_some(())).count();
        assert!(steps >= words.join(" ").len() / STRIDE, "{steps}");
        assert_eq!(masking.finish(), "Bad: *** and ***");
    }
}

#[test]
fn a_message_is_one_line_of_at_most_500_bytes() {
    assert_eq!(one_line(" a\r\nb\u{0}c\u{85} "), "a  b c");
    let long = one_line(&"é".repeat(400));
    assert_eq!(long, format!("{}…", "é".repeat(250)));
    assert_eq!(one_line(&"x".repeat(500)).len(), 500);
    assert_eq!(one_line(&format!("x{}", "é".repeat(400))), format!("x{}…", "é".repeat(249)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_message_is_masked_without_a_panic(message in "\\PC{0,300}", name in prop::option::of("\\PC{0,20}")) {
        let event = handoff(|it| it.customer.name = name.map(Into::into));
        let masked = mask(&message, &event);
        prop_assert!(masked.len() <= MESSAGE_LIMIT + '…'.len_utf8());
        prop_assert!(!masked.chars().any(char::is_control));
    }

    #[test]
    fn any_escapes_are_read_without_a_panic(message in r#"([\\%&_]|u00e9|x27|[0-9a-f]{2,4}|#39;|#x|quot;|\{|['"» a@王]|\\ud83d){0,60}"#) {
        mask(&message, &named("é王"));
    }
}
