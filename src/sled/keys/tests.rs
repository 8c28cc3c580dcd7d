use proptest::prelude::*;

use super::*;

fn event(organization: &str, event: &str) -> EventKey {
    EventKey { organization_id: organization.into(), event_id: event.into() }
}

/// Texts in which the bytes of the encoding itself are frequent.
fn text() -> impl Strategy<Value = String> {
    let letter = prop_oneof![Just('\0'), Just('\u{1}'), Just('a'), Just('\u{ff}'), any::<char>()];
    prop::collection::vec(letter, 0..6).prop_map(|letters| letters.into_iter().collect())
}

fn moment() -> impl Strategy<Value = Timestamp> {
    (Timestamp::MIN.as_second()..Timestamp::MAX.as_second(), 0..1_000_000_000i32)
        .prop_map(|(second, nanosecond)| Timestamp::new(second, nanosecond).unwrap())
}

proptest! {
    #[test]
    fn different_events_have_different_keys_and_round_trip(
        one in (text(), text()),
        other in (text(), text()),
    ) {
        let (a, b) = (event(&one.0, &one.1), event(&other.0, &other.1));
        prop_assert_eq!(record(&a) == record(&b), a == b);
        prop_assert_eq!(unended(&a) == unended(&b), a == b);
        prop_assert_eq!(event_of(&record(&a)), Some(a.clone()));
        prop_assert_ne!(record(&a), unended(&a));
    }

    #[test]
    fn no_session_prefix_is_a_prefix_of_another(one in (text(), text()), other in (text(), text())) {
        let a = entries_of(&one.0.as_str().into(), &one.1.as_str().into());
        let b = entries_of(&other.0.as_str().into(), &other.1.as_str().into());
        prop_assert_eq!(a.starts_with(&b), one == other);
    }

    #[test]
    fn index_rows_sort_by_time(one in moment(), other in moment(), id in any::<u128>()) {
        let (first, second) = (journal(one, Uuid::from_u128(id)), journal(other, Uuid::from_u128(!id)));
        if one != other {
            prop_assert_eq!(first.cmp(&second), one.cmp(&other));
        }
        prop_assert_eq!(journal_time(&first), Some(one));
        prop_assert!(first >= journal_from(one));
        prop_assert!(first < journal_after(one));
        prop_assert_eq!(journal_after(one) < journal_from(other), one < other);
        prop_assert!(journal_after(one) < end(JOURNAL));
    }

    #[test]
    fn times_sort_and_round_trip(one in moment(), other in moment()) {
        prop_assert_eq!(time(one).cmp(&time(other)), one.cmp(&other));
        prop_assert_eq!(read_time(&time(one)), Some(one));
    }

    #[test]
    fn malformed_keys_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Some(event) = event_of(&bytes) {
            prop_assert_eq!(record(&event), bytes);
        }
    }
}

#[test]
fn no_key_contains_an_email() {
    let key = contact(&"org".into(), "ann@example.com");
    assert_eq!(key.len(), 17);
    assert_eq!(key, contact(&"org".into(), "ANN@Example.com"));
    assert_ne!(key, contact(&"other".into(), "ann@example.com"));
}

/// Stored keys outlive the program, so the format of each is fixed.
#[test]
fn the_format_of_keys_is_stable() {
    let key = event("org_acme", "evt_1");
    assert_eq!(record(&key), b"revt_1\x00\x01org_acme\x00\x01");
    assert_eq!(unended(&key), b"aevt_1\x00\x01org_acme\x00\x01");
    assert_eq!(learned(&key.organization_id), b"lorg_acme\x00\x01");
    assert_eq!(organization(&key.organization_id), b"oorg_acme\x00\x01");
    assert_eq!(pause(&key.organization_id), b"porg_acme\x00\x01");
    assert_eq!(queue(&key.organization_id), b"qorg_acme\x00\x01");
    assert_eq!(entry(&key.organization_id, &"ses".into(), &key.event_id), b"eorg_acme\x00\x01ses\x00\x01evt_1\x00\x01");
    assert_eq!(listed(&key), b"jevt_1\x00\x01org_acme\x00\x01");
    let row = journal(Timestamp::UNIX_EPOCH, Uuid::from_u128(7));
    assert_eq!(row[..1], *b"f");
    assert_eq!(row[1..13], time(Timestamp::UNIX_EPOCH));
    assert_eq!(row[13..], Uuid::from_u128(7).into_bytes());
}
